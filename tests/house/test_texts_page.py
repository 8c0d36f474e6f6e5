"""The page about texts: it names all that a text may hold, and its example is a text."""

from __future__ import annotations

import re
from pathlib import Path

from worker.core.text_source import FILTERS, KNOWN, STATEMENTS, Source, parse

PAGE = (Path(__file__).parents[2] / "docs/texts.md").read_text("utf-8")


def test_the_page_names_every_filter_statement_and_name() -> None:
    """Whoever writes a text finds there what they can use."""
    words = set(re.findall(r"\w+(?:\.\w+)?", PAGE))

    assert words >= {*FILTERS, *STATEMENTS}
    assert words >= {f"{head}.{name}" for head, names in KNOWN.items() for name in names}


def test_its_example_is_a_text() -> None:
    """It can be copied."""
    example = PAGE.partition("```text\n")[2].partition("```")[0]

    parsed = parse(Source("page.txt", "payment.failed", "user", "en", "", example))

    assert set(parsed.fields) == {"amount", "currency", "reason", "retry_url"}
