"""What arrives in the dead queues, and how it becomes the producer's message again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.dead_letter import CODE, FIELD, PLACE, REMEDY, DeadLetter, read_dead, revive
from worker.core.message import RawMessage

WHY = {CODE: "payload_invalid", FIELD: "data.amount", REMEDY: "send a number"}
PLAIN = RawMessage(
    b'{"a": 1}',
    "payment.failed",
    "application/json",
    {"shop": "7"},
    "e1",
    datetime(2026, 5, 4, 12, 30, 1, tzinfo=UTC),
    "shop",
)


def with_headers(message: RawMessage, **more: object) -> RawMessage:
    return RawMessage(
        message.body, message.routing_key, message.content_type, {**message.headers, **more}, message.message_id,
        message.timestamp, message.app_id,
    )  # fmt: skip


def revived(letter: DeadLetter) -> RawMessage:
    return revive(letter.body, letter.properties, letter.routing_key)


def test_a_reject_is_read_with_its_reason_field_and_remedy() -> None:
    """What intake found wrong stands in headers of its own."""
    letter = read_dead(with_headers(PLAIN, **WHY))

    assert (letter.stage, letter.reason, letter.field) == ("accept", "payload_invalid", "data.amount")
    assert letter.remedy == "send a number"
    assert (letter.event_id, letter.event_type) == ("e1", "payment.failed")
    assert letter.body == PLAIN.body


def test_a_bug_is_read_with_the_stage_it_happened_in() -> None:
    """Its class and its place tell two bugs apart; the message's own words do not."""
    why = {CODE: "worker_error", REMEDY: "see the log"}
    here = read_dead(with_headers(PLAIN, **why, **{FIELD: "KeyError", PLACE: "decide.py:decide"}))
    there = read_dead(with_headers(PLAIN, **why, **{FIELD: "KeyError", PLACE: "intake.py:record"}))
    other = read_dead(with_headers(PLAIN, **why, **{FIELD: "TypeError", PLACE: "decide.py:decide"}))

    assert here.stage == "intake"
    assert len({here.fingerprint, there.fingerprint, other.fingerprint}) == 3


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("delivery_limit", "killed_workers"),
        ("rejected", "headers_too_large"),
        ("expired", "expired"),
        ("maxlen", "maxlen"),
    ],
)
def test_what_the_broker_gave_up_on_is_read_from_x_death(said: str, reason: str) -> None:
    """RabbitMQ says why in the newest entry."""
    deaths = [{"reason": said, "queue": "kabar.suspect", "count": 1}, {"reason": "other"}]

    letter = read_dead(with_headers(PLAIN, **{"x-death": deaths}))

    assert letter.reason == reason
    assert letter.remedy


def test_what_was_rejected_for_its_size_says_so() -> None:
    """The same as if Kabar could have written the reason on it."""
    huge = PLAIN._replace(body=b"x" * 300_000)

    letter = read_dead(with_headers(huge, **{"x-death": [{"reason": "rejected", "count": 1}]}))

    assert (letter.reason, letter.field) == ("body_too_large", "body")
    assert letter.remedy.startswith("300000 bytes; at most 262144")


@pytest.mark.parametrize("deaths", [None, [], "text", [7], [{}], [{"reason": 7}], {"reason": "rejected"}])
def test_an_odd_x_death_is_an_unknown_reason(deaths: object) -> None:
    """Whatever a client made up for that header."""
    assert read_dead(with_headers(PLAIN, **{"x-death": deaths})).reason == "unknown"


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"x-death": [{"reason": "delivery_limit", "routing-keys": ["order.lost"]}]}, "order.lost"),
        ({"x-death": [{"routing-keys": ["kabar.suspect"]}], "x-kabar-routing-key": "intake"}, "intake"),
        ({"x-death": [{"routing-keys": ["intake"]}, {"routing-keys": ["order.lost", "cc"]}]}, "order.lost"),
        ({"x-death": [{"routing-keys": []}]}, "intake"),
        ({"x-death": [{"routing-keys": "x"}]}, "intake"),
        ({"x-death": [{"routing-keys": [7]}]}, "intake"),
    ],
)
def test_the_producers_routing_key_is_found_again(headers: dict[str, object], key: str) -> None:
    """The broker replaces it with the dead-letter key, and it is the type of a plain event."""
    letter = read_dead(RawMessage(b"{}", "intake", headers=headers))

    assert (letter.routing_key, letter.event_type) == (key, key)


def test_the_producers_message_comes_back_as_it_was() -> None:
    """A replay publishes what the producer had published, without what the broker and Kabar had added."""
    added = {**WHY, "x-death": [{"reason": "rejected"}], "x-delivery-count": 3, "x-first-death-queue": "q"}
    headers = {"text": "t", "number": 7, "share": 0.5, "yes": True, "nothing": None, "bytes": b"\x00\xff", "x-own": "o"}
    message = with_headers(PLAIN, **headers)

    assert revived(read_dead(with_headers(message, **added))) == message


def test_nul_and_odd_bytes_come_back_as_they_were() -> None:
    """The body is never decoded, and headers keep what JSON cannot say."""
    message = RawMessage(b"\x00\xff{", "k", "text/plain", {"nul": "a\x00b", "raw": b"\x00"}, None, None, None)

    assert revived(read_dead(message)) == message


@pytest.mark.parametrize("value", [{"$base64": "AAAA"}, {"$base64": 7}, {"deep": {"$base64": "not base64!"}}])
def test_a_header_that_looks_like_our_own_notation_comes_back_as_it_was(value: object) -> None:
    """A producer may send any table."""
    message = with_headers(PLAIN, odd=value)

    assert revived(read_dead(message)) == message


def test_bytes_and_moments_inside_of_tables_come_back_as_they_were() -> None:
    """AMQP headers nest."""
    at = datetime(2026, 5, 4, tzinfo=UTC)
    message = with_headers(PLAIN, table={"raw": b"\xff", "list": [b"\x00", {"at": at}]}, at=at, price=Decimal("0.05"))

    assert revived(read_dead(message)) == message


def test_the_same_message_is_the_same_letter() -> None:
    """However often and by whatever way it arrives; another one is another letter."""
    again = with_headers(PLAIN, **WHY, **{"x-death": [{"reason": "rejected"}]})
    other = RawMessage(PLAIN.body + b" ", PLAIN.routing_key, PLAIN.content_type, PLAIN.headers, PLAIN.message_id)

    assert read_dead(PLAIN).id == read_dead(again).id == read_dead(revived(read_dead(again))).id
    assert read_dead(other).id != read_dead(PLAIN).id


def test_two_messages_of_one_trouble_share_a_fingerprint() -> None:
    """Grouping looks at type, reason and place, not at the message."""
    one = read_dead(with_headers(PLAIN, **WHY))
    two = read_dead(RawMessage(b"{}", PLAIN.routing_key, headers=WHY, message_id="e2"))

    assert one.fingerprint == two.fingerprint
    assert one.fingerprint != read_dead(with_headers(PLAIN, **{**WHY, FIELD: "data.currency"})).fingerprint


def test_the_same_mistake_in_another_item_is_one_trouble() -> None:
    """Whichever of an order's items lacks its price."""
    first = read_dead(with_headers(PLAIN, **{**WHY, FIELD: "data.items.0.price"}))
    third = read_dead(with_headers(PLAIN, **{**WHY, FIELD: "data.items.2.price"}))

    assert first.fingerprint == third.fingerprint
    assert (first.field, third.field) == ("data.items.0.price", "data.items.2.price")


@pytest.mark.parametrize(
    "message",
    [
        RawMessage(json.dumps({"id": "e9", "type": "order.lost"}).encode(), "x", "application/cloudevents+json"),
        RawMessage(json.dumps({"id": "e9", "type": "order.lost"}).encode(), "x", "Application/CloudEvents+JSON;a=b"),
        RawMessage(b"", "x", headers={"cloudEvents:id": "e9", "cloudEvents:type": "order.lost"}),
        RawMessage(b"", "x", headers={"ce-id": b"e9", "ce-type": b"order.lost"}),
        RawMessage(b"", "order.lost", message_id="e9"),
    ],
)
def test_the_event_is_named_whatever_its_form(message: RawMessage) -> None:
    """An operator looks for it by the producer's id."""
    letter = read_dead(message)

    assert (letter.event_id, letter.event_type) == ("e9", "order.lost")


HEADER_VALUES = st.recursive(
    st.text(max_size=9) | st.binary(max_size=9) | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.builds(
        RawMessage,
        body=st.binary(max_size=40),
        routing_key=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40),
        content_type=st.text(max_size=20) | st.just("application/cloudevents+json"),
        headers=st.dictionaries(st.text(max_size=9).map("h{}".format), HEADER_VALUES, max_size=4),
        message_id=st.none() | st.text(max_size=40),
        timestamp=st.none() | st.datetimes(timezones=st.just(UTC)),
        app_id=st.none() | st.text(max_size=40),
        deliveries_before=st.just(0),
    )
)
def test_whatever_died_can_be_kept_and_sent_again(message: RawMessage) -> None:
    """No message is too odd for its letter, and no text of a letter is too odd for the ledger."""
    letter = read_dead(message)

    assert revived(letter) == message
    texts = (letter.event_id, letter.event_type, letter.reason, letter.field, letter.remedy, letter.routing_key)
    assert not any("\x00" in text or len(text) > 500 for text in texts)
