"""Checking the ledger against its invariants, on a live database: read-only, in small steps, each by an index.

Each step is one statement and so one moment: what belongs together is written together, and is seen together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from worker.ledger.connection import Connection, Ledger, Record, statement

STEP_ROWS = 10_000
"""About how many deliveries one statement looks at."""
_MOST_EVENTS = 5_000
_LONGEST = "10s"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = UUID(int=0)
_ORPHANS: Final = ("audit_orphan_notifications", "audit_orphan_deliveries", "audit_orphan_attempts")
_CHECKS_OF: Final = {
    "audit_events": ("event_ends",),
    "audit_notifications": ("notification_ends", "told_once", "inbox_shows"),
    "audit_deliveries": (
        "rows_agree", "told_once", "attempt_limit", "has_reason", "attempts_kept", "resends_counted", "not_too_late",
        "not_suppressed", "dead_has_letter",
    ),
}  # fmt: skip
"""What a walk's statement checks of each row it looks at."""


class Flaw(NamedTuple):
    """A row that breaks an invariant. `id`: its own, a queue's name for what is the broker's."""

    check: str
    id: str
    says: str


class Findings:
    """What was found. Counts are complete, of the flaws of each check no more than `limit` are kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.looked_at: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()
        self.flaws: defaultdict[str, list[Flaw]] = defaultdict(list)

    def look(self, check: str, rows: int, broken: int = 0) -> None:
        """Note how many rows were looked at, and how many of them are broken beside those told of one by one."""
        self.looked_at[check] += rows
        self.broken[check] += broken

    def keep(self, flaw: Flaw) -> None:
        """Keep a flaw that is counted already."""
        if len(self.flaws[flaw.check]) < self._limit:
            self.flaws[flaw.check].append(flaw)

    def add(self, flaw: Flaw) -> None:
        """Count a flaw, and keep it."""
        self.broken[flaw.check] += 1
        self.keep(flaw)

    def add_all(self, rows: Iterable[Record]) -> None:
        """Add what a step found: rows of `id` and `flaws`, each as `check|what`; `id` null: none."""
        for row in rows:
            for text in row["flaws"] or () if row["id"] is not None else ():
                check, _, says = text.partition("|")
                self.add(Flaw(check, str(row["id"]), says))


async def audit(ledger: Ledger, since: datetime | None, limit: int) -> Findings:
    """Check what belongs to the events received since then, and all that is unfinished; None: everything there is.

    Rows without their event cannot be found by time, and are looked for only where everything is checked.
    """
    findings = Findings(limit)
    await _walk_events(ledger, since or _LONG_AGO, findings)
    await _look_at_unfinished(ledger, findings, limit)
    await _walk_letters(ledger, findings)
    replays = await _read(ledger, "audit_replays", since or _LONG_AGO)
    findings.look("replay_arrives", replays[0]["looked_at"])
    findings.add_all(replays)
    for name in _ORPHANS if since is None else ():
        await _walk(ledger, name, findings)
    return findings


async def queued(ledger: Ledger) -> Sequence[Record]:
    """Count what is ready, by channel and lane: `queued`, and `late` of it, which nobody took in time.

    And `passed` of that, which has no job: the couriers have come to what was published after it.
    """
    return await _read(ledger, "audit_queued")


async def _walk_events(ledger: Ledger, since: datetime, findings: Findings) -> None:
    """Go through the events in the order of their arrival, in steps of about as many deliveries each."""
    until, size = datetime.now(UTC), 100
    while True:
        (step,) = await _read(ledger, "audit_step", since, until, size)
        if step["upto"] is None:
            return
        try:
            deliveries = await _take_step(ledger, since, step["upto"], findings)
        except (TimeoutError, asyncpg.QueryCanceledError):
            if size == 1:
                raise
            size = max(1, size // 10)  # a few events with very large audiences
            continue
        since = step["upto"]
        size = min(4 * size, _MOST_EVENTS, max(1, size * STEP_ROWS // max(deliveries, 1)))


async def _take_step(ledger: Ledger, since: datetime, upto: datetime, findings: Findings) -> int:
    """Check the events between two moments; answers how many deliveries they have."""
    found = {name: await _read(ledger, name, since, upto) for name in _CHECKS_OF}
    for name, rows in found.items():
        for check in _CHECKS_OF[name]:
            findings.look(check, rows[0]["looked_at"])
        findings.add_all(rows)
    return int(found["audit_deliveries"][0]["looked_at"])


async def _look_at_unfinished(ledger: Ledger, findings: Findings, limit: int) -> None:
    seen = set()
    for row in await _read(ledger, "audit_unfinished", limit):
        if row["check"] not in seen:
            seen.add(row["check"])
            findings.look(row["check"], row["looked_at"], row["broken"])
        if row["id"] is not None:
            findings.keep(Flaw(row["check"], str(row["id"]), row["says"]))


async def _walk_letters(ledger: Ledger, findings: Findings) -> None:
    place: tuple[datetime, UUID] = (_LONG_AGO, _FIRST)
    while True:
        rows = await _read(ledger, "audit_letters", *place, STEP_ROWS)
        findings.look("letter_has_dead", rows[0]["looked_at"])
        findings.add_all(rows)
        if not rows[0]["looked_at"]:
            return
        place = (rows[0]["at"], rows[0]["behind"])


async def _walk(ledger: Ledger, name: str, findings: Findings) -> None:
    """Go through a table in the order of its ids."""
    place = _FIRST
    while True:
        rows = await _read(ledger, name, place, STEP_ROWS)
        findings.look("no_orphans", rows[0]["looked_at"])
        findings.add_all(rows)
        if not rows[0]["looked_at"]:
            return
        place = rows[0]["behind"]


async def _read(ledger: Ledger, name: str, *arguments: object) -> Sequence[Record]:
    """Run one statement that can neither write nor run for long."""

    async def work(connection: Connection) -> list[Record]:
        await connection.execute(f"SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = '{_LONGEST}'")
        return await connection.fetch(statement(name), *arguments)

    return await ledger.transact(work)
