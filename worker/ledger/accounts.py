"""Providers' accounts in the ledger: their breakers and limits, the same for all workers. One statement each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from worker.ledger.connection import Ledger, statement

State = Literal["closed", "open", "probing", "ramping"]
Finding = Literal["well", "ill", "untried"]


class Known(NamedTuple):
    """How an account is. `open_seconds`: until it may be probed; `ramp_seconds`: since it is well again."""

    name: str
    state: State
    reason: str
    open_seconds: float
    ramp_seconds: float


class Block(NamedTuple):
    """Sends that are reserved for this worker: `slots` of them, `spacing` seconds apart, the first after `delay`."""

    delay: float
    spacing: float
    slots: int


async def make_known(ledger: Ledger, accounts: Sequence[tuple[str, str]]) -> None:
    """Give each account, (name, provider), its row, and forget others of their channels. Safe to repeat."""
    await ledger.fetch(statement("accounts_known"), *zip(*accounts, strict=True))


async def look(ledger: Ledger, names: Sequence[str]) -> list[Known]:
    """Answer how these accounts are; what has no row is missing."""
    rows = await ledger.fetch(statement("accounts_look"), names)
    return [
        Known(row["name"], row["state"], row["reason"], row["open_seconds"] or 0.0, row["ramp_seconds"] or 0.0)
        for row in rows
    ]


async def open_account(ledger: Ledger, name: str, reason: str, rest_seconds: float | None) -> None:
    """Let an account rest, as long as its provider said; None: longer with each time. Safe to repeat by many."""
    await ledger.fetch(statement("account_open"), name, reason, rest_seconds)


async def claim_probe(ledger: Ledger, name: str, token: int, within_seconds: float) -> bool:
    """Ask to be the one who tries an account that has rested. Answers whether we are; our word counts so long."""
    return bool(await ledger.fetch(statement("account_claim"), name, token, within_seconds))


async def tell_probe(
    ledger: Ledger, name: str, token: int, finding: Finding, reason: str, rest_seconds: float | None
) -> None:
    """Write what our probe found. Without effect where another probes by now."""
    await ledger.fetch(statement("account_probed"), name, token, finding, reason, rest_seconds)


async def close_account(ledger: Ledger, name: str, ramp_seconds: float) -> None:
    """Let an account count as well that has been for so long. Safe to repeat by many."""
    await ledger.fetch(statement("account_close"), name, ramp_seconds)


async def reserve(ledger: Ledger, name: str, wanted: int, per_second: float, ramp_seconds: float) -> Block | None:
    """Reserve at most so many sends, and no more than a quarter of a second of the limit, exactly over all workers.

    None: the account rests.
    """
    rows = await ledger.fetch(statement("account_reserve"), name, wanted, per_second, ramp_seconds)
    return Block(*rows[0]) if rows else None
