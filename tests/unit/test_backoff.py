"""When a delivery is tried again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.backoff import Backoff

BACKOFF = Backoff(base=timedelta(seconds=5), cap=timedelta(minutes=1))


@pytest.mark.parametrize(
    ("attempt", "ceiling_seconds"), [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (6, 60), (1000, 60)]
)
def test_the_ceiling_doubles_up_to_the_cap(attempt: int, ceiling_seconds: int) -> None:
    """The longest wait after each attempt, however many there were."""
    almost_one = 1 - 2**-53

    assert BACKOFF.delay(attempt, almost_one).total_seconds() == pytest.approx(ceiling_seconds)


@given(attempt=st.integers(1, 50), jitter=st.floats(0, 1, exclude_max=True))
def test_a_delay_is_a_share_of_its_ceiling(attempt: int, jitter: float) -> None:
    """Full jitter: anything from nothing to the ceiling, so that many that failed at once do not come back at once."""
    ceiling = min(timedelta(minutes=1), timedelta(seconds=2.5) * 2 ** min(attempt, 20))

    assert timedelta(0) <= BACKOFF.delay(attempt, jitter) <= ceiling
    assert BACKOFF.delay(attempt, jitter).total_seconds() == pytest.approx(ceiling.total_seconds() * jitter, abs=1e-6)


@given(
    base=st.timedeltas(timedelta(milliseconds=1), timedelta(days=1)),
    cap=st.timedeltas(timedelta(milliseconds=1), timedelta(days=30)),
    attempt=st.integers(1, 32_767),
)
def test_no_schedule_ever_raises_or_exceeds_its_cap(base: timedelta, cap: timedelta, attempt: int) -> None:
    """Whatever a channel chooses, up to the last attempt that the ledger can count."""
    assert timedelta(0) <= Backoff(base, cap).delay(attempt, 0.999) <= cap
