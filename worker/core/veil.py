"""What a producer sent, as an operator may see it: in its own form, with secrets and addresses hidden. Pure.

Not for what is kept: a provider's words for the ledger and the log are the business of `mask`, which is stricter.
"""

from __future__ import annotations

import re

from pydantic import JsonValue

_SURELY_CHANCE, _PROBABLY_CHANCE = 40, 32
_HIDDEN = "<hidden>"
_NAME = re.compile(
    r"pass(?:word|wd|phrase|code)|secret|token|authori[sz]ation|credential|cookie|api[-_]?key|private[-_]?key"
    r"|signature|address|phone|e-?mail|telegram|slack|webhook|^(?:otp|pin|cvv|iban)$",
    re.IGNORECASE,
)
# Each begins where a word begins, and takes a word whole or not at all: the time they take grows as the text does.
_NAMED_VALUE = re.compile(r"(?<![\w-])(\"?)([\w-]++)(\"?\s{0,9}[:=]\s{0,9})(\"(?:[^\"\\\n]|\\.)*+\"?|[^\s,;&\"}\]]++)")
_WORD = re.compile(r"(?<![\w+/=.-])[\w+/=.-]{20,}+")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ITEM = re.compile(r"^([ +-][^\S\n]*)(?:\"(?:[^\"\\\n]|\\.)*+\"|-?\d[\d.eE+-]*+)(,?)$", re.MULTILINE)
_IN_TEXT = (
    (re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://[^\s<>\"']++", re.IGNORECASE), "<link>"),
    (
        re.compile(r"(?:\"[^\"\n]{0,64}\"|(?<![^\s<>()\[\]\"',;:@])[^\s<>()\[\]\"',;:@]++)@[^\s<>()\"',;]++"),
        "<address>",
    ),
    (re.compile(r"\b(?:bot)?\d{5,}:[\w-]{10,}"), "<secret>"),
    (re.compile(r"\+\d[\d ().-]{5,40}\d"), "<number>"),
    (re.compile(r"\d{12,}"), "<number>"),
)


def mask_value(value: JsonValue, name: str = "") -> JsonValue:
    """Give a value of an event or a header as an operator may see it: what it is called stays, and ids and amounts do.

    Everything under a name like `password` or `email` is hidden whole.
    """
    match value:
        case dict():
            return {
                mask_text(key): mask_value(part, name if _NAME.search(name) else key) for key, part in value.items()
            }
        case list():
            return [mask_value(part, name) for part in value]
        case None | bool():
            return value
        case _ if _NAME.search(name):
            return _HIDDEN
        case str():
            return value if name == "traceparent" else mask_text(value)
        case _:
            return value


def mask_text(text: str) -> str:
    """Give a text of any length without addresses, links, long numbers and secrets. In linear time, whatever it is."""
    text = _NAMED_VALUE.sub(_hide_if_named, text)
    for pattern, stand_in in _IN_TEXT:
        text = pattern.sub(stand_in, text)
    return _WORD.sub(lambda found: "<secret>" if _is_secret(found[0]) else found[0], text)


def mask_change(difference: str) -> str:
    """Give the difference of two laid-out payloads as an operator may see it. Of a list's items nothing shows.

    The name under which they stand may be lines away, where the difference does not reach.
    """
    return _ITEM.sub(rf"\1{_HIDDEN}\2", mask_text(difference))


def _hide_if_named(found: re.Match[str]) -> str:
    quote, name, between, _ = found.groups()
    return f"{quote}{name}{between}{_HIDDEN}" if _NAME.search(name) else found[0]


def _is_secret(word: str) -> bool:
    """Say whether a long word looks like chance: ids of words, dates and counters do not, and a UUID opens nothing."""
    if _UUID.fullmatch(word):
        return False
    has_digit, has_upper, has_lower = (any(map(test, word)) for test in (str.isdigit, str.isupper, str.islower))
    if has_upper and has_lower:
        return has_digit or len(word) >= _SURELY_CHANCE
    return has_digit and len(word) >= _PROBABLY_CHANCE
