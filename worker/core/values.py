"""What a payload's values become before a text may print them: plain data that no medium trips over. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from worker.core import limits
from worker.core.text_source import UNWANTED

_DEEPEST = 8
_WIDEST_INTEGER = 2**63


def clean(value: object, depth: int = 0) -> object:
    """A value as plain data that no medium trips over. None becomes "", and so does what is nested absurdly deep.

    An unwanted character becomes a space rather than nothing: a URL that holds one must not become a valid URL.
    """
    if isinstance(value, str):
        return value if value.isprintable() else clean_text(value)
    if value is None or depth > _DEEPEST:
        return ""
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < _WIDEST_INTEGER):
        return value
    if isinstance(value, Mapping):
        items = islice(value.items(), limits.MOST_ITEMS)
        return {clean_text(str(key)): clean(item, depth + 1) for key, item in items}
    if isinstance(value, Sequence):
        return [clean(item, depth + 1) for item in value[: limits.MOST_ITEMS]]
    return clean_text(str(value))


def clean_text(text: str) -> str:
    return UNWANTED.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))
