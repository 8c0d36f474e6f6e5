"""Reads texts from folders: those that come with Kabar, and a deployment's own beside or instead of them.

A text is the file `<event type>/<audience>/<locale>.txt`; a channel's own wording stands beside it as
`<locale>.<channel>.txt`. The one place that touches files; what a text means is `worker.core.template`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from worker.core.limits import LONGEST_SOURCE_BYTES
from worker.core.template import Texts
from worker.core.text_source import Source
from worker.errors import TemplateInvalid

BUILT_IN = Path(__file__).parent / "templates"

_NAME = re.compile(r"(?P<locale>[a-zA-Z]{2,3}(?:[-_][a-zA-Z0-9]{2,8})*)(?:\.(?P<channel>[a-z][a-z0-9_]*))?\.txt")


def load_texts(*folders: Path) -> Texts:
    """Every text of these folders, compiled; where two folders have the same text, the later one's holds.

    Raises `TemplateInvalid` for a file that is out of place or no valid text. Hidden files are left aside.
    """
    return Texts(source for folder in folders for source in read_sources(folder))


def read_sources(folder: Path) -> Iterator[Source]:
    """The texts of one folder as they stand, in the order of their paths."""
    for found in survey(folder):
        if isinstance(found, TemplateInvalid):
            raise found
        yield found


def survey(folder: Path) -> Iterator[Source | TemplateInvalid]:
    """The same, and in its turn what is wrong with each file that is no text: for who wants to know of all of them."""
    if not folder.is_dir():
        yield TemplateInvalid(str(folder), 1, "there is no such folder", "name a folder that holds texts")
        return
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            try:
                yield _source(path, inside)
            except TemplateInvalid as error:
                yield error


def read_text(path: Path) -> Source:
    """Read one text that stands anywhere; the last three parts of its path say which one it is.

    Raises `TemplateInvalid` where it is no text.
    """
    try:
        return _source(path, Path(*path.absolute().parts[-3:]))
    except OSError as error:
        raise TemplateInvalid(str(path), 1, f"it cannot be read: {error.strerror}", "name a file") from None


def _source(path: Path, inside: Path) -> Source:
    name = _NAME.fullmatch(inside.name)
    if name is None or len(inside.parts) != 3:  # noqa: PLR2004 - type, audience, file
        remedy = "keep only <event type>/<audience>/<locale>.txt and <locale>.<channel>.txt here"
        raise TemplateInvalid(str(path), 1, "this file is no text", remedy)
    event_type, audience, _ = inside.parts
    return Source(str(path), event_type, audience, name["locale"], name["channel"] or "", _text(path))


def _text(path: Path) -> str:
    content = path.read_bytes()
    if len(content) > LONGEST_SOURCE_BYTES:
        raise TemplateInvalid(str(path), 1, f"it is larger than {LONGEST_SOURCE_BYTES} bytes", "shorten it")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TemplateInvalid(str(path), line, "it is not UTF-8", "save it as UTF-8") from None
