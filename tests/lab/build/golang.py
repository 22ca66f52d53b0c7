"""What is written in Go: Kubernetes, containerd, the CNI plugins and helm, built from the Go modules in go/.

    kubernetes  bin/{etcd,kube-apiserver,kube-controller-manager,kube-scheduler,kubelet,kube-proxy,kubectl}
    containerd  bin/{containerd,containerd-shim-runc-v2,ctr}
    cni         bin/{bridge,loopback,host-local,portmap}
    helm        bin/helm

Each folder's go.mod and go.sum fix every version, so a build is the same everywhere. The modules agree on the
versions of what they share (golang.org/x, client-go), and all are built with the same flags: what one has
compiled is then in the build cache for the next.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from tests.lab import process
from tests.lab.build.part import LAB, Part, Workshop
from tests.lab.errors import BuildFailed, LabError

MODULES = LAB / "go"
# Without debugging information. The same for all parts, or the build cache would serve each one alone.
FLAGS = ("-trimpath", "-buildvcs=false")
LINKER_FLAGS = ("-s", "-w")
# Whatever the person has set of these; the proxy, its credentials and its certificates stay as they are.
SETTINGS = {
    "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off",
    "CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": "amd64", "GOAMD64": "v1", "GOEXPERIMENT": "",
}  # fmt: skip
# Kubernetes' commands are one program that looks at the name it was called by.
KUBERNETES_COMMANDS = (
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
)  # fmt: skip
# How go says, in the log, that it could not fetch a module.
SILENCE = re.compile(
    r"dial tcp|proxyconnect|no such host|[Cc]ould not resolve host|connection (?:refused|reset)|TLS handshake"
    r"|i/o timeout|Client\.Timeout|deadline exceeded|x509: |50[234] (?:Bad|Service|Gateway)|by GOPROXY=off"
)


def parse_version(text: str, parts: int = 2) -> tuple[int, ...]:
    """The first numbers of a Go version: (1, 26) of `go version go1.26.8 linux/amd64`, or `go 1.26`.

    Zeros stand for what is missing.
    """
    match = re.search(r"\bgo ?(\d+(?:\.\d+)*)", text)
    numbers = [int(number) for number in match[1].split(".")] if match else []
    return tuple((numbers + [0] * parts)[:parts])


def required_version() -> str:
    """The oldest Go that builds all modules: the newest that one of their go.mod files asks for."""
    asked = [line for m in MODULES.glob("*/go.mod") for line in m.read_text().splitlines()]
    newest = max(
        (line for line in asked if re.match(r"go \d", line)), key=lambda line: parse_version(line, 3)
    )
    return newest.removeprefix("go ")


def found_version() -> str:
    """The version of the Go on the PATH, such as go1.26.8; nothing when there is none that works."""
    try:
        # Without GOTOOLCHAIN=local, go would answer for a newer Go that it means to download.
        return process.output_of(["env", "GOTOOLCHAIN=local", "go", "env", "GOVERSION"]).strip()
    except LabError:
        return ""


def require_go() -> None:
    """Raises LabError when there is no Go, or one that is too old for the modules."""
    wanted = required_version()
    found = found_version()
    if not found:
        raise LabError(
            f"the lab found no Go that works: install Go {wanted} or newer and put it first on the PATH"
        )
    if parse_version(found, 3) < parse_version(f"go{wanted}", 3):
        raise LabError(
            f"the lab needs Go {wanted} or newer and found {found}: install one and put it first on the PATH"
        )


def kubernetes_version(go_mod: str) -> str:
    """The version of k8s.io/kubernetes that a go.mod requires, such as v1.36.3."""
    match = re.search(r"^\s*k8s\.io/kubernetes (v[\d.]+)", go_mod, re.MULTILINE)
    if match is None:
        raise LabError(f"{MODULES}/kubernetes/go.mod does not require k8s.io/kubernetes: put it back")
    return match[1]


def kubernetes_stamp() -> list[str]:
    """Linker flags by which all of Kubernetes' commands know their version."""
    version = kubernetes_version((MODULES / "kubernetes/go.mod").read_text())
    major, minor = re.findall(r"\d+", version)[:2]
    package = "k8s.io/component-base/version"
    values = {
        "gitVersion": version,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "",
    }
    return [f"-X {package}.{name}={value}" for name, value in values.items()]


def _go_build(
    workshop: Workshop, name: str, into: Path, targets: Sequence[str], stamp: Sequence[str] = ()
) -> None:
    require_go()
    log = workshop.log(name)
    binaries = into / "bin"
    binaries.mkdir()
    home = workshop.cache.root / "go"
    caches = {"GOMODCACHE": str(home / "mod"), "GOCACHE": str(home / "build")}
    linker_flags = " ".join((*LINKER_FLAGS, *stamp))
    try:
        process.run(
            ["go", "build", *FLAGS, "-ldflags", linker_flags, "-o", f"{binaries}/", *targets],
            log=log,
            cwd=MODULES / name,
            env={**os.environ, **SETTINGS, **caches},
        )
    except BuildFailed as err:
        if SILENCE.search(process.tail(log)):
            raise BuildFailed(
                f"the Go module proxy did not answer while {name} was built: "
                "check the network and `go env GOPROXY`, then run it again",
                log,
            ) from err
        raise


def _build_kubernetes(workshop: Workshop, into: Path) -> None:
    _go_build(workshop, "kubernetes", into, ["."], kubernetes_stamp())
    for command in KUBERNETES_COMMANDS:
        (into / "bin" / command).symlink_to("kubernetes")


def _inputs(name: str) -> tuple[str | Path, ...]:
    settings = (f"{key}={value}" for key, value in SETTINGS.items())
    return (MODULES / name, *FLAGS, *LINKER_FLAGS, *settings, found_version())


def _module(name: str, expected_seconds: int, room_mib: int) -> Part:
    """A part that builds the commands that its go.mod lists as tools."""
    return Part(
        name,
        expected_seconds,
        inputs=lambda: _inputs(name),
        build=lambda workshop, into: _go_build(workshop, name, into, ["tool"]),
        room_mib=room_mib,
    )


PARTS = (
    Part(
        "kubernetes",
        345,
        inputs=lambda: (*_inputs("kubernetes"), *kubernetes_stamp(), *KUBERNETES_COMMANDS),
        build=_build_kubernetes,
        room_mib=5120,
    ),
    _module("containerd", 55, 1024),
    _module("cni", 10, 512),
    _module("helm", 25, 1024),
)
