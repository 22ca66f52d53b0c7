"""The lease: one acts at a time, and stops in time."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from thermocline_operator.apply import TIMEOUT_SECONDS, Answer, Api, ApiError, Conflict, Gone
from thermocline_operator.lease import ACTING_SECONDS, DURATION_SECONDS, EtcdRestored, Lease, holder


@dataclass
class Server:
    """An API server that has nothing but a lease, with resourceVersions as real ones have."""

    lease: dict[str, Any] | None = None
    version: int = 0
    is_away: bool = False
    namespace: str = "ns"
    before_write: list[Any] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        if self.is_away:
            raise ApiError("no answer")
        assert path.startswith("/apis/coordination.k8s.io/v1/namespaces/ns/leases")
        if method == "GET":
            if self.lease is None:
                raise Gone("no lease")
            return Answer(copy.deepcopy(self.lease), None)
        for action in list(self.before_write):
            action()
        if (
            self.lease is not None
            and body["metadata"].get("resourceVersion") != self.lease["metadata"]["resourceVersion"]
        ):
            raise Conflict("changed")
        self.version += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return Answer(copy.deepcopy(self.lease), None)


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def time() -> Time:
    return Time()


def lease(server: Server, identity: str, time: Time) -> Lease:
    api: Api = server  # type: ignore[assignment]
    return Lease(api, identity, time)


def test_the_first_has_it_and_the_second_waits(server: Server, time: Time) -> None:
    one, two = lease(server, "one", time), lease(server, "two", time)
    assert one.renew()
    assert not two.renew()
    assert (one.is_held, two.is_held) == (True, False)
    for _ in range(20):
        time.now += 5
        assert one.renew()
        assert not two.renew()


def test_a_holder_stops_before_another_may_begin(server: Server, time: Time) -> None:
    one, two = lease(server, "one", time), lease(server, "two", time)
    one.renew()
    two.renew()
    began = time.now
    while not two.is_held:
        time.now += 0.5
        assert not (one.is_held and two.is_held)
        two.renew()
    assert time.now - began >= DURATION_SECONDS
    assert ACTING_SECONDS + TIMEOUT_SECONDS < DURATION_SECONDS


@pytest.mark.parametrize("spec", [{}, {"spec": {}}, {"spec": None}])
def test_one_that_was_made_empty_is_taken_and_stays_its_makers(
    server: Server, time: Time, spec: dict[str, Any]
) -> None:
    labels = {"app.kubernetes.io/managed-by": "Helm"}
    server.lease = {"metadata": {"labels": labels, "resourceVersion": "7"}, **spec}
    server.version = 7
    one, two = lease(server, "one", time), lease(server, "two", time)
    assert one.renew()
    assert not two.renew()
    assert server.lease["metadata"]["labels"] == labels
    assert server.lease["spec"]["leaseTransitions"] == 0


def test_who_cannot_renew_stops_acting(server: Server, time: Time) -> None:
    one = lease(server, "one", time)
    one.renew()
    server.is_away = True
    time.now += ACTING_SECONDS / 2
    with pytest.raises(ApiError):
        one.renew()
    assert one.is_held
    time.now += ACTING_SECONDS / 2
    assert not one.is_held


def test_of_two_who_take_it_at_once_one_has_it(server: Server, time: Time) -> None:
    one, two = lease(server, "one", time), lease(server, "two", time)
    lease(server, "old", time).renew()
    one.renew()
    two.renew()
    time.now += DURATION_SECONDS + 1

    def overtake() -> None:
        server.before_write.clear()
        two.renew()

    server.before_write.append(overtake)
    assert not one.renew()
    assert (one.is_held, two.is_held) == (False, True)


def test_released_it_is_another_s_at_once(server: Server, time: Time) -> None:
    one, two = lease(server, "one", time), lease(server, "two", time)
    one.renew()
    one.release()
    assert not one.is_held
    assert two.renew()


def test_a_revision_that_goes_back_is_told(server: Server, time: Time) -> None:
    one = lease(server, "one", time)
    server.version = 100
    one.renew()
    server.version = 50
    for _ in range(2):
        with pytest.raises(EtcdRestored, match="from 101 to 51"):
            one.renew()
        assert not one.is_held


@pytest.mark.parametrize("who", ["one", "two"])
def test_a_lease_that_is_older_is_told_to_who_holds_it_and_to_who_waits(
    server: Server, time: Time, who: str
) -> None:
    asking = {name: lease(server, name, time) for name in ("one", "two")}
    server.version = 100
    for each in asking.values():
        each.renew()
    assert server.lease is not None
    # A backup; what is written from now on may be as new as if none had been lost.
    server.lease["metadata"]["resourceVersion"] = "50"
    with pytest.raises(EtcdRestored, match="from 101 to 50"):
        asking[who].renew()
    assert not asking[who].is_held


def test_a_lease_that_says_nothing_is_nobodys(server: Server, time: Time) -> None:
    server.lease = {"metadata": {"resourceVersion": "1", "name": "thermocline-operator"}}
    api: Api = server  # type: ignore[assignment]
    assert holder(api, datetime.now(UTC)) is None
    one = lease(server, "one", time)
    assert one.renew()
    assert holder(api, datetime.now(UTC)) == "one"


def test_the_keeper_goes_on_after_what_nobody_thought_of(server: Server, time: Time) -> None:
    one = lease(server, "one", time)
    errors: list[Exception] = []
    server.lease = {"metadata": {"resourceVersion": "no number"}, "spec": {}}
    one.keep(errors.append, one.stop)
    assert [type(each) for each in errors] == [ValueError]
