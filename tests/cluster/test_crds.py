"""The CRDs, judged by a real API server: it takes them, and says of every manifest what `validate` says offline."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from tests import corpus, mutation
from tests.cluster.apiserver import CRDS, Answer, ApiServer
from tests.commands import CHECKOUT
from tests.corpus import Case
from thermocline_agent import manifest
from thermocline_api.problem import Problem
from thermocline_api.schema import API_VERSION, PLURALS

pytestmark = pytest.mark.cluster

VALID = corpus.valid()
INVALID = corpus.invalid()
API = "/apis/thermocline.dev/v1alpha1"
STRICT = "dryRun=All&fieldValidation=Strict"
# An object of each kind, whose status is judged.
NAME = "judged"


def create(server: ApiServer, kind: str, body: str | dict[str, Any], query: str = STRICT) -> Answer:
    """Create an object from YAML or JSON, or see whether it could be."""
    path = f"{API}/{PLURALS[kind]}?{query}"
    if isinstance(body, str):
        return server.ask("POST", path, body)
    return server.ask("POST", path, json.dumps(body), kind="application/json")


def patch_status(server: ApiServer, kind: str, status: Any) -> Answer:
    """See whether an object may have a status."""
    path = f"{API}/{PLURALS[kind]}/{NAME}/status?{STRICT}"
    return server.ask("PATCH", path, json.dumps({"status": status}), kind="application/merge-patch+json")


@pytest.fixture(scope="module")
def server(api_server: ApiServer) -> ApiServer:
    """The API server, with an object of each kind."""
    for kind in PLURALS:
        given = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": NAME}, "spec": {}}
        assert create(api_server, kind, given, "").code in (201, 409)
    return api_server


def said(answer: Answer) -> set[tuple[str, str]]:
    """What the API server complains of, by field and message."""
    if answer.code < 300:
        return set()
    if answer.code == 400:
        fields = re.findall(r'unknown field "([^"]+)"', answer.body["message"])
        assert fields, answer.body["message"]
        return {(field, f'unknown field "{field}"') for field in fields}
    assert answer.code == 422, answer.body
    causes = answer.body["details"]["causes"]
    return {(cause["field"].replace("<nil>", ""), cause["message"]) for cause in causes}


def told(problems: tuple[Problem, ...]) -> set[tuple[str, str]]:
    """The same of what is told offline. A strict server that finds unknown fields says nothing of the others."""
    unknown = [problem for problem in problems if problem.keyword == "unknown"]
    return {(problem.field, problem.message) for problem in unknown or problems}


@pytest.mark.parametrize("case", VALID, ids=str)
def test_what_is_valid_is_taken_with_the_same_defaults(server: ApiServer, case: Case) -> None:
    answer = create(server, case.kind, case.text)
    assert answer.code == 201, answer.body
    read = manifest.schema(case.kind).read(case.value)
    assert answer.body.get("spec") == read.get("spec")
    status = case.value.get("status", {})
    reported = patch_status(server, case.kind, status)
    assert reported.code == 200, reported.body
    assert reported.body.get("status", {}) == status


@pytest.mark.parametrize("case", INVALID, ids=str)
def test_what_is_not_is_refused_with_the_same_sentences(server: ApiServer, case: Case) -> None:
    schema = manifest.schema(case.kind)
    if case.is_status:
        answer = patch_status(server, case.kind, case.value["status"])
        assert said(answer) == told(schema.check_status(case.value["status"]))
    else:
        answer = create(server, case.kind, case.text)
        assert said(answer) == told(schema.check(case.value))
    assert answer.code >= 400


@pytest.mark.parametrize("seed", range(40))
def test_what_nobody_thought_of_is_judged_alike(server: ApiServer, seed: int) -> None:
    """Valid manifests with a few random mistakes: ten a seed."""
    chance = random.Random(seed)  # noqa: S311 - mistakes are no secrets
    verdicts = 0
    for _ in range(10):
        case = chance.choice(VALID)
        schema = manifest.schema(case.kind)
        mistaken = mutation.mutated(chance, schema.defaulted({**case.value, "status": None}), schema.root)
        answer = create(server, case.kind, mistaken)
        assert said(answer) == told(schema.check(mistaken)), json.dumps(mistaken)
        verdicts += answer.code >= 400
    # Most mistakes are some.
    assert verdicts >= 3


# Each is read as one thing by PyYAML and as another by kubectl, or is at the edge of what differs.
SCALARS = (
    "y", "Y", "n", "N", "yes", "No", "on", "OFF", "true", "False", "yEs", "~", "null", "Null", "010", "0o10", "08",
    "0x1F", "0b11", "1_000", "-010", "+1", "-0", "1e3", "1E+3", "1.5e-3", ".5", "5.", "1.0", "1_0.5", "10:30", "1:2:3",
    "2026-01-02", "2026-01-02T03:04:05Z", "8%", "100Mi", "1e", "e1", "0x", "1__0", "_1", "9223372036854775807", "1e21",
    "123456789.0", "!!str 8", "!!int '8'", "!!float 8", "'y'", "=", "<<x", "0.1", "1.", "+.5", "-.5e1", "12e03",
    "0b12", "0o8", "00", "0",
)  # fmt: skip


def exactly(value: Any) -> str:
    """A value as text, so that 1 is not True and 1.0 is not 1."""
    return json.dumps(value, sort_keys=True)


def test_yaml_is_read_as_kubectl_reads_it(server: ApiServer) -> None:
    lines = "".join(f"  f{number}: {scalar}\n" for number, scalar in enumerate(SCALARS))
    text = (
        "apiVersion: thermocline.dev/v1alpha1\nkind: MemoryTierPolicy\nmetadata: {name: scalars}\n"
        f"spec:\n{lines}  keys: {{1: a, true: b, off: c, 1.5: d, 2: e}}\n  merged: {{<<: {{a: 1, b: 2}}, b: 3}}\n"
    )
    made = server.kubectl(
        "create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "-", text=text
    ).json
    (document,) = manifest.documents(text)
    differing = {
        SCALARS[int(key[1:])] if key[1:].isdigit() else key: (value, made["spec"].get(key))
        for key, value in document.value["spec"].items()
        if exactly(value) != exactly(made["spec"].get(key))
    }
    assert differing == {}


def test_kubectl_applies_the_folders(server: ApiServer) -> None:
    """As in the documentation: the corpus below crds/ is left alone."""
    applied = server.kubectl(
        "apply",
        "--dry-run=server",
        "--server-side",
        "-f",
        CHECKOUT / "crds",
        "-f",
        CHECKOUT / "docs/examples",
    )
    assert len(applied.text.splitlines()) == len(CRDS) + len(corpus.EXAMPLES)


def test_kubectl_prints_the_same_sentence(server: ApiServer, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "apiVersion: thermocline.dev/v1alpha1\nkind: MemoryTierPolicy\nmetadata: {name: a}\n"
        "spec: {watermarks: {demoteBelow: 16%, demoteUntil: 8%}}\n"
    )
    (document,) = manifest.documents(path.read_text())
    (problem,) = manifest.schema("MemoryTierPolicy").check(document.value)
    refused = server.kubectl("create", "-f", path)
    assert refused.status == 1
    assert refused.err == f'The MemoryTierPolicy "a" is invalid: {problem}\n'


def test_kubectl_explains_the_fields(server: ApiServer) -> None:
    explained = " ".join(server.kubectl("explain", "mtp.spec.rules.fastShare.min").text.split())
    assert "What it keeps in fast memory whatever others need" in explained


def test_the_server_serves_both_kinds_by_their_short_names(server: ApiServer) -> None:
    resources = {each["name"]: each for each in server.ask("GET", API).body["resources"]}
    for kind, plural in PLURALS.items():
        assert resources[plural]["kind"] == kind
        assert resources[plural]["categories"] == ["thermocline"]
        assert not resources[plural]["namespaced"]
        assert f"{plural}/status" in resources
    assert resources["memorytierpolicies"]["shortNames"] == ["mtp"]
    assert resources["memorytiernodes"]["shortNames"] == ["mtn"]


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        (
            "MemoryTierPolicy",
            ["Name", "Mode", "Nodes", "Ready", "Fast-hit", "Ping-pong", "Phase", "Age", "Priority", "Message"],
        ),
        (
            "MemoryTierNode",
            ["Name", "Policy", "Mode", "Source", "Engine", "Fast-hit", "Ping-pong", "Migrating", "Age", "Revision",
             "Message"],
        ),
    ],
)  # fmt: skip
def test_columns(server: ApiServer, kind: str, columns: list[str]) -> None:
    table = server.ask(
        "GET", f"{API}/{PLURALS[kind]}", accept="application/json;as=Table;g=meta.k8s.io;v=v1"
    ).body
    assert [each["name"] for each in table["columnDefinitions"]] == columns


def test_columns_tell_the_status(server: ApiServer) -> None:
    (case,) = [case for case in VALID if str(case) == "statuses-cxl-0"]
    path = f"{API}/memorytiernodes"
    assert create(server, case.kind, case.text, "").code == 201
    try:
        status = json.dumps({"status": case.value["status"]})
        kind = "application/merge-patch+json"
        assert server.ask("PATCH", f"{path}/cxl-0/status", status, kind=kind).code == 200
        table = server.ask("GET", f"{path}/cxl-0", accept="application/json;as=Table;g=meta.k8s.io;v=v1").body
        (row,) = table["rows"]
        assert row["cells"][:8] == ["cxl-0", "default", "Enforce", "Damon", "Damon", 100, 0, "WithinBudget"]
    finally:
        assert server.ask("DELETE", f"{path}/cxl-0").code == 200


def test_the_crds_have_no_complaints(server: ApiServer) -> None:
    for crd in CRDS:
        name = f"{crd.stem}.thermocline.dev"
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
        conditions = {
            each["type"]: each["status"] for each in server.ask("GET", path).body["status"]["conditions"]
        }
        assert conditions["Established"] == conditions["NamesAccepted"] == "True"
        assert conditions.get("NonStructuralSchema", "False") == "False"
