"""How long a confirm is waited for."""

from __future__ import annotations

from schemas.patience import LONGEST_SECONDS, SHORTEST_SECONDS, Patience


def test_patience_grows_with_each_connection_that_confirms_nothing() -> None:
    """A broker that is only slow is not asked anew every moment."""
    patience = Patience()
    waited = []

    for _ in range(4):
        patience.begin(0.0)
        waited.append(patience.seconds)

    assert waited == [SHORTEST_SECONDS, 2 * SHORTEST_SECONDS, LONGEST_SECONDS, LONGEST_SECONDS]


def test_what_has_confirmed_once_is_given_time() -> None:
    """After the first confirm the connection is trusted; the next one begins with little patience again."""
    patience = Patience()
    patience.begin(0.0)
    patience.begin(0.0)

    patience.reward()

    assert patience.seconds == LONGEST_SECONDS
    patience.begin(0.0)
    assert patience.seconds == SHORTEST_SECONDS


def test_a_refusal_is_no_reason_to_leave_a_connection_just_made() -> None:
    """A queue that is full refuses on every connection: another one is tried now and then, and not each time."""
    patience = Patience()

    patience.begin(100.0)

    assert not patience.is_over(101.4)
    assert patience.is_over(101.5)
