"""Taking a payload out of a message and putting another in."""

from __future__ import annotations

import json

import pytest

from worker.core.message import RawMessage
from worker.core.payload import Unreadable, payload_of, with_payload

STRUCTURED = "application/cloudevents+json; charset=utf-8"
EVENT = {"specversion": "1.0", "id": "e1", "source": "shop", "type": "order.shipped", "data": {"a": 1}, "own": "kept"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [(STRUCTURED, EVENT), ("application/json", {"a": 1}), ("", {"a": 1})],
)
def test_a_payload_is_found_and_replaced_wherever_it_stands(content_type: str, body: dict[str, object]) -> None:
    """In a CloudEvent nothing but its data changes; in any other form the body is the payload."""
    message = RawMessage(json.dumps(body).encode(), "order.shipped", content_type, {"h": "1"}, "e1", None, "shop")

    new = with_payload(message, {"a": 2, "ü": "é"})

    assert payload_of(message) == {"a": 1}
    assert payload_of(new) == {"a": 2, "ü": "é"}
    assert new._replace(body=b"") == message._replace(body=b"")
    if content_type == STRUCTURED:
        assert json.loads(new.body) == {**EVENT, "data": {"a": 2, "ü": "é"}}


@pytest.mark.parametrize("body", [b"", b"{", b"7", b"[]", b"\xff", b"[" * 100_000])
def test_a_cloud_event_that_cannot_be_read_has_no_payload(body: bytes) -> None:
    """Its envelope is gone, and is not made up."""
    assert isinstance(payload_of(RawMessage(body, "x", STRUCTURED)), Unreadable)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_plain_body_that_is_no_json_can_be_replaced(body: bytes) -> None:
    """All of it is the payload, be it what it may."""
    message = RawMessage(body, "x")

    assert payload_of(message) is None
    assert payload_of(with_payload(message, {"a": 1})) == {"a": 1}
