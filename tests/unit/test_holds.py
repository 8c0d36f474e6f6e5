"""What one process remembers of addresses that asked for rest."""

from __future__ import annotations

from datetime import timedelta

from worker.core.outcome import Deferred, Released
from worker.roles.holds import Holds


def address(seconds: float | None = None) -> Deferred:
    retry_after = None if seconds is None else timedelta(seconds=seconds)
    return Deferred("rate_limited", retry_after=retry_after, costs_attempt=False, scope="address")


def test_one_address_rests_and_its_neighbours_do_not() -> None:
    """A 429 for one chat holds back that chat alone."""
    holds = Holds()
    holds.note(address(5), "a", 0.0)

    assert holds.objection("a", 2.0) == Released("address_rests", timedelta(seconds=3))
    assert holds.objection("b", 2.0) is None
    assert holds.objection("a", 5.0) is None


def test_an_address_that_gives_no_time_rests_a_second() -> None:
    """Long enough not to be asked again at once."""
    holds = Holds()
    holds.note(address(), "a", 0.0)

    assert holds.objection("a", 0.0) == Released("address_rests", timedelta(seconds=1))


def test_rests_that_are_over_are_forgotten() -> None:
    """However many addresses there are, what is kept is bounded by those that rest."""
    holds = Holds()
    for number in range(10_000):
        holds.note(address(1), f"a{number}", 0.0)
    holds.note(address(60), "late", 2.0)

    assert holds.objection("late", 3.0)
    assert holds.objection("a1", 0.5) is None
