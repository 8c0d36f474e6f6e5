"""What rests because a provider asked for it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from worker.core.outcome import Deferred, Outcome, Refused, Released, Sent, Unsure
from worker.roles.holds import Holds


def account(seconds: float | None = None) -> Deferred:
    return Deferred("rests", retry_after=None if seconds is None else timedelta(seconds=seconds), scope="account")


def address(seconds: float | None = None) -> Deferred:
    return Deferred("rests", retry_after=None if seconds is None else timedelta(seconds=seconds), scope="address")


def test_nothing_rests_at_first() -> None:
    """Every provider is asked at least once."""
    holds = Holds()

    assert holds.account_seconds_left(0.0) == 0
    assert holds.objection("a", 0.0) is None


def test_an_account_rests_as_long_as_its_provider_said() -> None:
    """For every address, and not a moment longer; what is held back costs nothing and knows when to come again."""
    holds = Holds()
    holds.note(account(7), "a", 100.0)

    assert holds.account_seconds_left(103.0) == 4
    assert holds.objection("b", 103.0) == Released("account_rests", timedelta(seconds=4))
    assert holds.objection("b", 107.0) is None


def test_a_shorter_word_does_not_cut_a_longer_one_short() -> None:
    """Answers to messages sent side by side come in any order."""
    holds = Holds()
    holds.note(account(30), "a", 0.0)
    holds.note(account(1), "b", 1.0)

    assert holds.account_seconds_left(1.0) == 29


def test_an_account_that_gives_no_time_rests_longer_each_time_up_to_a_minute() -> None:
    """An outage is not knocked at without end."""
    holds, now, rests = Holds(), 0.0, []
    for _ in range(12):
        holds.note(account(), "a", now)
        rests.append(holds.account_seconds_left(now))
        now += rests[-1]

    assert rests[:4] == [1, 2, 4, 8]
    assert max(rests) == rests[-1] == 60


@pytest.mark.parametrize("outcome", [Sent(), Refused("gone"), Unsure("silence"), Deferred("busy")])
def test_any_other_answer_begins_the_count_anew(outcome: Outcome) -> None:
    """The provider is there."""
    holds = Holds()
    for _ in range(5):
        holds.note(account(), "a", 0.0)
    holds.note(outcome, "a", 100.0)
    holds.note(account(), "a", 100.0)

    assert holds.account_seconds_left(100.0) == 1


def test_what_was_not_tried_teaches_nothing() -> None:
    """A delivery given back says nothing of the provider."""
    holds = Holds()
    holds.note(account(), "a", 0.0)
    holds.note(Released("account_rests"), "a", 1.0)
    holds.note(account(), "a", 1.0)

    assert holds.account_seconds_left(1.0) == 2


def test_one_address_rests_and_its_neighbours_do_not() -> None:
    """A 429 for one chat holds back that chat alone."""
    holds = Holds()
    holds.note(address(5), "a", 0.0)

    assert holds.objection("a", 2.0) == Released("address_rests", timedelta(seconds=3))
    assert holds.objection("b", 2.0) is None
    assert holds.account_seconds_left(2.0) == 0
    assert holds.objection("a", 5.0) is None


def test_an_address_that_gives_no_time_rests_a_second() -> None:
    """Long enough not to be asked again at once."""
    holds = Holds()
    holds.note(address(), "a", 0.0)

    assert holds.objection("a", 0.0) == Released("address_rests", timedelta(seconds=1))
