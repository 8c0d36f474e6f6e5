"""The plain text part of a mail, as a careful person would type it: an underlined title, lines of 72, a foot. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from worker.core.formats import NO_BREAK

WIDTH = 72
# A word longer than the line, such as a link, stands whole on a line of its own; a no-break space is part of a word.
_LINES = re.compile(rf"(\S.{{0,{WIDTH - 1}}}|[\S\xa0]+)(?:[^\S\xa0]+|\Z)")
_ITEM_LINES = re.compile(rf"(\S.{{0,{WIDTH - 3}}}|[\S\xa0]+)(?:[^\S\xa0]+|\Z)")


def written(title: str, body: str, link: str, action: str) -> str:
    """What the mail says: the title, the body, and the link on a line of its own below what it is for."""
    heading = _wrapped(title)
    rule = "=" * min(WIDTH, max(map(len, heading.split("\n"))) if "\n" in heading else len(heading))
    body = body if len(body) <= WIDTH else "\n".join(map(_wrapped, body.split("\n")))
    told = f"{heading}\n{rule}\n\n{body}\n" if body else f"{heading}\n{rule}\n"
    told = told.replace(NO_BREAK, " ")  # its work is done, and without it most texts are ASCII
    if not link:
        return told
    return f"{told}\n{action}:\n{link}\n" if action and action != link else f"{told}\n{link}\n"


def foot(brand: str, why: str, label: str, url: str) -> str:
    """The foot, behind the line that mail programs know as the beginning of a signature (RFC 3676, 4.3)."""
    said = f"\n-- \n{brand}\n{_wrapped_again(why)}\n"
    return f"{said}{label}:\n{url}\n" if url else said


def _wrapped(line: str) -> str:
    if len(line) <= WIDTH:
        return line
    if line.startswith("- "):
        return "- " + "\n  ".join(_ITEM_LINES.findall(line[2:].lstrip()))
    return "\n".join(_LINES.findall(line.lstrip()))


_wrapped_again = lru_cache(maxsize=256)(_wrapped)
