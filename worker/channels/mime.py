"""Mail as bytes: a multipart/alternative message in a few microseconds, where `EmailMessage` takes a millisecond.

The parts that never change are encoded once. What may vary is encoded by the standard library's C functions, so that
every line is 7-bit and, addresses aside, within 78 characters, whatever the text holds. A test holds the result against
`email`'s own idea of the same mail. Pure; knows nothing of SMTP.
"""

from __future__ import annotations

import re
from binascii import b2a_base64, b2a_qp
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import NamedTuple

from worker.channels.fitting import one_line
from worker.core.formats import NO_BREAK

# No content can forge this line: "=_" can stand neither in base64 nor in quoted-printable (RFC 2045, 6.7),
# `_ascii_html` takes it out of the HTML, and a text that has it is quoted.
_BOUNDARY = b"=_kabar"
_LONGEST_URL = 900  # a line has at most 998 characters (RFC 5322, 2.1.1)
_ONE_CLICK = b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click"
_LONGEST_LINE = 700  # of the HTML that a mail says itself; what stands around it needs less than the rest
_WIDTH = 78  # of any other line, where it can be folded
_CONTROLS = bytes({*range(1, 32), 127} - {9, 10})
_C1 = re.compile(rb"&#1(?:2[89]|[345][0-9]);")  # references that are read as characters of Windows-1252
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_SPECIAL = re.compile(r'(["\\])')


class Letter(NamedTuple):
    """What one mail says, for `Press.print`.

    `subject` and `text` are plain; `preheader` and `html` are what stands between the parts of the `frame`. `address`
    is valid and has an ASCII domain. `unsubscribe` is an ASCII URL, http or https, or empty.
    """

    address: str
    name: str
    subject: str
    text: str
    frame: Frame
    preheader: str
    html: str
    at: datetime
    message_id: str
    unsubscribe: str = ""


class Frame:
    """The HTML that stands around mails' own parts, encoded once.

    What is not ASCII becomes a character reference, so that the HTML needs no transfer encoding: base64 would be a
    third larger, and looks like what spammers send. Only a line over `_LONGEST_LINE` makes the part base64.
    """

    def __init__(self, head: str, middle: str, tail: str) -> None:
        self._head, self._middle, self._tail = (_ascii_html(part) for part in (head, middle, tail))

    def enclose(self, preheader: str, html: str) -> bytes:
        """Give the HTML part: head, preheader, middle, html, tail."""
        # One walk over both parts, with a line that ends in the only NUL between them.
        if "\0" in preheader or "\0" in html:
            preheader, html = preheader.replace("\0", ""), html.replace("\0", "")
        own = _ascii_html(f"{preheader}\0\n{html}")
        page = b"".join((self._head, own.replace(b"\0\r\n", self._middle, 1), self._tail))
        return _HTML_BASE64 + _base64(page) if _has_long_line(own) else _HTML + page


class Press:
    """Prints letters of one sender."""

    def __init__(self, sender_name: str, sender_address: str) -> None:
        self._from = b"From: " + mailbox(sender_name, sender_address, used=6) + b"\r\nTo: "

    def print(self, letter: Letter) -> bytes:
        """Give the whole message, with CRLF lines and 7-bit; full stops at the start of a line are not yet doubled.

        Only an address whose local part is not ASCII makes its `To` line UTF-8 (RFC 6532).
        """
        return b"".join(
            (
                self._from,
                mailbox(letter.name, letter.address, used=4),
                b"\r\nSubject: ",
                unstructured(letter.subject, used=9),
                f"\r\nDate: {rfc5322_date(letter.at)}\r\nMessage-ID: <{letter.message_id}>".encode(),
                _unsubscribe(letter.unsubscribe),
                _BEFORE_TEXT,
                _text_part(letter.text),
                letter.frame.enclose(letter.preheader, letter.html),
                _END,
            )
        )


def mailbox(name: str, address: str, *, used: int) -> bytes:
    """Give `Name <address>` for a header whose first line has `used` characters already (RFC 5322, 3.4)."""
    name = one_line(name)
    if not name:
        return address.encode()
    if name.isascii() and len(name) <= 60 - used and "=?" not in name:
        phrase = name if _ATOMS.fullmatch(name) else '"' + _SPECIAL.sub(r"\\\1", name) + '"'
        fold = " " if used + len(phrase) + len(address) < 75 else "\r\n "  # noqa: PLR2004 - RFC 5322, 2.1.1
        return f"{phrase}{fold}<{address}>".encode()
    return _encoded_words(name) + f"\r\n <{address}>".encode()


def unstructured(text: str, *, used: int) -> bytes:
    """Give the value of a header like Subject: as it is where that is possible, else as encoded words (RFC 2047)."""
    text = one_line(text)
    if len(text) + used <= 78 and text.isascii() and "=?" not in text and text == text.strip():  # noqa: PLR2004
        return text.encode()
    return _encoded_words(text)


def rfc5322_date(at: datetime) -> str:
    """Give the moment as RFC 5322, 3.3 wants it, in UTC and in English whatever the locale."""
    at = at.astimezone(UTC)
    return f"{_rfc5322_day(at.date())} {at.isoformat()[11:19]} +0000"


@lru_cache(maxsize=16)
def _rfc5322_day(day: date) -> str:
    return f"{_DAYS[day.weekday()]}, {day.day:02} {_MONTHS[day.month - 1]} {day.year:04}"


def _unsubscribe(url: str) -> bytes:
    """Give the headers behind a mail program's own button (RFC 2369, 3.2); with https for one click (RFC 8058, 3.1)."""
    if not url or len(url) > _LONGEST_URL:
        return b""
    header = b"\r\nList-Unsubscribe: <%b>" % url.encode("ascii")
    return header + _ONE_CLICK if url[:8].lower() == "https://" else header


def _encoded_words(text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    words = []
    start = 0
    while start < len(raw):
        # 39 bytes are 52 characters of base64: with "=?utf-8?B?…?=" and a header's name within 76. No character is cut.
        end = min(start + 39, len(raw))
        while end < len(raw) and raw[end] & 0xC0 == 0x80:  # noqa: PLR2004 - a UTF-8 continuation byte
            end -= 1
        words.append(b"=?utf-8?B?" + b2a_base64(raw[start:end], newline=False) + b"?=")
        start = end
    return b"\r\n ".join(words)


def _clean(text: str) -> bytes:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\0", "").encode("utf-8", "replace").translate(None, _CONTROLS)


def _quoted_printable(raw: bytes) -> bytes:
    return b2a_qp(raw).replace(b"\n", b"\r\n")


def _base64(raw: bytes) -> bytes:
    encoded = b2a_base64(raw, newline=False)
    return b"\r\n".join([encoded[start : start + 76] for start in range(0, len(encoded), 76)])


def _ascii_html(html: str) -> bytes:
    if "\r" in html:
        html = html.replace("\r\n", "\n").replace("\r", "\n")
    html = html.replace(NO_BREAK, "&nbsp;")  # without which most are ASCII
    raw = html.encode("ascii", "xmlcharrefreplace").translate(None, _CONTROLS)
    if len(raw) != len(html):
        raw = _C1.sub(b"", raw)
    return raw.replace(_BOUNDARY, b"&#61;" + _BOUNDARY[1:]).replace(b"\n", b"\r\n")


def _has_long_line(html: bytes) -> bool:
    start = 0
    while len(html) - start > _LONGEST_LINE:
        end = html.rfind(b"\n", start, start + _LONGEST_LINE + 1)
        if end < 0:
            return True
        start = end + 1
    return False


def _part_head(kind: bytes, encoding: bytes) -> bytes:
    return b"\r\n--%b\r\nContent-Type: text/%b; charset=utf-8\r\nContent-Transfer-Encoding: %b\r\n\r\n" % (
        _BOUNDARY,
        kind,
        encoding,
    )


_BEFORE_TEXT = (
    b"\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/alternative; boundary="%b"\r\n' % _BOUNDARY
)
_END = b"\r\n--%b--\r\n" % _BOUNDARY
_PLAIN = _part_head(b"plain", b"7bit")
_PLAIN_QP = _part_head(b"plain", b"quoted-printable")
_HTML = _part_head(b"html", b"7bit")
_HTML_BASE64 = _part_head(b"html", b"base64")
_PLAIN_BASE64 = _part_head(b"plain", b"base64")


def _text_part(text: str) -> bytes:
    raw = _clean(text)
    if not text.isascii():
        return _PLAIN_BASE64 + _base64(raw.replace(b"\n", b"\r\n"))
    if max(map(len, raw.split(b"\n"))) > _WIDTH or _BOUNDARY in raw:
        return _PLAIN_QP + _quoted_printable(raw)
    return _PLAIN + raw.replace(b"\n", b"\r\n")
