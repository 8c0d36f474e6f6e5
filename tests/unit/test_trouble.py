"""When a provider's account must rest."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from worker.core.outcome import Deferred, Outcome, Refused, Released, Sent, Unsure
from worker.core.trouble import RUN, Run, Trouble, probed

MINUTE = timedelta(minutes=1)
LIMITED = Deferred("rate_limited", retry_after=MINUTE, scope="address")


def troubles(run: Run, *outcomes: Outcome, delivery: UUID | None = None) -> list[Trouble | None]:
    return [run.note(outcome, delivery or uuid4()) for outcome in outcomes]


@pytest.mark.parametrize("rest", [None, MINUTE])
def test_an_outage_says_so_itself(rest: timedelta | None) -> None:
    """One failure of the whole account is enough, and its word on how long holds."""
    outage = Deferred("provider_busy", retry_after=rest, scope="account")

    assert troubles(Run(), outage) == [Trouble("provider_busy", rest)]


@pytest.mark.parametrize("failure", [Deferred("provider_error"), Unsure("provider_error"), LIMITED])
def test_a_run_of_failures_is_the_accounts_trouble(failure: Outcome) -> None:
    """Whatever each of them says: so many different deliveries cannot all be at fault."""
    found = troubles(Run(), *[failure] * RUN)

    assert found[:-1] == [None] * (RUN - 1)
    assert found[-1] == Trouble(failure.reason, MINUTE if failure is LIMITED else None)  # type: ignore[union-attr]


@pytest.mark.parametrize("answer", [Sent(), Refused("gone"), Refused("bad", fault="ours")])
def test_any_answer_ends_a_run(answer: Outcome) -> None:
    """A provider that takes or refuses something is there."""
    failures = [Deferred("provider_error")] * (RUN - 1)

    assert troubles(Run(), *failures, answer, *failures) == [None] * (2 * RUN - 1)


def test_what_was_not_tried_says_nothing() -> None:
    """A delivery given back neither ends a run nor lengthens it."""
    failures: list[Outcome] = [Deferred("provider_error")] * (RUN - 1)

    assert troubles(Run(), *failures, Released("shutdown"), Unsure("no_answer"))[-2:] == [None, Trouble("no_answer")]


def test_one_delivery_that_fails_again_and_again_is_no_run() -> None:
    """A poisonous message is at fault itself, and comes to an end by its attempts."""
    assert set(troubles(Run(), *[Deferred("provider_error")] * 20, delivery=uuid4())) == {None}


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Sent(), None),
        (Refused("gone"), None),
        (LIMITED, None),
        (Deferred("provider_error"), Trouble("provider_error")),
        (Deferred("provider_busy", retry_after=MINUTE, scope="account"), Trouble("provider_busy", MINUTE)),
        (Unsure("no_answer"), Trouble("no_answer")),
    ],
)
def test_one_try_tells_whether_the_provider_answers_again(outcome: Outcome, expected: Trouble | None) -> None:
    """An answer for one address only is an answer."""
    assert probed(outcome) == expected
