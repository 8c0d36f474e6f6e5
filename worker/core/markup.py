"""The neutral markup of a text's body, and how each medium writes it. Pure; knows no template engine but its tags.

Authors write one body for all media:

    blank line            a new paragraph
    line break            a line break
    - item                a list item
    **bold**              bold
    [label](url)          a link; the URL may hold tags

`medium_source` rewrites a body once, when it is loaded: the *static* text becomes the medium's markup while every
`{{ … }}` and `{% … %}` stays what it is, so that a value that arrives later can never be markup. What depends on
values (is this link one we may show?) is left between `LINK_MARK`s, for `finish` to settle after rendering; a link
without a tag is written at once.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

from worker.core.content import Markup

FIELD_MARK = "\x1e"
LINK_MARK = "\x1d"
TAG = re.compile(
    r"""\{\{(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^"'\n])*?\}\}"""
    r"""|\{%(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^"'\n])*?%\}"""
    r"""|\{\#[^\n]*?\#\}"""
)
"""One whole tag. A tag stands on one line."""
TAG_START = re.compile(r"\{[{%#]")

_FIRST_STASH = 0xF0000  # private use: tags are put aside as single characters from here on
_STASHED = re.compile("[\U000f0000-\U000ffffd]")
# Neither looks beyond the next mark of its kind, so that a text full of them takes no longer than any other.
_LINK = re.compile(r"\[([^\[\]\n]+)\]\(([^()\s]*)\)")
_BOLD = re.compile(r"\*\*(?=\S)((?:(?!\*\*).)+)(?<=\S)\*\*")
_STATEMENT = re.compile(r"\{%[-+]?\s*(\w+)")
_OPENING = ("if", "for", "autoescape")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")
# RFC 3986 allows none of these raw in a URL; a browser reads "\" as "/". Longer ones are refused by Slack and Telegram.
_URL = re.compile(
    r"(?:https?://(?![/?#])|mailto:)[^\x00-\x20\x7f-\xa0\s<>\"\\`\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufffd]+",
    re.IGNORECASE,
)
# What nearly every URL looks like, for a third of the time.
_USUAL_URL = re.compile(r"https?://[A-Za-z0-9][A-Za-z0-9!#$%&'()*+,./:;=?@_~-]*")
_LONGEST_URL = 2000


class MarkupInvalid(ValueError):
    """A body's markup cannot be rewritten. `line` counts from 1 within the body."""

    def __init__(self, line: int, what: str, remedy: str) -> None:
        super().__init__(what)
        self.line, self.what, self.remedy = line, what, remedy


@dataclass(frozen=True, slots=True)
class _Medium:
    """How one medium writes each element: what opens it and what closes it."""

    paragraph: tuple[str, str]
    line_break: str
    items: tuple[str, str]
    item: tuple[str, str]
    bold: tuple[str, str]


_MEDIA = {
    Markup.PLAIN: _Medium(("", "\n\n"), "\n", ("", "\n"), ("- ", "\n"), ("", "")),
    Markup.HTML: _Medium(("<p>", "</p>"), "<br>", ("<ul>", "</ul>"), ("<li>", "</li>"), ("<strong>", "</strong>")),
    Markup.TELEGRAM: _Medium(("", "\n\n"), "\n", ("", "\n"), ("• ", "\n"), ("<b>", "</b>")),
    Markup.MRKDWN: _Medium(("", "\n\n"), "\n", ("", "\n"), ("• ", "\n"), ("*", "*")),
}


def escape(text: str, markup: Markup) -> str:
    """Make static text literal in a medium."""
    return text if markup is Markup.PLAIN else html.escape(text, quote=False)


def escape_around_tags(text: str, markup: Markup) -> str:
    """Make a text literal in a medium and leave its tags as they are."""
    stash: list[str] = []
    return _restore(escape(_put_aside(text, stash), markup), stash)


def medium_source(body: str, markup: Markup) -> str:
    """Rewrite a neutral body into the medium's markup, its tags untouched. Raises `MarkupInvalid`."""
    stash: list[str] = []
    medium = _MEDIA[markup]
    lines = _put_aside(body, stash).split("\n")
    written = [_written(block, medium, markup, stash) for block in _blocks(lines, stash)]
    return _restore("".join(written), stash)


def finish(body: str, markup: Markup) -> str:
    """Settle in a rendered body what depended on values: links, line breaks, and elements that came out empty."""
    if LINK_MARK in body:
        parts = body.split(LINK_MARK)  # text, URL, label, text, …: values hold no mark
        parts[2::3] = map(_link, parts[1::3], parts[2::3], repeat(markup))
        del parts[1::3]
        body = "".join(parts)
    if markup is Markup.HTML:
        # The rewritten source has no line break of its own: each one here came with a value, as <br>.
        body = body.strip().replace("\n", "<br>").replace("<p><br>", "<p>")
        return body.replace("<p></p>", "").replace("</ul><ul>", "").replace("<ul></ul>", "")
    if "\n\n\n" in body:
        body = _BLANK_LINES.sub("\n\n", body)
    return unescape_quotes(body.strip(), markup)


def unescape_quotes(text: str, markup: Markup) -> str:
    """Undo, for mrkdwn, what HTML escaping does beyond & < >. Values' own entities read `&amp;…;` and so stay."""
    if markup is not Markup.MRKDWN or "&" not in text:
        return text
    return text.replace("&quot;", '"').replace("&#x27;", "'").replace("&#x2f;", "/")


def safe_url(url: str) -> str:
    """The URL if it is http, https or mailto without spaces and control characters; else nothing."""
    return url if len(url) <= _LONGEST_URL and (_USUAL_URL.fullmatch(url) or _URL.fullmatch(url)) else ""


def unbalanced(text: str) -> bool:
    """Does a statement begin here and end elsewhere, or the other way round?"""
    open_statements: list[str] = []
    for statement in _STATEMENT.findall(text):
        if statement in _OPENING:
            open_statements.append(statement)
        elif not open_statements or (statement.startswith("end") and statement != f"end{open_statements.pop()}"):
            return True
    return bool(open_statements)


def _put_aside(text: str, stash: list[str]) -> str:
    """Replace each tag by one private-use character, so that no markup is looked for inside it."""
    return TAG.sub(lambda found: _stashed(found[0], stash), text)


def _stashed(text: str, stash: list[str]) -> str:
    stash.append(text)
    return chr(_FIRST_STASH + len(stash) - 1)


def _restore(text: str, stash: list[str]) -> str:
    """Put everything back. What was put aside may itself hold things put aside before it."""
    return _STASHED.sub(lambda found: _restore(stash[ord(found[0]) - _FIRST_STASH], stash), text)


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines that belong together. `is_tight`: the next block follows without a blank line."""

    line: int
    lines: list[str]
    is_tight: bool


def _blocks(lines: list[str], stash: list[str]) -> Iterator[_Block]:
    """The runs of lines without a blank one; a list that follows on words, or words on a list, begin a new one."""
    block: list[str] = []
    length = 0  # of the block up to its last line that is more than statements
    is_list = False
    for number, raw in enumerate([*lines, ""], start=1):
        line = raw.strip()
        if not line:
            if block:
                yield _Block(number - len(block), block, is_tight=False)
            block, length = [], 0
            continue
        is_spoken = not _is_statements(line, stash)
        if is_spoken and length and is_list != _is_item(line):
            # Statements between the two go with what follows: one that only closes ends up outside the element.
            yield _Block(number - len(block), block[:length], is_tight=True)
            block = block[length:]
        block.append(line)
        if is_spoken:
            length, is_list = len(block), _is_item(line)


def _is_item(line: str) -> bool:
    return line.startswith("- ")


def _written(block: _Block, medium: _Medium, markup: Markup, stash: list[str]) -> str:
    """Write one block: a paragraph or a list, and statements that stand on lines of their own.

    A statement that opens or closes elsewhere (`{% if … %}` around several paragraphs) stays outside the element.
    """
    outside = _reaching_out(block.lines, stash)
    spoken = [number for number, line in enumerate(block.lines) if not _is_statements(line, stash)]
    first, last = (spoken[0], spoken[-1]) if spoken else (len(block.lines), len(block.lines))
    start = max((number + 1 for number in outside if number < first), default=0)
    end = min((number for number in outside if number > last), default=len(block.lines))
    before, lines, after = block.lines[:start], block.lines[start:end], block.lines[end:]
    if unbalanced(_restore("\n".join(lines), stash)):
        raise _unbalanced_at(block.line + min((number for number in outside if start <= number < end), default=start))
    for number, line in enumerate(lines, start=block.line + start):
        if not _is_statements(line, stash) and unbalanced(_restore(line, stash)):
            raise _unbalanced_at(number)
        _check_links(number, line)
    return "".join([*before, _element(lines, block.is_tight, medium, markup, stash), *after])


def _reaching_out(lines: list[str], stash: list[str]) -> set[int]:
    """The numbers of the lines, from 0, with a statement that begins or ends elsewhere."""
    outside: set[int] = set()
    open_at: list[tuple[str, int]] = []
    for number, line in enumerate(lines):
        for statement in _STATEMENT.findall(_restore(line, stash)):
            if statement in _OPENING:
                open_at.append((statement, number))
            elif not open_at:
                outside.add(number)
            elif statement.startswith("end"):
                opening, begun = open_at.pop()
                outside |= set() if statement == f"end{opening}" else {begun, number}
    return outside | {begun for _, begun in open_at}


def _element(lines: list[str], is_tight: bool, medium: _Medium, markup: Markup, stash: list[str]) -> str:  # noqa: FBT001
    first = next((number for number, line in enumerate(lines) if not _is_statements(line, stash)), None)
    if first is None:
        return "".join(lines)
    opening, closing = medium.items if _is_item(lines[first]) else medium.paragraph
    written = [opening]
    for number, line in enumerate(lines):
        if _is_statements(line, stash):
            written.append(line)
        elif _is_item(line):
            written += [medium.item[0], _inline(line[2:].strip(), medium, markup, stash), medium.item[1]]
        else:
            line_break = "" if number == first else medium.line_break
            written += [line_break, _inline(line, medium, markup, stash)]
    return "".join([*written, closing.removesuffix("\n") if is_tight else closing])


def _is_statements(line: str, stash: list[str]) -> bool:
    """Is this line nothing but statements and comments?"""
    tags = (character for character in line if not character.isspace())  # one by one: most lines begin with a word
    return all(_STASHED.fullmatch(tag) and not stash[ord(tag) - _FIRST_STASH].startswith("{{") for tag in tags)


def _unbalanced_at(line: int) -> MarkupInvalid:
    return MarkupInvalid(
        line,
        "a statement begins inside this text and ends outside it",
        "close {% if %} and {% for %} in the same line, or put each on a line of its own",
    )


def _check_links(number: int, line: str) -> None:
    for _, url in _LINK.findall(line):
        if not _STASHED.search(url) and not safe_url(url):
            raise MarkupInvalid(number, f"{url or 'nothing'} is no URL", "link to http://, https:// or mailto:")


def _inline(text: str, medium: _Medium, markup: Markup, stash: list[str]) -> str:
    def link(found: re.Match[str]) -> str:
        label, url = _bold(escape(found[1], markup), medium, stash), found[2]
        if not _STASHED.search(found[0]):
            return _stashed(_link(url, label, markup), stash)
        source = f"{LINK_MARK}{{% autoescape false %}}{url}{{% endautoescape %}}{LINK_MARK}{label}{LINK_MARK}"
        return _stashed(source, stash)

    return _bold(escape(_LINK.sub(link, text), markup), medium, stash)


def _bold(text: str, medium: _Medium, stash: list[str]) -> str:
    """Write bold. Stars stay stars where a statement crosses them, or where dropping them would make a tag."""
    opening, closing = medium.bold

    def bold(found: re.Match[str]) -> str:
        return found[0] if unbalanced(_restore(found[1], stash)) else f"{opening}{found[1]}{closing}"

    written = _BOLD.sub(bold, text)
    return text if TAG_START.search(written) else written


def _link(url: str, label: str, markup: Markup) -> str:
    """One link as the medium writes it; only its label, where the URL is not one we may show."""
    label = " ".join(label.split()) or escape(url, markup)
    if not safe_url(url):
        return label
    match markup:
        case Markup.PLAIN:
            return url if label == url else f"{label} ({url})"
        case Markup.HTML | Markup.TELEGRAM:
            return f'<a href="{html.escape(url)}">{label}</a>'
        case Markup.MRKDWN:
            # Slack reads the first "|" as the end of the URL.
            return f"<{escape(url.replace('|', '%7C'), markup)}|{label}>"
