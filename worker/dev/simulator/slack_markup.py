"""Slack's messages: Block Kit checked against its limits, and mrkdwn written anew as HTML that is safe to show.

Sources: https://docs.slack.dev/reference/block-kit/blocks (limits), https://docs.slack.dev/messaging/formatting-message-text.
Known blocks: section, header, divider, context, actions with buttons, image. Others are refused, by name.
"""

from __future__ import annotations

import html
import re
from typing import Any

MAX_BLOCKS = 50
MAX_TEXT = 40_000
_SAFE_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_TOKEN = re.compile(
    r"```(?P<pre>.+?)```"
    r"|`(?P<code>[^`\n]+)`"
    r"|<(?P<control>[^<>\n]+)>"
    r"|(?<![\w*])\*(?P<bold>[^*\s](?:[^*\n]*[^*\s])?)\*(?![\w*])"
    r"|(?<![\w_])_(?P<italic>[^_\s](?:[^_\n]*[^_\s])?)_(?![\w_])"
    r"|(?<![\w~])~(?P<strike>[^~\s](?:[^~\n]*[^~\s])?)~(?![\w~])",
    re.DOTALL,
)
_STYLES = {"bold": "b", "italic": "i", "strike": "s"}
_LINE_END = re.compile(r"<br>|</blockquote>")
_TAG = re.compile(r"<[^<>]*>")
_QUOTE = re.compile(r"^(?:>|&gt;) ?")


class _FaultyBlockError(ValueError):
    """A block that Slack refuses; the message says where and why. Never leaves this file."""


def blocks_fault(blocks: Any) -> str:
    """Answer what is wrong with a list of blocks, or '' where Slack would take it."""
    try:
        _demand(isinstance(blocks, list), "blocks: must be a list")
        _demand(len(blocks) <= MAX_BLOCKS, f"blocks: more than {MAX_BLOCKS}")
        for at, block in enumerate(blocks):
            _check_block(block, f"blocks[{at}]")
    except _FaultyBlockError as fault:
        return str(fault)
    return ""


def plain_text(payload: dict[str, Any]) -> str:
    """Answer a message's text without its markup: its blocks' texts, else its own. The payload must be faultless."""
    blocks = payload.get("blocks") or []
    texts = [text for block in blocks for text in _texts_of(block)]
    texts = texts or [{"type": "mrkdwn", "text": str(payload.get("text", ""))}]
    return "\n".join(_without_markup(text) for text in texts).strip()


def render_mrkdwn(text: str) -> str:
    """Write mrkdwn as safe HTML. Whatever is no markup of Slack's is shown as it stands."""
    parts: list[str] = []
    quoted: list[str] = []
    for line in [*_lines(text), None]:
        if line is not None and _QUOTE.match(line):
            quoted.append(_inline(_QUOTE.sub("", line)))
            continue
        if quoted:
            parts.append(f"<blockquote>{'<br>'.join(quoted)}</blockquote>")
            quoted = []
        if line is not None:
            parts.append(f"{_inline(line)}<br>")
    return "".join(parts).removesuffix("<br>")


def render_plain(text: str) -> str:
    """Write a plain_text object's text as safe HTML."""
    return html.escape(_unescape(text)).replace("\n", "<br>")


def safe_link(link: object) -> str:
    """Answer the link if it is one to follow (http, https, mailto), else ''."""
    return link if isinstance(link, str) and _SAFE_LINK.match(link) else ""


def _demand(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence at each place of use
    if not holds:
        raise _FaultyBlockError(otherwise)


def _check_block(block: Any, at: str) -> None:
    _demand(isinstance(block, dict), f"{at}: must be an object")
    match block.get("type"):
        case "section":
            _check_section(block, at)
        case "header":
            _check_text(block.get("text"), f"{at}.text", limit=150, kinds=("plain_text",))
        case "divider":
            pass
        case "context":
            _check_elements(block, at, limit=10)
        case "actions":
            _check_elements(block, at, limit=25)
        case "image":
            _check_image(block, at)
        case other:
            raise _FaultyBlockError(f"{at}.type: {other!r} is not known to the simulator")


def _check_section(block: dict[str, Any], at: str) -> None:
    fields = block.get("fields", [])
    _demand(isinstance(fields, list) and len(fields) <= 10, f"{at}.fields: must be a list of at most 10")  # noqa: PLR2004 - Slack's limit, said in the same line
    _demand("text" in block or bool(fields), f"{at}: needs text or fields")
    if "text" in block:
        _check_text(block["text"], f"{at}.text", limit=3000)
    for number, item in enumerate(fields):
        _check_text(item, f"{at}.fields[{number}]", limit=2000)
    if "accessory" in block:
        _check_element(block["accessory"], f"{at}.accessory", "actions")


def _check_elements(block: dict[str, Any], at: str, *, limit: int) -> None:
    elements = block.get("elements")
    _demand(isinstance(elements, list) and 0 < len(elements) <= limit, f"{at}.elements: must be 1 to {limit}")
    for number, element in enumerate(elements or []):
        _check_element(element, f"{at}.elements[{number}]", block["type"])


def _check_element(element: Any, at: str, where: str) -> None:
    _demand(isinstance(element, dict), f"{at}: must be an object")
    if element.get("type") == "image":
        _check_image(element, at)
    elif where == "context":
        _check_text(element, at, limit=3000)
    else:
        _demand(element.get("type") == "button", f"{at}.type: only buttons are known to the simulator")
        _check_text(element.get("text"), f"{at}.text", limit=75, kinds=("plain_text",))
        url = element.get("url", "https://")
        _demand(bool(safe_link(url)) and len(url) <= 3000, f"{at}.url: must be a link of at most 3000 characters")  # noqa: PLR2004 - Slack's limit, said in the same line


def _check_image(image: dict[str, Any], at: str) -> None:
    _demand(bool(safe_link(image.get("image_url"))), f"{at}.image_url: must be a link")
    _demand(isinstance(image.get("alt_text"), str), f"{at}.alt_text: is missing")


def _check_text(text: Any, at: str, *, limit: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> None:
    _demand(isinstance(text, dict) and text.get("type") in kinds, f"{at}: must be a {' or '.join(kinds)} object")
    words = text.get("text")
    _demand(isinstance(words, str) and 0 < len(words) <= limit, f"{at}.text: must have 1 to {limit} characters")


def _texts_of(block: dict[str, Any]) -> list[dict[str, Any]]:
    texts = [block["text"]] if "text" in block else []
    texts += block.get("fields", [])
    for element in block.get("elements", []):
        if element["type"] == "button":
            texts.append(element["text"])
        elif element["type"] != "image":
            texts.append(element)
    return texts


def _lines(text: str) -> list[str]:
    # A fence may hold line breaks: split only outside of them.
    pieces = re.split(r"(```.+?```)", text, flags=re.DOTALL)
    protected = [piece if at % 2 == 0 else piece.replace("\n", "\0") for at, piece in enumerate(pieces)]
    return [line.replace("\0", "\n") for line in "".join(protected).split("\n")]


def _inline(text: str) -> str:
    parts: list[str] = []
    end = 0
    for token in _TOKEN.finditer(text):
        parts.append(html.escape(_unescape(text[end : token.start()])))
        parts.append(_styled(str(token.lastgroup), token[str(token.lastgroup)]))
        end = token.end()
    parts.append(html.escape(_unescape(text[end:])))
    return "".join(parts)


def _styled(kind: str, inner: str) -> str:
    match kind:
        case "pre" | "code":
            return f"<{kind}>{html.escape(_unescape(inner))}</{kind}>"
        case "control":
            return _control(inner)
        case _:
            return f"<{_STYLES[kind]}>{_inline(inner)}</{_STYLES[kind]}>"


def _control(inner: str) -> str:
    target, _, label = inner.partition("|")
    if target[:1] in {"@", "#", "!"}:
        return f'<span class="mention">{html.escape(_unescape(label or target))}</span>'
    shown = html.escape(_unescape(label or target))
    link = safe_link(_unescape(target))
    return f'<a href="{html.escape(link)}" target="_blank" rel="noreferrer noopener">{shown}</a>' if link else shown


def _without_markup(text: dict[str, Any]) -> str:
    if text["type"] == "plain_text":
        return _unescape(text["text"])
    # The HTML is our own, so that every "<" in it begins a tag of ours.
    lines = _LINE_END.sub("\n", render_mrkdwn(text["text"]))
    return html.unescape(_TAG.sub("", lines))


def _unescape(text: str) -> str:
    """Undo Slack's only three escapes, the ampersand last."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
