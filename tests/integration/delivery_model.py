"""What must hold of a delivery whatever happens at once, and what may happen. Pure: `delivery_life` does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
from hypothesis import strategies as st

from schemas.catalogue import Lane
from worker.core.outcome import Deferred, Outcome, Refused, Released, Sent, Unsure, UnsurePolicy
from worker.core.plan import Plan
from worker.ledger.deliveries import Leased

DELIVERIES = 6
UNFINISHED = {"waiting", "queued", "leased"}
OUTCOMES: tuple[Outcome, ...] = (
    Sent("r1"),
    Unsure("timeout"),
    Deferred("busy"),
    Deferred("rate_limited", retry_after=timedelta(seconds=5), costs_attempt=False, scope="account"),
    Refused("mailbox_unknown", suppress=True),
    Refused("malformed", fault="ours"),
    Released("shutdown"),
    Released("account_rests", retry_after=timedelta(seconds=5)),
)


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that somebody does. `picks` chooses the deliveries or leases, `outcome` what a provider answers."""

    verb: str
    picks: tuple[int, ...]
    outcome: Outcome


@dataclass(slots=True)
class Hand:
    """A lease as its courier knows it. `is_live`: nobody may have taken it from the courier yet."""

    leased: Leased
    is_live: bool = True
    has_sent: bool = False


@dataclass(slots=True)
class Life:
    """What is known of a delivery from outside: how often the provider took it, who holds it, who intervened."""

    accepted: int = 0
    tries: int = 0
    replays: int = 0
    is_stopped: bool = False
    hand: Hand | None = None

    def objections(self, row: asyncpg.Record) -> Iterator[str]:
        """Say what is wrong with the ledger's row; nothing where every invariant holds."""
        is_finished = row["state"] not in UNFINISHED
        is_held = self.hand is not None and self.hand.is_live
        checks = {
            "it is unfinished and never looked at again": is_finished or row["due_at"] is not None,
            "it is finished and has a time": not is_finished or row["due_at"] is None,
            "the attempts are not the leases that were kept": row["attempt"] == self.tries,
            "it was tried beyond its limit": row["attempt"] <= row["attempt_limit"],
            "it was sent again and nobody counted": self.accepted <= 1 + row["resends"] + self.replays,
            "it says sent and no provider has it": row["state"] != "sent" or self.accepted > 0,
            "its lease went without its courier": not is_held or row["state"] == "leased",
            "it is dead without one open letter, or has one alive": row["letters"] == (row["state"] == "dead"),
        }
        return (claim for claim, holds in checks.items() if not holds)


def honest(outcome: Outcome, hand: Hand) -> Outcome:
    """What a courier may say: "sent" or "unsure" of what went out; anything else only of what did not."""
    return outcome if not hand.has_sent or isinstance(outcome, Sent | Unsure) else Sent("r1")


def _acts(*verbs: str) -> st.SearchStrategy[Act]:
    some = st.lists(st.integers(0, DELIVERIES - 1), min_size=1, max_size=DELIVERIES, unique=True).map(tuple)
    picks = st.just(tuple(range(DELIVERIES))) | some
    return st.builds(Act, st.sampled_from(verbs), picks, st.sampled_from(OUTCOMES))


ORDINARY = _acts("lease", "settle", "speak_late", "send", "lose", "reap", "wake", "heal")
RARE = _acts("crash", "cancel", "expire", "opt_out", "publish_again", "replay")
PLANS = st.lists(
    st.builds(Plan, st.sampled_from(Lane), st.integers(1, 6), st.sampled_from(UnsurePolicy)),
    min_size=DELIVERIES, max_size=DELIVERIES,
)  # fmt: skip
