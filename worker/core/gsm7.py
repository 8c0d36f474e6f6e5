"""What an SMS costs: the GSM 7-bit alphabet, what can be said in it, and how many segments a text takes. Pure.

Sources: 3GPP TS 23.038, 6.2.1 (the alphabet and its extension, whose characters take two places each) and
3GPP TS 23.040, 9.2.3.24 (six bytes of each part of a longer message are its header).
"""

from __future__ import annotations

import unicodedata

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")
ALPHABET = _BASIC | _EXTENDED

_SINGLE_SEPTETS, _PART_SEPTETS = 160, 153
_SINGLE_UNITS, _PART_UNITS = 70, 67  # of UTF-16
_LIKE = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4\u0060\u02bc", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2022\u00b7\u2023", "-")
    | {"\u2026": "...", "\u2044": "/", "\u00d7": "x", "\u2192": "->"}
    | {"ç": "c", "Ł": "L", "ł": "l", "Đ": "D", "đ": "d", "ı": "i"}  # noqa: RUF001 - letters that do not decompose
)
_PICTURES = ("So", "Sk", "Cf", "Cs", "Co", "Cn")
_JOINERS = "\u200d\ufe0e\ufe0f\u20e3"


def is_gsm7(text: str) -> bool:
    """Can this text be sent as it is, seven bits a character?"""
    return ALPHABET.issuperset(text)


def in_gsm7(text: str) -> str:
    """The text in the GSM alphabet where its words can be said so, else as it stands.

    Quotes, dashes, accents and look-alikes become what they are like; pictures are left out, unless nothing is left.
    """
    if is_gsm7(text):
        return text
    said = "".join(map(_said, unicodedata.normalize("NFC", text.translate(_LIKE))))
    said = " ".join(said.split())
    return said if said and is_gsm7(said) else text


def segments(text: str) -> int:
    """How many parts an SMS of this text takes; no character is split between two. An empty one takes one."""
    if is_gsm7(text):
        widths = [2 if character in _EXTENDED else 1 for character in text]
        single, part = _SINGLE_SEPTETS, _PART_SEPTETS
    else:
        widths = [2 if character > "\uffff" else 1 for character in text]
        single, part = _SINGLE_UNITS, _PART_UNITS
    if sum(widths) <= single:
        return 1
    count, used = 1, 0
    for width in widths:
        if used + width > part:
            count, used = count + 1, 0
        used += width
    return count


def _said(character: str) -> str:
    if character in ALPHABET:
        return character
    if character in _JOINERS or unicodedata.category(character) in _PICTURES:
        return ""
    plain = unicodedata.normalize("NFKD", character)
    return "".join(part for part in plain if not unicodedata.combining(part)).translate(_LIKE)
