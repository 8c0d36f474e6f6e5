"""Values that a tag only formats, such as `{{ amount|money(currency) }}`: written before the engine is called. Pure.

The way out of the engine into a filter and back takes longer than what the filter does, and a mail would go it twice,
for its text and for its HTML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from typing import Any

from worker.core.engine import FORMATS
from worker.core.markup import TAG

Writer = Callable[[Mapping[str, Any]], object]
"""Writes one value of a text's context: its fields, and the person and the event where their words are used."""

_ONLY_FORMATS = re.compile(rf"\{{\{{\s*(\w+)\s*\|\s*({'|'.join(FORMATS)})\s*(?:\(\s*(\w+)\s*\)\s*)?\}}\}}")


def lifted(template: str, fields: Container[str], language: str) -> tuple[str, dict[str, Writer]]:
    """The template with a name in each such tag, and what writes the value of each name.

    `fields` are the context's. Not for a template with a loop, which may give their names to other values.
    """
    writers: dict[str, Writer] = {}

    def named(found: re.Match[str]) -> str:
        tag = _ONLY_FORMATS.fullmatch(found[0])
        if tag is None or tag[1] not in fields or (tag[3] and tag[3] not in fields):
            return found[0]
        name = f"__{tag[2]}__{tag[1]}__{tag[3] or ''}"  # no author can write "__"
        writers[name] = _writer(tag[2], tag[1], tag[3], language)
        return f"{{{{ {name} }}}}"

    return TAG.sub(named, template), writers


def _writer(format_: str, field: str, argument: str | None, language: str) -> Writer:
    write = FORMATS[format_]
    if argument is None:
        return lambda context: write(context[field], "", context.__getitem__, language)
    return lambda context: write(context[field], context[argument], context.__getitem__, language)
