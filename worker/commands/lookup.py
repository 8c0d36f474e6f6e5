"""What an operator names: a row of the ledger by the beginning of its id, a text by its path."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from worker.core.text_source import Place, Source, place_of
from worker.errors import NotFound
from worker.ledger.connection import Ledger, Record

_PREFIX = re.compile(r"[0-9a-f]{6,32}")


class Kind(NamedTuple):
    """What is looked for: how it is called, the command that lists it, and the look-up, which may answer two."""

    one: str
    several: str
    listed_by: str
    find: Callable[[Ledger, str], Awaitable[list[Record]]]


async def find_one(ledger: Ledger, kind: Kind, given: str) -> Record:
    """Answer the one whose id begins so; raises NotFound where there is none, or more than one."""
    prefix = given.strip().lower().replace("-", "")
    if not _PREFIX.fullmatch(prefix):
        raise NotFound(f"{given!r} is no {kind.one}'s id: give at least 6 of its characters (0-9, a-f)")
    found = await kind.find(ledger, prefix)
    if not found:
        raise NotFound(f"no {kind.one} has an id that begins with {given!r}: see `{kind.listed_by}`")
    if len(found) > 1:
        raise NotFound(f"the ids of several {kind.several} begin with {given!r}: give more of it")
    return found[0]


def place_named(name: str) -> Place:
    """Read a text's name, such as `payment.failed/user/en` or its path with `.slack.txt`."""
    parts = name.removesuffix(".txt").split("/")
    locale, _, channel = parts[-1].partition(".")
    if len(parts) < 3 or not all(parts[-3:]):  # noqa: PLR2004 - type, audience, locale
        raise NotFound(f"{name!r} names no text: write TYPE/AUDIENCE/LOCALE, as `kabar template list` shows them")
    return place_of(Source(name, parts[-3], parts[-2], locale, channel, ""))
