"""The people directory: who they are, where they can be reached, what they want."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from worker.core.plan import Address, Facts, Person
from worker.ledger.connection import Connection, Ledger, Record, statement

ROLE_LIMIT = 500
"""Members of a role that are read at once; a larger one is told in slices."""
_WRITERS = 0x70656F706C65  # "people": the advisory lock of whoever changes the directory


async def read_facts(ledger: Ledger, persons: Collection[str], roles: Collection[str]) -> Facts:
    """Read everything known of these people and of everybody in these roles, in one round trip."""
    rows = await ledger.fetch(statement("facts"), list(persons), list(roles), ROLE_LIMIT + 1)
    people = {row["id"]: person_of(row) for row in rows}
    if not roles:
        return Facts(people)
    sizes = Counter(role for person in people.values() for role in person.roles)
    return Facts(people, frozenset(role for role in roles if sizes[role] > ROLE_LIMIT))


def person_of(row: Record) -> Person:
    """Read `id, roles, addresses, preferences`, as the statements on facts answer them."""
    return Person(
        id=row["id"],
        roles=frozenset(row["roles"]),
        addresses=tuple(Address(*parts) for parts in row["addresses"]),
        preferences={(scope, channel): wanted == "on" for scope, channel, wanted in row["preferences"]},
    )


@dataclass(frozen=True, slots=True)
class PersonChange:
    """What is new of a person. None leaves a field as it is; a channel's addresses are given whole."""

    person_id: str
    at: datetime
    name: str | None = None
    locale: str | None = None
    time_zone: str | None = None
    roles: Sequence[str] | None = None
    addresses: Mapping[str, Sequence[str]] | None = None


@dataclass(frozen=True, slots=True)
class PersonRemoval:
    """A person is gone."""

    person_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class PreferenceChange:
    """A person wants something, or does not, or (None) has no opinion any more."""

    person_id: str
    at: datetime
    scope: str
    channel: str
    enabled: bool | None


DirectoryChange = PersonChange | PersonRemoval | PreferenceChange


async def apply_changes(ledger: Ledger, changes: Iterable[DirectoryChange]) -> list[DirectoryChange]:
    """Apply changes in their order, and answer those that were ignored, because something newer is known.

    Safe to call twice with the same. Neighbours of one kind about different people share a statement; all of it is one
    transaction.
    """
    runs = [(kind, run, orjson.dumps(run).decode()) for kind, run in _runs(changes)]

    async def work(connection: Connection) -> list[DirectoryChange]:
        # One writer at a time: a statement that waited for another's person would not see the addresses that the
        # other gave, and would leave them beside its own.
        await connection.fetch("SELECT pg_advisory_xact_lock($1)", _WRITERS)
        ignored: list[DirectoryChange] = []
        for kind, run, encoded in runs:
            older = {tuple(row) for row in await connection.fetch(statement(kind), encoded)}
            ignored += [change for change in run if _kind_and_key(change)[1] in older]
        return ignored

    return await ledger.transact(work)


def _runs(changes: Iterable[DirectoryChange]) -> Iterable[tuple[str, list[DirectoryChange]]]:
    kind, run, seen = "", list[DirectoryChange](), set[tuple[str, ...]]()
    for change in changes:
        name, key = _kind_and_key(change)
        if run and (name != kind or key in seen):
            yield kind, run
            run, seen = [], set()
        kind = name
        run.append(change)
        seen.add(key)
    if run:
        yield kind, run


def _kind_and_key(change: DirectoryChange) -> tuple[str, tuple[str, ...]]:
    match change:
        case PersonChange():
            return "person_changed", (change.person_id,)
        case PersonRemoval():
            return "person_removed", (change.person_id,)
        case PreferenceChange():
            return "preference_changed", (change.person_id, change.scope, change.channel)
