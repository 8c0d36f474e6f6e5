"""Reading a mail's source, however broken it is: subject, both bodies, headers, the delivery it belongs to."""

from __future__ import annotations

import email
import re
from dataclasses import dataclass
from email import policy
from email.errors import MessageError
from email.message import EmailMessage
from uuid import UUID

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", re.IGNORECASE)
# Python's parser is lenient, and yet some broken headers and unknown charsets raise these when they are looked at.
_UNREADABLE = (LookupError, ValueError, TypeError, AttributeError, MessageError)
_UNREADABLE_TEXT = "(unreadable, see the source)"


@dataclass(frozen=True, slots=True)
class Mail:
    """What a mail says. A body that it does not have is empty. `headers` are decoded, in their order."""

    subject: str
    text: str
    html: str
    headers: tuple[tuple[str, str], ...]
    delivery_id: UUID | None


def read_mail(source: bytes) -> Mail:
    """Read any bytes as a mail; never raises on what is in them."""
    message = email.message_from_bytes(source, policy=policy.default)
    names = message.keys()
    values = {name.lower(): iter(_header(message, name)) for name in names}
    headers = tuple((name, next(values[name.lower()], _UNREADABLE_TEXT)) for name in names)
    by_name = {name.lower(): value for name, value in reversed(headers)}
    return Mail(
        subject=by_name.get("subject", ""),
        text=_body(message, "plain"),
        html=_body(message, "html"),
        headers=headers,
        delivery_id=_delivery_id(by_name.get("message-id", "")),
    )


def _header(message: EmailMessage, name: str) -> list[str]:
    try:
        return [str(value) for value in message.get_all(name, [])]
    except _UNREADABLE:
        return []


def _body(message: EmailMessage, kind: str) -> str:
    try:
        part = message.get_body((kind,))
        return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""
    except _UNREADABLE:
        return _UNREADABLE_TEXT


def _delivery_id(message_id: str) -> UUID | None:
    found = _UUID.search(message_id)
    return UUID(found.group()) if found else None
