"""What is checked before anything is sent."""

from __future__ import annotations

import pickle

import pytest

import konductor
from konductor._errors import Target
from konductor._names import (
    arrival_name,
    check_holder,
    check_number,
    check_target,
    check_timeout,
    check_ttl,
    default_holder,
    format_duration,
    parse_duration,
)

ON = Target("Lease", "default", "report")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a b", "A", "a?b", "a%2fb", "-a", "a-", "a" * 254, "a\n"]
)
def test_a_name_that_can_not_exist_is_invalid(name: str) -> None:
    with pytest.raises(konductor.Invalid, match="can't be the name"):
        check_target(Target("Gate", "default", name))
    with pytest.raises(konductor.Invalid, match="can't be the name"):
        check_target(Target("Gate", name, "ready"))


@pytest.mark.parametrize("name", ["a", "a.b-c", "0", "a" * 253])
def test_a_name_that_can_exist_is_valid(name: str) -> None:
    check_target(Target("Gate", "default", name))


@pytest.mark.parametrize("holder", ["", "a" * 254, "a\nb", "a\u200bb", "\x1b[2J"])
def test_a_holder_that_can_not_be_is_invalid(holder: str) -> None:
    with pytest.raises(konductor.Invalid, match="can't be a holder"):
        check_holder(ON, holder)


@pytest.mark.parametrize("ttl", [0, -1, 0.05, float("nan"), float("inf")])
def test_a_ttl_that_can_not_be_kept_is_invalid(ttl: float) -> None:
    with pytest.raises(konductor.Invalid, match="can't be kept"):
        check_ttl(ON, ttl)


@pytest.mark.parametrize("number", [0, -1, 1_000_001, 1.5, True])
def test_a_number_that_can_not_be_is_invalid(number: int) -> None:
    with pytest.raises(konductor.Invalid, match="permits"):
        check_number(ON, "permits", number, 1)


@pytest.mark.parametrize("timeout", [-1.0, float("nan")])
def test_a_timeout_that_is_no_length_of_time_is_invalid(timeout: float) -> None:
    with pytest.raises(konductor.Invalid, match="timeout"):
        check_timeout(ON, timeout)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.5, "500ms"), (30, "30s"), (90, "1m30s"), (90061.001, "1d1h1m1s1ms"), (0.29, "290ms")],
)
def test_durations_are_written_as_in_manifests(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "1s1m", "1.5s", "-1s", None, 30])
def test_what_is_no_duration_is_none(text: object) -> None:
    assert parse_duration(text) is None


def test_an_arrival_has_a_name_of_its_own_that_is_short_enough() -> None:
    # test_client.py compares it with the one of koncli.
    assert arrival_name("stage", "1", "a") == arrival_name("stage", "1", "a")
    names = {arrival_name("stage", uid, holder) for uid in ("1", "2") for holder in ("a", "b")}
    assert len(names) == 4
    assert len(arrival_name("a" * 253, "uid", "holder")) == 221


@pytest.mark.parametrize(
    ("environment", "holder"),
    [
        ({"KONDUCTOR_HOLDER": "me", "POD_NAME": "load-3-x7k2p"}, "me"),
        ({"POD_NAME": "load-3-x7k2p", "JOB_COMPLETION_INDEX": "3"}, "load-3"),
        ({"HOSTNAME": "load-3", "JOB_COMPLETION_INDEX": "3"}, "load-3"),
        ({"POD_NAME": "load-13-x7k2p", "JOB_COMPLETION_INDEX": "3"}, "load-13-x7k2p"),
        ({"POD_NAME": "web-7f9kx", "HOSTNAME": "other"}, "web-7f9kx"),
        ({"HOSTNAME": "web-7f9kx"}, "web-7f9kx"),
    ],
)
def test_a_pod_that_is_replaced_is_the_same_holder_in_an_indexed_job(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], holder: str
) -> None:
    for name in ("KONDUCTOR_HOLDER", "POD_NAME", "HOSTNAME", "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_holder() == holder


def test_errors_can_be_pickled_and_caught_by_what_python_calls_them() -> None:
    error = ON.error(konductor.TimedOut, "NotFound", "not within 3 s; it does not exist")
    error.__cause__ = OSError("which is not sent")
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, konductor.TimedOut)
    assert vars(copy) == vars(error)
    assert str(copy) == "lease/report in namespace default: not within 3 s; it does not exist"
    assert isinstance(error, TimeoutError)
    assert issubclass(konductor.Unreachable, ConnectionError)
    assert issubclass(konductor.Invalid, ValueError)
    assert not issubclass(konductor.Lost, TimeoutError | ConnectionError)
