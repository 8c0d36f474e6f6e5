"""A small company's people and an endless day of its events, to see Kabar at work. Pure: whoever calls publishes.

The same seed gives the same events. They carry no id of their own, so that a second run on the same ledger is news.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import count
from random import Random

from pydantic import HttpUrl

from schemas.catalogue import Catalogue, EventData, EventInfo
from schemas.events.billing import PaymentFailed, PaymentSuccess
from schemas.events.custom import Custom
from schemas.events.directory import PersonChanged, PersonRemoved, PreferenceChanged
from schemas.events.order import OrderShipped
from schemas.events.stream import StreamDisconnected, StreamStarted
from schemas.events.system import SystemError as SystemFault
from schemas.producer import Attributes
from worker.core.example import plausible_data
from worker.deployment import BUILT_IN_EVENTS

SampleEvent = tuple[EventData, Attributes]
_TOUR_STEP = 4
_OWN_WORDS = frozenset(
    {
        "stream.started",
        "stream.disconnected",
        "payment.success",
        "payment.failed",
        "order.shipped",
        "system.error",
        "custom.*",
    }
)
_NOT_TOLD = re.compile(r"user_id|sender_id|actor_id|amount|currency|provider|ip|email|at|.*_at|.*url")
"""Fields that a number behind them would spoil."""


def sample_people(slack_webhook_url: Callable[[str], str]) -> list[PersonChanged]:
    """Answer six people, one of them the admin: three who read Indonesian, three who read English.

    `slack_webhook_url` makes the webhook's URL of a name, as the provider simulator's method of that name does.
    """
    return [
        PersonChanged(
            person_id="ayu",
            name="Ayu Lestari",
            locale="id",
            time_zone="Asia/Jakarta",
            roles=["creator"],
            addresses={
                "email": ["ayu.lestari@example.com"],
                "telegram": ["620811001"],
                "slack": [slack_webhook_url("ayu-studio")],
            },
        ),
        PersonChanged(
            person_id="budi",
            name="Budi Santoso",
            locale="id",
            time_zone="Asia/Makassar",
            roles=["creator"],
            addresses={"email": ["budi@example.org"], "telegram": ["620811002"]},
        ),
        PersonChanged(
            person_id="citra",
            name="Citra Dewi",
            locale="id-ID",
            time_zone="Asia/Jayapura",
            roles=["customer"],
            addresses={"email": ["citra.dewi@example.net"]},
        ),
        PersonChanged(
            person_id="daniel",
            name="Daniel Okafor",
            locale="en-GB",
            time_zone="Africa/Lagos",
            roles=["creator"],
            addresses={
                "email": ["daniel@example.com"],
                "telegram": ["234801003"],
                "slack": [slack_webhook_url("daniel-live")],
            },
        ),
        PersonChanged(
            person_id="elena",
            name="Elena Nováková",
            locale="en",
            time_zone="Europe/Prague",
            roles=["customer"],
            addresses={"email": ["elena@example.org"], "telegram": ["420601004"]},
        ),
        PersonChanged(
            person_id="sam",
            name="Sam Rivera",
            locale="en-US",
            time_zone="America/Los_Angeles",
            roles=["admin"],
            addresses={
                "email": ["sam.rivera@example.com"],
                "telegram": ["150550005"],
                "slack": [slack_webhook_url("operations")],
            },
        ),
    ]


def sample_events(seed: int = 1) -> Iterator[SampleEvent]:
    """Give events without end, each with the attributes to publish it with; in time every type of the catalogue.

    Only people of `sample_people` are told of them, but for a guest who comes and goes within a round.
    """
    random = Random(seed)  # noqa: S311 - sample data, no secrets
    for number in count(1):
        yield from _round(number, random)


@dataclass(frozen=True, slots=True)
class _Voice:
    """What happens to a person, in their language."""

    person_id: str
    currency: str
    prices: tuple[str, ...]
    titles: tuple[str, ...]
    payment_reasons: tuple[str, ...]
    stream_reasons: tuple[str, ...]
    couriers: tuple[str, ...]


_ID_PRICES = ("49000", "129000", "249500", "1250000")
_ID_TITLES = (
    "Masak rendang bareng 🍛",
    "Belajar gitar: lagu kelima",
    "Tanya jawab Jumat malam",
    "Main gim sampai pagi",
)
_ID_PAYMENT = ("Saldo tidak mencukupi", "Kartu kedaluwarsa", "Ditolak oleh bank penerbit")
_ID_STREAM = ("Koneksi terputus", "Bitrate terlalu rendah", "Encoder berhenti merespons")
_ID_COURIERS = ("JNE", "SiCepat", "J&T Express")
_EN_TITLES = (
    "Friday night Q&A",
    "Building a synth from scratch",
    "Chess: road to 2000 ♟",
    "Late cooking, <no recipes>",
)
_EN_PAYMENT = ("Insufficient funds", "The card has expired", "Declined by the issuing bank")
_EN_STREAM = ("Connection lost", "Bitrate too low", "The encoder stopped answering")
_EN_COURIERS = ("DHL", "UPS", "Royal Mail")

_VOICES = (
    *(
        _Voice(person_id, "IDR", _ID_PRICES, _ID_TITLES, _ID_PAYMENT, _ID_STREAM, _ID_COURIERS)
        for person_id in ("ayu", "budi", "citra")
    ),
    _Voice("daniel", "GBP", ("4.99", "12.50", "39.00"), _EN_TITLES, _EN_PAYMENT, _EN_STREAM, _EN_COURIERS),
    _Voice("elena", "EUR", ("5.90", "14.90", "119.00"), _EN_TITLES, _EN_PAYMENT, _EN_STREAM, _EN_COURIERS),
)
_FAULTS = (
    ("transcoder", "GPU 3 is out of memory; 12 jobs were moved to GPU 1", "critical"),
    ("checkout", "Payment gateway answers slower than 5 s (p99 7.8 s)", "warning"),
    ("search", "Replica 2 is 340 s behind its primary", "error"),
)
_NEWS = (
    (
        "custom.badge.earned",
        "Lencana baru: 100 jam siaran",
        "Terima kasih sudah menemani penonton selama 100 jam.",
        "ayu",
    ),
    ("custom.survey.invited", "Two questions, one minute", "Tell us how the new player feels.", "elena"),
)


def _round(number: int, random: Random) -> Iterator[SampleEvent]:
    """Give one round: mostly what products publish, now and then what operators and directories do."""
    voices = random.sample(_VOICES, k=len(_VOICES))
    yield _stream_started(voices[0], number, random), {}
    yield _payment_success(voices[1], number, random), {}
    yield _payment_failed(voices[2], number, random), {}
    yield _order_shipped(voices[3], number, random), {}
    yield _stream_disconnected(voices[0], number, random), {}
    yield _payment_success(voices[4], number + 500_000, random), {}
    yield _custom(number)
    yield from _directory(number)
    yield _stream_started(voices[2], number + 500_000, random), {}
    yield _order_shipped(voices[1], number + 500_000, random), {}
    yield _system_error(random), {}
    yield from _tour(number, voices)


def _tour(number: int, voices: Sequence[_Voice]) -> Iterator[SampleEvent]:
    """Give the next few of the types that this company has no words of its own for."""
    for place in range((number - 1) * _TOUR_STEP, number * _TOUR_STEP):
        info = _others()[place % len(_others())]
        data = plausible_data(info)
        told = next(name for name, value in data.items() if isinstance(value, str) and not _NOT_TOLD.fullmatch(name))
        data[told] = f"{data[told]} {number}"
        if "user_id" in data:
            data["user_id"] = voices[place % len(voices)].person_id
        needs_audience = info.routes[0].audience in {"everyone", "followers", "participants"}
        audience = " ".join(f"user:{voice.person_id}" for voice in voices[:3])
        yield info.model.model_validate(data), Attributes(audience=audience) if needs_audience else {}


@cache
def _others() -> tuple[EventInfo, ...]:
    return tuple(info for info in Catalogue.of_modules(BUILT_IN_EVENTS) if info.routes and info.type not in _OWN_WORDS)


def _stream_started(voice: _Voice, number: int, random: Random) -> StreamStarted:
    stream_id = f"st-{number:06d}"
    url = HttpUrl(f"https://live.example.com/{voice.person_id}/{stream_id}")
    return StreamStarted(user_id=voice.person_id, stream_id=stream_id, title=random.choice(voice.titles), url=url)


def _stream_disconnected(voice: _Voice, number: int, random: Random) -> StreamDisconnected:
    return StreamDisconnected(
        user_id=voice.person_id,
        stream_id=f"st-{number:06d}",
        title=random.choice(voice.titles),
        reason=random.choice(voice.stream_reasons),
    )


def _payment_success(voice: _Voice, number: int, random: Random) -> PaymentSuccess:
    order_code = _order_code(number, random)
    return PaymentSuccess(
        user_id=voice.person_id,
        payment_id=f"pay-{number:06d}",
        amount=Decimal(random.choice(voice.prices)),
        currency=voice.currency,
        order_code=order_code,
        invoice_url=HttpUrl(f"https://shop.example.com/invoices/{order_code}"),
    )


def _payment_failed(voice: _Voice, number: int, random: Random) -> PaymentFailed:
    payment_id = f"pay-{number + 250_000:06d}"
    return PaymentFailed(
        user_id=voice.person_id,
        payment_id=payment_id,
        amount=Decimal(random.choice(voice.prices)),
        currency=voice.currency,
        reason=random.choice(voice.payment_reasons),
        retry_url=HttpUrl(f"https://shop.example.com/pay/{payment_id}"),
    )


def _order_shipped(voice: _Voice, number: int, random: Random) -> OrderShipped:
    return OrderShipped(
        user_id=voice.person_id,
        order_code=_order_code(number, random),
        courier=random.choice(voice.couriers),
        tracking_number=f"TRK{random.randrange(10**9, 10**10)}",
    )


def _system_error(random: Random) -> SystemFault:
    service, error, severity = random.choice(_FAULTS)
    return SystemFault(service=service, error=error, severity=severity, trace_id=f"{random.getrandbits(128):032x}")


def _custom(number: int) -> SampleEvent:
    event_type, title, message, person_id = _NEWS[number % len(_NEWS)]
    url = HttpUrl(f"https://www.example.com/news/{number}")
    return Custom(user_ids=[person_id], title=title, message=message, url=url), {"type": event_type}


def _directory(number: int) -> Iterator[SampleEvent]:
    """Let a guest come and go; let Budi have Telegram messages about streams in every second round only."""
    guest = f"guest-{number}"
    addresses = {"email": [f"{guest}@example.net"]}
    yield PersonChanged(person_id=guest, name=f"Guest {number}", locale="en", time_zone="UTC", addresses=addresses), {}
    wants = None if number % 2 == 0 else False
    yield PreferenceChanged(person_id="budi", scope="category:stream", channel="telegram", enabled=wants), {}
    yield PersonRemoved(person_id=guest), {}


def _order_code(number: int, random: Random) -> str:
    return f"KB-{number:06d}-{random.choice('ABCDEFGHJKLMNP')}"
