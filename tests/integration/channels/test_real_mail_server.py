"""A mail server as the world runs it takes whatever mail we make, and passes on what was written."""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from tests.mta import Mta, mail_server
from worker.channels.base import Target, Trimmings
from worker.channels.email import EmailChannel, Mail
from worker.channels.layout import Brand
from worker.core.content import Content
from worker.core.outcome import Refused, Sent
from worker.errors import ServiceUnavailable

BRAND = Brand("Rumah & Co", "#0f8a6d", "https://rumah.example/a.png", "https://rumah.example/{person}?{delivery}")
TARGET = Target(
    UUID(int=1), "ada@example.org", "Ada", "payment.failed", datetime(2026, 11, 21, tzinfo=UTC), "ada", "id",
    "billing", trimmings=Trimmings(image="https://rumah.example/picture.png"),
)  # fmt: skip
NAMES = [
    "", "Ada", "Lovelace, Ada", 'Ada "the first" Lovelace', "Ada (she/her)", "a\\b", "ada@example.com", "Adá Lovelace",
    "Ada\r\nBcc: eve@example.org", "=?utf-8?q?Ada?=", "艾达·洛芙莱斯",
    "👩\u200d💻 Ada 👍🏽", "أدا", "A" * 300, "Ä" * 300,
    "<ada>", "Ada; Bob:", ".", "\u202eadA", "Ada\x00\x1b[31m",
]  # fmt: skip
BODIES = [
    "", "Hello", ".", "..", "\n.\n.hidden\n..\n", "Grüße, 你好, 👋🏽", "x" * 2000, "漢" * 2000, "word " * 2000,
    "From here on\n>From there", "tab\tand\x0cfeed", "\r\n\r\nend\r\n.\r\nQUIT\r\n", "=3D =\n= ", "trailing \n \n\t\n",
    "\ud800 half", "nul\x00nul", "🇮🇩" * 500,
]  # fmt: skip
TITLES = [
    "Hello", "Pembayaran Rp\xa0150.000 gagal", "T" * 500, "Ü" * 500, "🔥" * 200, "a b " * 200, "=?utf-8?b?SGk=?=",
    "Subject: two\r\nX-Evil: 1", " leading and trailing ", "漢字" * 150,
]  # fmt: skip
ADDRESSES = [
    "ada+tag@example.org",
    "o'hara@example.org",
    "ada@bücher.example",
    "ünï@example.org",
    "x" * 64 + "@a.example",
]


@pytest.fixture
async def mta() -> AsyncIterator[Mta]:
    """A server whose folder has a short name: pytest's own may be closed to the user that the server becomes."""
    with tempfile.TemporaryDirectory(prefix="kabar-mta-") as folder:
        try:
            async with mail_server(Path(folder)) as server:
                yield server
        except ServiceUnavailable as error:
            if os.environ.get("KABAR_REQUIRE_RABBITMQ") == "1":
                raise
            pytest.skip(f"no real mail server: {error}")


def letters(channel: EmailChannel) -> list[Mail]:
    """A mail for each odd name, body, title and address."""
    made = []
    cases = [
        *((name, "Body", "Title", TARGET.address) for name in NAMES),
        *(("Ada", body, "Title", TARGET.address) for body in BODIES),
        *(("Ada", "Body", title, TARGET.address) for title in TITLES),
        *(("Ada", "Body", "Title", address) for address in ADDRESSES),
    ]
    for number, (name, body, title, address) in enumerate(cases, start=1):
        plain = Content(title, body, "https://rumah.example/it?a=1&b=2", "Go")
        target = TARGET._replace(delivery_id=UUID(int=number), name=name, address=address)
        mail = channel.fit((plain, plain), target)
        assert not isinstance(mail, Refused), (name, mail)
        made.append(mail)
    return made


async def test_a_real_mail_server_takes_every_mail(mta: Mta) -> None:
    """Odd names, long lines, full stops at the start of a line, emoji: all is kept as it was printed."""
    channel = EmailChannel(mta.url, '"Rumah & Co, the <shop>" <no-reply@rumah.example>', brand=BRAND)
    mails = letters(channel)

    outcomes = await asyncio.gather(*(channel.send(mail, timeout_seconds=30) for mail in mails))
    await channel.aclose()

    refused = [(number, one) for number, one in enumerate(outcomes) if not isinstance(one, Sent)]
    assert refused == []
    taken = mta.taken()
    assert len(taken) == len(mails)
    for mail in mails:
        message_id = str(email.message_from_bytes(mail.data, policy=email.policy.SMTP)["Message-ID"]).strip("<>")
        head, _, body = mail.data.replace(b"\r\n", b"\n").partition(b"\n\n")
        assert taken[message_id] == body
        assert b"\nX-Evil" not in head


async def test_the_real_mail_server_is_strict(mta: Mta) -> None:
    """It refuses a header that is none and a line that is too long: what it takes is worth something."""
    channel = EmailChannel(mta.url, "no-reply@rumah.example", brand=BRAND)
    (good, *_) = letters(channel)
    long_line = good.data.replace(b"\r\n\r\n", b"\r\n\r\n" + b"x" * 2000 + b"\r\n", 1)
    broken = good.data.replace(b"\r\nTo: ", b"\r\nTo: Ada, Ada <<", 1)

    outcomes = [await channel.send(replace(good, data=data), timeout_seconds=30) for data in (long_line, broken)]
    await channel.aclose()

    assert [type(one) for one in outcomes] == [Refused, Refused]
    assert mta.taken() == {}
