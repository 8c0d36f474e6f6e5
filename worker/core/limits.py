"""How much a text may be, hold, do and say. Pure; what keeps one hostile template or payload from holding a worker up.

The engine counts instructions but not what one of them moves: one that prints a value of 60 KB is one instruction.
So the fuel depends on how costly the values are; together they bound a render to well under 100 ms.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping

from worker.core.markup import TAG

LONGEST_SOURCE_BYTES = 64 * 1024
MOST_LINES = 500
MOST_TAGS = 500
MOST_LINKS = 500
MOST_BOLD_MARKS = 1_000
LONGEST_TAG = 500
"""Characters; the engine's own parser goes one call deeper for each minus sign, until its stack is used up."""
HEAVIEST_CONTEXT = 64 * 1024
"""Characters of all values that one text prints, and 16 for each value in a list."""
LONGEST_OUTPUT = 256 * 1024
"""Characters of one rendering, its markup included."""

FUEL = (10_000, 4_000, 2_000, 300, 60)
_COSTLIEST = (1_000, 4_000, 14_000, 64_000)
"""How costly the values may be for each fuel but the last."""
_MOST_WORK = 10_000_000  # steps times cost, of some 4 ns each

_ITEM = 16
MOST_ITEMS = HEAVIEST_CONTEXT // _ITEM
"""A list or an object of more is too heavy whatever it holds, and needs not be looked at any further."""
_DEAR = 10  # how much longer what has to be escaped takes than a letter does
_ESCAPED = "<>&\"'/"
_LITERAL = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_WORD = re.compile(r"\w+")
_FOR = re.compile(r"\{%[-+]?\s*for\b")


def weight(value: object) -> int:
    """How much of `HEAVIEST_CONTEXT` a cleaned value takes."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_ITEM + len(key) + weight(item) for key, item in value.items())
    return _ITEM + sum(_ITEM + weight(item) for item in value) if isinstance(value, list) else _ITEM


def cost(value: object) -> int:
    """How long printing a cleaned value once takes, where a letter counts 1. Never less than its weight."""
    if isinstance(value, str):
        dear = sum(map(value.count, _ESCAPED)) + (0 if value.isascii() else len(value.encode("utf-8", "replace")))
        return len(value) + _DEAR * dear
    if isinstance(value, Mapping):
        return sum(_ITEM + cost(key) + cost(item) for key, item in value.items())
    return _ITEM + sum(_ITEM + cost(item) for item in value) if isinstance(value, list) else _ITEM


def words_of_tags(text: str) -> list[str]:
    """The words of a text's tags: as many as it can touch a value, loops aside."""
    return [word for tag in TAG.findall(text) for word in _WORD.findall(_LITERAL.sub("", tag))]


def has_loop(text: str) -> bool:
    """Can this text do more than its length says?"""
    return bool(_FOR.search(text))


def fuel_for(costs: int) -> int:
    """Which of `FUEL` a text with a loop gets, by the cost of all its values and of its own length. Counts from 0."""
    return bisect_left(_COSTLIEST, costs)


def is_too_much(steps_of_text: int, costs: int) -> bool:
    """Would a text without a loop take too long with values of this cost?"""
    return steps_of_text * costs > _MOST_WORK


def is_surely_little(steps_of_text: int, weights: int) -> bool:
    """Is it not even worth asking what the values cost? True for nearly every message."""
    return steps_of_text * weights * (4 * _DEAR + 1) < _MOST_WORK
