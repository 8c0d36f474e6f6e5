"""What follows from what a channel answered."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.backoff import Backoff
from worker.core.outcome import (
    Again,
    Dead,
    Deferred,
    Done,
    Outcome,
    Refused,
    Released,
    Requeue,
    Sent,
    Unsure,
    UnsurePolicy,
    Verdict,
    judge,
)

BACKOFF = Backoff(base=timedelta(seconds=10), cap=timedelta(minutes=5))
RESEND, HOLD = UnsurePolicy.RESEND, UnsurePolicy.HOLD
HALF_MINUTE = timedelta(seconds=30)


def verdict(outcome: Outcome, attempt: int = 1, policy: UnsurePolicy = RESEND, jitter: float = 0.5) -> Verdict:
    return judge(outcome, attempt=attempt, attempt_limit=3, policy=policy, backoff=BACKOFF, jitter=jitter)


@pytest.mark.parametrize("policy", [RESEND, HOLD])
@pytest.mark.parametrize("attempt", [1, 2, 3])
@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Sent("ref"), Done("sent")),
        (Refused("mailbox_unknown", suppress=True), Done("refused", "mailbox_unknown")),
        (Refused("malformed", fault="ours"), Dead("malformed")),
        (Released("shutdown"), Requeue("shutdown")),
        (Released("rests", HALF_MINUTE), Again(timedelta(seconds=30.1), "rests", costs_attempt=False)),
        (
            Deferred("slow_down", retry_after=HALF_MINUTE, costs_attempt=False),
            Again(timedelta(seconds=30.1), "slow_down", costs_attempt=False),
        ),
    ],
)
def test_some_outcomes_are_the_same_at_every_attempt(
    outcome: Outcome, expected: Verdict, attempt: int, policy: UnsurePolicy
) -> None:
    """Neither the attempts used up nor the policy matter to them."""
    assert verdict(outcome, attempt, policy) == expected


@pytest.mark.parametrize("policy", [RESEND, HOLD])
@pytest.mark.parametrize(
    ("outcome", "attempt", "expected"),
    [
        (Deferred("busy"), 1, Again(timedelta(seconds=5), "busy")),
        (Deferred("busy"), 2, Again(timedelta(seconds=10), "busy")),
        (Deferred("busy"), 3, Dead("busy")),
        (Deferred("busy"), 4, Dead("busy")),
        (Deferred("busy", retry_after=HALF_MINUTE), 2, Again(timedelta(seconds=30.1), "busy")),
        (Deferred("busy", retry_after=HALF_MINUTE), 3, Dead("busy")),
        (Deferred("away", costs_attempt=False), 3, Again(timedelta(seconds=20), "away", costs_attempt=False)),
    ],
)
def test_a_deferral_waits_until_attempts_are_used_up(
    outcome: Outcome, attempt: int, expected: Verdict, policy: UnsurePolicy
) -> None:
    """The provider's own word on when is met; what costs no attempt never dies of them."""
    assert verdict(outcome, attempt, policy) == expected


@pytest.mark.parametrize(
    ("policy", "attempt", "expected"),
    [
        (RESEND, 1, Again(timedelta(seconds=5), "silence", resends=True)),
        (RESEND, 2, Again(timedelta(seconds=10), "silence", resends=True)),
        (RESEND, 3, Dead("silence")),
        (HOLD, 1, Done("unsure", "silence")),
        (HOLD, 3, Done("unsure", "silence")),
    ],
)
def test_silence_is_resolved_by_policy(policy: UnsurePolicy, attempt: int, expected: Verdict) -> None:
    """Sent again and counted, or left to an operator; never passed over."""
    assert verdict(Unsure("silence"), attempt, policy) == expected


REASONS = st.sampled_from(["a", "b"])
WAITS = st.none() | st.timedeltas(timedelta(0), timedelta(days=1))
OUTCOMES = (
    st.builds(Sent)
    | st.builds(Deferred, REASONS, retry_after=WAITS, costs_attempt=st.booleans())
    | st.builds(Refused, REASONS, fault=st.sampled_from(["person", "ours"]), suppress=st.booleans())
    | st.builds(Unsure, REASONS)
    | st.builds(Released, REASONS, WAITS)
)


@given(
    outcome=OUTCOMES,
    attempt=st.integers(1, 60),
    limit=st.integers(1, 50),
    policy=st.sampled_from(UnsurePolicy),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_never_is_an_attempt_made_beyond_the_limit(
    outcome: Outcome, attempt: int, limit: int, policy: UnsurePolicy, jitter: float
) -> None:
    """Another try is granted below the limit, or where this one is given back; nothing waits a negative time."""
    found = judge(outcome, attempt=attempt, attempt_limit=limit, policy=policy, backoff=BACKOFF, jitter=jitter)

    match found:
        case Again():
            assert attempt < limit or not found.costs_attempt
            assert found.delay >= timedelta(0)
            wanted = getattr(outcome, "retry_after", None)
            assert wanted is None or found.delay >= wanted
            assert found.resends == isinstance(outcome, Unsure)
        case Requeue():
            assert isinstance(outcome, Released)
        case Done():
            kind = {"sent": Sent, "refused": Refused, "unsure": Unsure}[found.state]
            assert isinstance(outcome, kind)
            assert found.state != "unsure" or policy is HOLD
        case Dead():
            assert not isinstance(outcome, Sent | Released)
