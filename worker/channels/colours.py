"""Colours that can be read: contrast as WCAG 2 measures it, and a given colour moved until it has enough of it. Pure.

Colours are `#rrggbb`. The measure is https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio, AA wants 4.5 for text.
"""

from __future__ import annotations

AA = 4.5
_NEARLY = 3.0
_STEPS = 20


def contrast(one: str, other: str) -> float:
    """The ratio between two colours, 1 to 21, whichever is the lighter."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def readable(colour: str, ground: str) -> str:
    """The colour, moved towards black or white no further than it takes to be read on the ground."""
    goal = text_on(ground)
    mixed = (_mix(colour, goal, step / _STEPS) for step in range(_STEPS))
    return next((found for found in mixed if contrast(found, ground) >= AA), goal)


def filled(colour: str) -> tuple[str, str]:
    """A ground in this colour and the text on it: white, for which it may darken a little, or black on a light one."""
    if contrast(colour, "#ffffff") < _NEARLY:
        return colour, "#000000"
    return readable(colour, "#ffffff"), "#ffffff"


def text_on(ground: str) -> str:
    """White where it can be read on the ground, else black; one of the two always can."""
    return "#ffffff" if contrast("#ffffff", ground) >= AA else "#000000"


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(part / 255) for part in _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - sRGB's own figures


def _mix(colour: str, other: str, share: float) -> str:
    pairs = zip(_parts(colour), _parts(other), strict=True)
    return "#" + "".join(f"{round(one + (two - one) * share):02x}" for one, two in pairs)


def _parts(colour: str) -> bytes:
    return bytes.fromhex(colour[1:])
