"""The fast mail builder, held against Python's own idea of the same mail."""

from __future__ import annotations

import email
import email.message
import email.policy
import re
from datetime import UTC, datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.utils import format_datetime, unquote
from html import unescape
from uuid import UUID

import pytest
from email_validator import validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.channels import plaintext
from worker.channels.base import Target
from worker.channels.email import EmailChannel, Mail, read_address
from worker.channels.fitting import one_line
from worker.channels.layout import Brand, Layout
from worker.channels.mime import Frame, Letter, Press
from worker.core import formats
from worker.core.content import Content
from worker.core.outcome import Refused

AT = datetime(2026, 11, 21, 9, 5, 3, tzinfo=UTC)
PRESS = Press("Kabar", "no-reply@kabar.example")
PAGE = Layout(Brand("Kabar ✉ <Ltd>")).page("en")
FRAME = Frame(PAGE.head, PAGE.middle, PAGE.tail)
ANY_TEXT = st.text(max_size=400)
# What a header can hold: the builder makes lines of anything, and readers drop blanks at the ends of a header.
LINE = st.text(max_size=150).map(lambda text: " ".join(one_line(text).split()))

NAME = st.text(max_size=60).map(lambda text: " ".join(one_line(text).split()))


def letter(
    subject: str = "Payment failed",
    name: str = "Ada",
    text: str = "Hello",
    html: str = "<p>Hello</p>",
    preheader: str = "Hello",
    at: datetime = AT,
) -> Letter:
    return Letter("ada@example.org", name, subject, text, FRAME, preheader, html, at, "3f0c6a52@kabar.example")


def parse(raw: bytes) -> email.message.EmailMessage:
    message = email.message_from_bytes(raw, policy=email.policy.SMTP)
    assert isinstance(message, email.message.EmailMessage)
    return message


def built_slowly(letter: Letter) -> email.message.EmailMessage:
    """The same mail by `EmailMessage`, flattened and parsed again.

    Its headers are not folded: where it folds before an encoded word it leaves the blank outside, between two
    encoded words, where it is lost (RFC 2047, 6.2; https://github.com/python/cpython/issues/92081).
    """
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["From"] = Address("Kabar", addr_spec="no-reply@kabar.example")
    message["To"] = Address(letter.name, addr_spec=letter.address)
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(letter.at)
    message["Message-ID"] = f"<{letter.message_id}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    html = f"{PAGE.head}{letter.preheader}{PAGE.middle}{letter.html}{PAGE.tail}"
    message.add_alternative(html, subtype="html")
    return parse(message.as_bytes(policy=email.policy.SMTP.clone(max_line_length=None)))


def person(raw: str) -> tuple[str, str]:
    """The name and address of a header. `message["To"]` keeps the blank between encoded words, against RFC 2047."""
    phrase, _, address = raw.rpartition("<")
    name = str(make_header(decode_header(phrase))).strip()
    return (unquote(name) if phrase.startswith('"') else name, address.strip("<> \r\n"))


def essence(message: email.message.EmailMessage) -> dict[str, object]:
    """All that a reader of the mail can see."""
    text, html = message.iter_parts()
    assert isinstance(text, email.message.EmailMessage)
    assert isinstance(html, email.message.EmailMessage)
    return {
        "headers": {name: str(value) for name, value in message.items() if name not in {"Content-Type", "To", "From"}},
        "people": [person(raw) for name, raw in message.raw_items() if name in {"From", "To"}],
        "kinds": [part.get_content_type() for part in (message, text, html)],
        "charsets": [part.get_content_charset() for part in (text, html)],
        # Line ends and blank lines at the end are the encodings' own business, and in HTML any run of blanks is one,
        # and a character is the same as its reference.
        "text": text.get_content().replace("\r\n", "\n").rstrip(),
        "html": " ".join(unescape(html.get_content()).split()),
    }


@settings(deadline=None)  # the standard library takes milliseconds for each, which is the point of the fast builder
@given(LINE, NAME, ANY_TEXT, ANY_TEXT, ANY_TEXT)
@example("Hello", f"{'0' * 13}{'¡' * 10}{'𐀀' * 3} : )", "", "", "")
@example(f"{'0' * 13}{'¡' * 10}{'𐀀' * 3} : )", "Ada", "", "", "")
def test_the_fast_builder_says_what_the_standard_library_says(
    subject: str, name: str, text: str, html: str, preheader: str
) -> None:
    """Whatever the texts hold, both builders make mails that read the same."""
    # EmailMessage keeps controls that no mail should hold; everything else must come out equal.
    text, html, preheader = (
        re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]", "", part) for part in (text, html, preheader)
    )
    mail = letter(subject=subject, name=name, text=text, html=html, preheader=preheader)

    assert essence(parse(PRESS.print(mail))) == essence(built_slowly(mail))


@settings(deadline=None)
@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT)
@example("Hello", "Ada", "Hello", f"<p>{'long ' * 400}</p>")
@example("Hello", "Ada", "Hello", f"<p>{'👋' * 200}</p>")
def test_a_mail_is_seven_bit_with_short_lines_whatever_it_says(subject: str, name: str, text: str, html: str) -> None:
    """Any relay can carry it: no long line, no bare CR or LF, no 8-bit byte, no NUL, and a parser finds no defect."""
    raw = PRESS.print(letter(subject=subject, name=name, text=text, html=html, preheader=text))

    lines = raw.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert max(map(len, raw.partition(b"text/html")[0].split(b"\r\n"))) <= 78
    assert not re.search(rb"[\r\n\0\x80-\xff]", b"".join(lines))
    message = parse(raw)
    assert [part.defects for part in message.walk()] == [[], [], []]
    assert [defect for value in message.values() for defect in value.defects] == []


@pytest.mark.parametrize("end", ["", "--"])
def test_no_text_can_add_or_end_a_part(end: str) -> None:
    """The line that parts a mail is only a line of text to whoever writes it into a message."""
    attack = f"\r\n--=_kabar{end}\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>\r\n"

    message = parse(PRESS.print(letter(text=attack, html=attack, preheader=attack)))

    text, html = (part.get_content() for part in message.iter_parts())
    assert f"--=_kabar{end}" in text
    assert unescape(html).count(f"--=_kabar{end}") == 2


@given(st.text(), st.text())
def test_no_text_can_add_a_header_or_a_recipient(subject: str, name: str) -> None:
    """CR, LF and NUL in a subject or a name never end the header they stand in."""
    attack = "\r\nBcc: eve@example.org\r\n\r\n<script>"

    message = parse(PRESS.print(letter(subject=subject + attack, name=name + attack)))

    assert message.keys() == [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
    ]
    assert [address.addr_spec for address in message["To"].addresses] == ["ada@example.org"]


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1)), st.integers(-840, 840))  # noqa: DTZ001
def test_the_date_is_the_moment_in_utc(moment: datetime, minutes: int) -> None:
    """Whatever zone a moment is told in, the mail tells the same moment."""
    at = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))

    assert parse(PRESS.print(letter(at=at)))["Date"].datetime == at


@given(st.emails())
def test_a_usual_address_is_what_the_full_validator_says(address: str) -> None:
    """The fast look at an address never lets through what the thorough one refuses."""
    read = read_address(address)

    if not isinstance(read, Refused):
        thorough = validate_email(address, check_deliverability=False, globally_deliverable=False)
        assert thorough.ascii_email is not None
        assert read.lower() == thorough.ascii_email.lower()


CHANNEL = EmailChannel("smtp://127.0.0.1", "Kabar <no-reply@kabar.example>")
TARGET = Target(UUID("3f0c6a52-0f0e-4c6f-9a53-0b6c0b8f5d10"), "ada@example.org", "Ada", "payment.failed", AT)


def fitted(plain: Content, html: Content) -> email.message.EmailMessage:
    mail = CHANNEL.fit((plain, html), TARGET)
    assert isinstance(mail, Mail)
    return parse(mail.data)


def test_a_mail_carries_title_body_link_and_button_in_both_parts() -> None:
    """Readers of plain text get the link spelled out, readers of HTML a button."""
    link = "https://shop.example/pay?a=1&b=2"

    message = fitted(
        Content("Payment failed", "Please pay.", link, "Pay now"),
        Content("Payment failed", "<p>Please pay.</p>", link, "Pay now"),
    )

    text, html = (part.get_content() for part in message.iter_parts())
    assert message["Subject"] == "Payment failed"
    said, _, foot = text.replace("\r\n", "\n").partition("\n-- \n")
    assert said.splitlines() == ["Payment failed", "==============", "", "Please pay.", "", "Pay now:", link]
    assert foot.startswith("Kabar\nYou're getting this because")
    assert 'href="https://shop.example/pay?a=1&amp;b=2"' in html
    assert ">Please pay.</p>" in html
    assert ">Pay now</a>" in html


def test_a_link_that_could_do_harm_becomes_neither_button_nor_text() -> None:
    """A javascript link is dropped even if it got this far."""
    content = Content("Hi", "Body", "javascript:alert(1)", "Click")

    message = fitted(content, content)

    assert all("javascript" not in part.get_content() for part in message.iter_parts())
    assert all("href" not in part.get_content() and "Click" not in part.get_content() for part in message.iter_parts())


def test_the_same_delivery_gives_the_same_bytes() -> None:
    """A repeated mail can be recognised: not a byte differs between two tries."""
    content = Content("Hi 👋", "Body", "https://x.example", "Go")

    assert CHANNEL.fit((content, content), TARGET) == CHANNEL.fit((content, content), TARGET)


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT, st.text(max_size=60))
def test_any_content_fits_or_is_refused(title: str, body: str, link: str, action: str, address: str) -> None:
    """No text and no address makes the builder fail."""
    content = Content(title, body, link, action)
    target = Target(TARGET.delivery_id, address, title, "t", AT)

    assert isinstance(CHANNEL.fit((content, content), target), Mail | Refused)


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("", {}),
        ("http://shop.example/s", {"List-Unsubscribe": "<http://shop.example/s>"}),
        (
            "https://shop.example/s?p=1",
            {
                "List-Unsubscribe": "<https://shop.example/s?p=1>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            },
        ),
        (f"https://shop.example/{'s' * 900}", {}),
    ],
)
def test_a_mail_program_gets_its_own_button_to_unsubscribe(url: str, headers: dict[str, str]) -> None:
    """One click only where the click is protected by TLS, and never a header too long for a relay."""
    message = parse(PRESS.print(letter()._replace(unsubscribe=url)))

    assert {name: value for name, value in message.items() if name.startswith("List-")} == headers


def test_the_plain_part_keeps_to_lines_a_person_would_type() -> None:
    """Words wrap at 72, points hang, and a link is never broken."""
    long_link = f"https://shop.example/{'x' * 90}"
    body = f"{'word ' * 30}\n\n- {'point ' * 20}\n- {long_link} and more"

    lines = plaintext.written("A title " * 20, body, "", "").splitlines()

    assert [line for line in lines if len(line) > plaintext.WIDTH] == [f"- {long_link}"]
    assert sum(line.startswith("  point") for line in lines) == 1
    assert " ".join(" ".join(lines).split()).count("word") == 30
    assert "=" * plaintext.WIDTH not in lines
    assert any(set(line) == {"="} for line in lines)


@pytest.mark.parametrize("length", range(60, 76))
def test_an_amount_never_stands_on_two_lines(length: int) -> None:
    """Wherever the line ends, "Rp 150.000" is whole; a mail's text and subject have it with a plain space."""
    money = formats.money(150_000, "IDR", "id")

    lines = plaintext.written("t", f"{'x' * length} {money} {'and more ' * 9}", "", "").splitlines()

    assert max(map(len, lines)) <= max(plaintext.WIDTH, length)
    assert [line for line in lines if "Rp 150.000" in line]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Hi Ada = you.\n-- \nKabar\n", "7bit"),
        (f"See\nhttps://shop.example/{'x' * 90}\n", "quoted-printable"),
        ("A line like\n--=_kabar--\nends a mail", "quoted-printable"),
        ("Rp\xa0150.000", "base64"),
    ],
)
def test_the_plain_part_is_as_readable_as_it_can_be(text: str, encoding: str) -> None:
    """A text that mail can carry as it is goes as it is; nothing in it can end the part."""
    plain, _ = parse(PRESS.print(letter(text=text))).iter_parts()

    assert plain["Content-Transfer-Encoding"] == encoding
    assert isinstance(plain, email.message.EmailMessage)
    assert plain.get_content().replace("\r\n", "\n").rstrip() == text.rstrip()
