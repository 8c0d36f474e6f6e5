"""How providers' accounts are told of. No I/O: the ledger was read."""

from __future__ import annotations

from collections.abc import Sequence

from worker.commands.screen import often
from worker.ledger.connection import Record

STATES = {
    "closed": "in service",
    "open": "rests",
    "probing": "rests, and is being tried",
    "ramping": "in service again, and given more little by little",
}


def cause_of(account: Record) -> str:
    """Say why an account rests, and how often it failed since it was well; '' where it never did."""
    failures = f", {often(account['failures'])}" if account["failures"] > 1 else ""
    return f"{account['reason']}{failures}" if account["reason"] else ""


def next_of(account: Record) -> str:
    """Say when an account that rests is tried; '' for any other."""
    seconds = account["rests_seconds"]
    if seconds is None:
        return ""
    return f"tried in {seconds:.0f} s" if seconds else "tried with the next delivery"


def rest_of(channel: str, accounts: Sequence[Record]) -> str:
    """Say why nothing is sent on a channel: each of its accounts rests. '' where one is in service, or none known."""
    own = [row for row in accounts if row["account"].partition(":")[0] == channel]
    if any(row["state"] in ("closed", "ramping") for row in own):
        return ""
    return "; ".join(
        f"{row['provider']} {STATES[row['state']]} ({cause_of(row)}){f', {then}' if (then := next_of(row)) else ''}"
        for row in own
    )
