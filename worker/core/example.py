"""Data that an event could carry, made from its model alone: for samples, and to try how long texts can become.

Pure, and the same at every call. Fields are known by their JSON Schema and by their names, so a product's own event
types are served as the built-in ones are. Knows nothing of texts and media.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from schemas.catalogue import EventInfo
from worker.core.fields import Field, fields_of

EVENT_TIME = "2026-11-12T07:05:00Z"

_SOURCE = "https://api.example.com"
_LONGEST_TEXT = 80
_LONGEST_NAME = 50
_LONGEST_PROSE = 300
_LONGEST_URL = 200
_LONGEST_LIST = 8
_KNOWN_AUDIENCES = ("user", "admins", "envelope")
_NAMED_BY_TYPE: Mapping[str, JsonValue] = {
    "account.quota_warning.limit": 10_000,
    "account.quota_warning.used": 8_500,
    "admin.alert.message": "Three payouts have been waiting for approval since yesterday.",
    "admin.alert.title": "Payouts are waiting",
    "content.updated.title": "Class 12: mixing vocals",
    "custom.*.message": "Tell us how the new player feels. It takes a minute.",
    "custom.*.priority": "normal",
    "custom.*.title": "Two questions about the new player",
    "event.reminder.starts_at": "2026-11-12T07:35:00Z",
    "event.reminder.title": "Mixing vocals, live class",
    "person.changed.addresses": {"email": ["ayu.lestari@example.com"], "telegram": ["620811001"]},
    "person.changed.name": "Ayu Lestari",
    "preference.changed.channel": "email",
    "preference.changed.enabled": False,
    "promo.flash_sale.message": "Up to 70% off on selected items, until midnight.",
    "promo.flash_sale.title": "Flash sale",
    "promo.special_offer.message": "20% off your next order.",
    "promo.special_offer.title": "A thank-you for your first year",
    "shipment.updated.status": "Arrived at the sorting centre in Jakarta",
    "stream.health_degraded.reason": "The bitrate is too low for 1080p",
    "stream.disconnected.reason": "The connection was lost",
    "strike.detected.reason": "A song in the video belongs to somebody else",
}
"""By event type and field, where a field's name alone does not say what it holds."""
_NAMED: Mapping[str, JsonValue] = {
    "account": "@ayu.live",
    "actor_avatar": "https://img.example.com/people/budi.jpg",
    "alert": "A new device signed in to your account",
    "amount": "150000",
    "artist_name": "Citra Dewi",
    "at": "2026-11-12T07:04:30Z",
    "backup_id": "bk-20261112",
    "badge": "100 hours live",
    "bitrate_kbps": 850,
    "change_percent": -12.5,
    "channel": "Ayu Live",
    "code": "THANKS20",
    "competitor": "Studio Senja",
    "courier": "JNE",
    "currency": "IDR",
    "device": "Firefox on Windows",
    "dispute_code": "DSP-1042",
    "downtime_seconds": 95,
    "due_at": "2026-11-14T16:59:00Z",
    "duration_seconds": 5400,
    "email": "ayu.lestari@example.com",
    "ends_at": "2026-11-12T19:00:00Z",
    "error": "No space left on device",
    "excerpt": "I love the second verse, how did you record it?",
    "expired_at": "2026-11-12T07:00:00Z",
    "expires_at": "2026-11-19T07:00:00Z",
    "expires_in_days": 14,
    "group_name": "Home Studio Jakarta",
    "icon": "sparkles",
    "image": "https://img.example.com/badges/100-hours.png",
    "ip": "203.0.113.7",
    "location": "Jakarta, Indonesia",
    "locale": "id",
    "method": "QRIS",
    "module": "Module 3: Recording at home",
    "name": "Ayu Lestari",
    "order_code": "KB-001042",
    "peak_viewers": 1250,
    "period": "November 2026",
    "plan": "Pro",
    "platforms": ["Spotify", "Apple Music", "YouTube Music"],
    "product_name": "Condenser microphone C-1",
    "provider": "YouTube",
    "rating": 5,
    "reason": "The card has expired",
    "renews_at": "2026-12-12T07:00:00Z",
    "resets_at": "2026-11-13T00:00:00Z",
    "resolution": "The claim was withdrawn",
    "roles": ["creator"],
    "scope": "category:billing",
    "service": "transcoder",
    "severity": "critical",
    "size_bytes": 1_288_490_189,
    "song_title": "Pulang",
    "starts_at": "2026-11-12T17:00:00Z",
    "status": "In transit",
    "stock": 3,
    "subscribers": 10_000,
    "summary": "Two new videos this week, 48,000 views",
    "time_zone": "Asia/Jakarta",
    "title": "Friday night live",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "tracking_number": "JP1234567890",
    "user_ids": ["ayu", "budi"],
}
_USUAL: Mapping[str, JsonValue] = {
    "email": "ayu.lestari@example.com",
    "moment": "2026-11-13T02:30:00Z",
    "amount": "150000",
    "count": 12,
    "number": 12.5,
    "truth": True,
    "choice": "",
    "object": {},
}
"""By kind, where the name says nothing."""
_PEOPLE = {"user_id": "ayu", "person_id": "ayu", "actor_id": "budi", "sender_id": "budi"}
_NAMES_OF_PEOPLE = ("actor_name", "sender_name", "author", "customer", "reviewer")
_BRIEF = (*_NAMES_OF_PEOPLE, "artist_name", "name", "courier", "method", "service", "device")
_SHORT = ("_code", "_id", "_number", "currency", "code", "ip", "locale", "icon", "scope", "severity", "method", "plan")
_PROSE = ("reason", "message", "excerpt", "error", "summary", "description", "text", "details")
_WORDS = "several words that could stand here and do not want to come to an end "


def plausible_data(info: EventInfo) -> dict[str, JsonValue]:
    """Answer a payload as a producer might send it, every optional field included."""
    return {field.name: _plausible(info.type, field) for field in fields_of(info)}


def longest_data(info: EventInfo) -> dict[str, JsonValue]:
    """Answer a payload whose values are as long as they may plausibly become, but not absurdly long."""
    return {field.name: _longest(info.type, field) for field in fields_of(info)}


def cloud_event(info: EventInfo) -> dict[str, JsonValue]:
    """Answer a whole CloudEvent of a type, as it is published. One that must name its audience does."""
    open_type = info.type.endswith(".*")
    first = info.routes[0].audience if info.routes else "user"
    audience: dict[str, JsonValue] = {} if first in _KNOWN_AUDIENCES else {"audience": "user:ayu user:citra"}
    return {
        "specversion": "1.0",
        "id": f"{info.text_key}-0001",
        "source": _SOURCE,
        "type": f"{info.text_key}.example" if open_type else info.type,
        "time": EVENT_TIME,
        "datacontenttype": "application/json",
        "schemaversion": info.version,
        **audience,
        "data": plausible_data(info),
    }


def _plausible(event_type: str, field: Field) -> JsonValue:
    known = _NAMED_BY_TYPE.get(f"{event_type}.{field.name}", _NAMED.get(field.name))
    if known is not None and _fits(known, field):
        return known
    if field.choices:
        return field.choices[0]
    if field.name in _PEOPLE:
        return _PEOPLE[field.name]
    match field.kind:
        case "text":
            return _plausible_text(field)[: field.longest]
        case "url":
            page = event_type.partition(".")[0] if field.name == "url" else field.name.removesuffix("_url")
            return f"https://www.example.com/{page.replace('_', '-')}/1042"
        case "list":
            return [_plausible(event_type, Field(field.name, field.items or "text", is_optional=False))]
        case kind:
            return _USUAL[kind]


def _plausible_text(field: Field) -> str:
    if field.name in _NAMES_OF_PEOPLE:
        return "Budi Santoso"
    if field.name.endswith("_id"):
        return f"{field.name.removesuffix('_id')}-1042"
    if field.name.endswith(("_code", "_number")):
        return "KB-1042"
    return f"some {field.name.replace('_', ' ')}"


def _fits(value: JsonValue, field: Field) -> bool:
    """Is this well-known value one that a field of this kind can hold?"""
    match field.kind:
        case "text" | "email" | "moment":
            return isinstance(value, str) and len(value) <= (field.longest or len(value))
        case "url":
            return isinstance(value, str) and value.startswith("https://")
        case "amount":
            return isinstance(value, str) and value.isdecimal()
        case "count":
            return isinstance(value, int)
        case "number":
            return isinstance(value, int | float)
        case "truth":
            return isinstance(value, bool)
        case "choice":
            return value in field.choices
        case "list":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)


def _longest(event_type: str, field: Field) -> JsonValue:
    if field.choices:
        return max(field.choices, key=lambda choice: len(str(choice)))
    if field.has_pattern:
        return _plausible(event_type, field)
    match field.kind:
        case "text":
            return _longest_text(field)
        case "url":
            return f"https://www.example.com/{field.name}?id=".ljust(_LONGEST_URL, "x")
        case "email":
            return "a.person.with.quite.a.long.name@mail.some-company.example.com"
        case "amount":
            return "1234567890.00"
        case "count":
            return 1_234_567_890
        case "list":
            item = Field(field.name, field.items or "text", is_optional=False, longest=40)
            return [_longest(event_type, item)] * _LONGEST_LIST
        case "moment" | "number" | "truth" | "choice" | "object":
            return _plausible(event_type, field)


def _longest_text(field: Field) -> str:
    if field.name == "currency":
        return "IDR"
    length = _LONGEST_PROSE if field.name.endswith(_PROSE) else _LONGEST_TEXT
    if field.name in _BRIEF:
        length = _LONGEST_NAME
    elif field.name.endswith(_SHORT):
        length = 36
    length = min(length, field.longest or length)
    if length <= 36 or field.name.endswith("_id"):  # noqa: PLR2004 - a code or an id: one word
        return "W" * length
    return (_WORDS * (length // len(_WORDS) + 1))[: length - 1] + "W"
