"""What a provider answered, made fit for the ledger and the log: no address, number, link or secret survives. Pure.

Providers like to repeat the recipient and now and then the credentials in their error texts. Error codes
(`550 5.1.1`, `channel_not_found`) are what helps an operator and stay readable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LIMIT = 300
"""The longest detail, in characters."""

_LOOKED_AT = 1000  # what stands behind is never shown, and a hostile text shall cost little

_RULES = (
    (re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://[^\s<>\"']+", re.IGNORECASE), "<link>"),
    (re.compile(r"(?:\"[^\"]*\"|[^\s<>()\[\]\"',;:]+)@[^\s<>()\"',;]+"), "<address>"),
    (re.compile(r"\b(?:bot)?\d{5,}:[\w-]{10,}"), "<secret>"),
    (re.compile(r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{12,}"), "<id>"),
    (re.compile(r"\b[A-Z][A-Z0-9]{8,}\b"), "<id>"),
    (re.compile(r"[A-Za-z0-9+/_=-]{40,}"), "<secret>"),
    (re.compile(r"\+\d[\d ().-]{5,}\d"), "<number>"),
    (re.compile(r"\d{5,}"), "<number>"),
)
_BLANK = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")


def mask(text: str, *secrets: str) -> str:
    """Give the text on one line, at most `LIMIT` long, without e-mail addresses, links, long numbers and ids.

    `secrets` are replaced wherever they stand, before anything else.
    """
    text = hide(text, secrets)
    if len(text) > _LOOKED_AT:
        # The last word is cut in two and would escape the rules.
        text = text[:_LOOKED_AT].rpartition(" ")[0]
    text = _BLANK.sub(" ", text).strip()
    for pattern, stand_in in _RULES:
        text = pattern.sub(stand_in, text)
    return text if len(text) <= LIMIT else text[: LIMIT - 1] + "…"


def hide(text: str, secrets: Iterable[str]) -> str:
    """Give the text with `<secret>` for each of these."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "<secret>")
    return text
