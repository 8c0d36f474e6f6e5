"""Prints one mail of every kind that a catalogue can send, and tells what its readers would miss, by file and line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import product
from pathlib import Path
from uuid import UUID

from schemas.catalogue import Catalogue
from worker import channels
from worker.channels.base import Target, Trimmings
from worker.channels.email import EmailChannel, Mail
from worker.channels.layout import Brand
from worker.channels.mail_check import Fault, faults_in_mail
from worker.core.check import Finding
from worker.core.content import Content, Markup
from worker.core.outcome import Refused
from worker.core.template import EventView, PersonView, TextKey, Texts, Unrenderable
from worker.core.text_source import Source

EXAMPLE = Brand(
    "Example", logo_url="https://example.com/logo.png", settings_url="https://example.com/{person}?of={delivery}"
)
"""A brand with all that a mail can show."""

_FOLDER = Path(channels.__path__[0])
_AT = datetime(2026, 11, 21, tzinfo=UTC)
_WORDS = """\
title: What happened
link: https://example.com/it
action: Look at it

Words, some of them **strong**, and [a link](https://example.com/more).

- An item
"""


def mail_findings(catalogue: Catalogue, locales: Sequence[str], brands: Iterable[Brand]) -> list[Finding]:
    """Answer every mistake in the mails of these brands, each once."""
    kinds = {
        (info.category, info.critical, route.audience)
        for info in catalogue
        for route in info.routes
        if "email" in route.channels
    }
    findings = {
        _finding(fault)
        for brand, (category, critical, audience), locale in product(brands, sorted(kinds), locales)
        for fault in faults_in_mail(
            example_mail(brand, category, audience, locale, critical=critical), brand, critical=critical
        )
    }
    return sorted(findings, key=lambda one: (one.path, one.line, one.what))


def example_mail(brand: Brand, category: str, audience: str, locale: str, *, critical: bool) -> bytes:
    """Print a mail that has all of what a mail can have, as this brand would send it."""
    channel = EmailChannel("smtp://localhost", "sender@example.com", hostname="localhost", brand=brand)
    target = Target(
        UUID(int=1), "ayu@example.com", "Ayu", "example", _AT, "ayu", locale, category, critical, audience,
        Trimmings(image="https://example.com/picture.png"),
    )  # fmt: skip
    match channel.fit(_contents(), target):
        case Mail() as mail:
            return mail.data
        case Refused() as refused:
            raise AssertionError(f"the example cannot be printed: {refused.reason}")


@cache
def _contents() -> tuple[Content, ...]:
    texts = Texts([Source("example", "example", "user", "en", "", _WORDS)])
    contents = texts.render_all(
        TextKey("example", "user", "en"), (Markup.PLAIN, Markup.HTML), "email",
        values={}, person=PersonView("Ayu", "en", "UTC"), event=EventView("example", _AT),
    )  # fmt: skip
    if isinstance(contents, Unrenderable):
        raise AssertionError(f"the example cannot be rendered: {contents.detail}")  # noqa: TRY004 - it is our own
    return contents


def _finding(fault: Fault) -> Finding:
    path = _FOLDER / fault.file
    if not path.is_file():
        return Finding(fault.file, 1, fault.what, fault.remedy)
    lines = path.read_text(encoding="utf-8").splitlines()
    found = (number for mark in fault.marks for number, line in enumerate(lines, 1) if mark in line)
    return Finding(str(path), next(found, 1), fault.what, fault.remedy)
