"""What becomes of raw messages: the three forms of an event, and a reason for each that is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.catalogue import Catalogue, EventData, PersonId, Priority, Route
from schemas.envelope import MAX_BODY_BYTES, MAX_HEADER_BYTES
from schemas.events.billing import PaymentFailed, PaymentSuccess
from schemas.events.custom import Custom
from schemas.events.directory import PersonChanged
from worker.core.message import Event, RawMessage, Rejected
from worker.pipeline.accept import MAX_DEPTH, MAX_PERSONS, accept


class Renamed(EventData, type="test.renamed", category="test", version=2):
    """A type whose payload is in its second version."""

    user_id: PersonId


class Noted(EventData, type="test.noted", category="test", routes=(Route("envelope", Priority.LOW, "inbox"),)):
    """A type that asks for nothing."""


CATALOGUE = Catalogue([PaymentFailed, PaymentSuccess, Custom, PersonChanged, Renamed, Noted])
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
DATA = {"user_id": "ani", "payment_id": "p1", "amount": "12.50", "currency": "EUR"}
STRUCTURED = "application/cloudevents+json"
SECRET = "secret-77"


def judge(message: RawMessage) -> Event | Rejected:
    (judged,) = accept([message], CATALOGUE, NOW)
    return judged


def taken(message: RawMessage) -> Event:
    judged = judge(message)
    assert isinstance(judged, Event), judged
    return judged


def refused(message: RawMessage) -> Rejected:
    judged = judge(message)
    assert isinstance(judged, Rejected), judged
    return judged


def cloud_event(**attributes: object) -> dict[str, object]:
    return {"specversion": "1.0", "id": "e1", "source": "shop", "type": "payment.success", "data": DATA} | attributes


def structured(document: object, content_type: str = STRUCTURED, **properties: object) -> RawMessage:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return RawMessage(body, "any.key", content_type, **properties)  # type: ignore[arg-type] # spread


def plain(data: object = None, headers: Mapping[str, object] | None = None, **properties: object) -> RawMessage:
    usual: dict[str, object] = {
        "body": json.dumps(DATA if data is None else data).encode(),
        "routing_key": "payment.success",
        "message_id": "e1",
        "app_id": "shop",
        "headers": headers or {},
    }
    return RawMessage(**(usual | properties))  # type: ignore[arg-type] # spread


def nested(levels: int) -> bytes:
    """A structured event whose payload has an unknown field of that many lists in each other."""
    text = json.dumps(cloud_event(data={**DATA, "x": "@"}))
    return text.replace('"@"', "[" * levels + "]" * levels).encode()


GOOD = structured(cloud_event())


# The three forms


@pytest.mark.parametrize("content_type", [STRUCTURED, "Application/CloudEvents+JSON; charset=UTF-8"])
def test_the_structured_form_carries_its_envelope_in_the_body(content_type: str) -> None:
    """A CloudEvent is understood whatever routing key it was published under."""
    event = taken(structured(cloud_event(subject="A1", actor="bo", traceparent="00-ab-cd-01"), content_type))

    assert (event.id, event.source, event.type, event.subject) == ("e1", "shop", "payment.success", "A1")
    assert (event.actor, event.traceparent) == ("bo", "00-ab-cd-01")
    assert event.data == DATA
    assert isinstance(event.payload, PaymentSuccess)
    assert event.payload.amount == Decimal("12.50")


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_", "ce-"])
def test_the_binary_form_carries_its_envelope_in_headers(prefix: str) -> None:
    """Any of the prefixes in use is understood, and trace headers may stand without one."""
    names = {"id": "e1", "source": "shop", "type": "payment.success", "specversion": "1.0", "shop": "7"}
    headers = {prefix + name: value for name, value in names.items()} | {"traceparent": "00-ab-cd-01", "other": "x"}

    event = taken(plain(headers=headers, routing_key="x", message_id=None, app_id=None))

    assert (event.id, event.source, event.type, event.traceparent) == ("e1", "shop", "payment.success", "00-ab-cd-01")
    assert event.extensions == {"shop": "7"}


def test_the_plain_form_carries_its_envelope_in_amqp_properties() -> None:
    """A program that knows no CloudEvents sets message_id, timestamp and app_id, and publishes under the type."""
    sent_at = datetime(2026, 1, 2, tzinfo=UTC)

    event = taken(plain(headers={"subject": "A1", "priority": "urgent", "audience": "user:bo"}, timestamp=sent_at))

    assert (event.id, event.source, event.type, event.time) == ("e1", "shop", "payment.success", sent_at)
    assert (event.subject, event.priority, event.persons) == ("A1", Priority.URGENT, ("bo",))


def test_headers_in_bytes_are_text() -> None:
    """Clients that send strings as byte arrays are understood."""
    event = taken(plain(headers={"subject": "Größe".encode(), "odd": b"\xff"}))

    assert event.subject == "Größe"
    assert event.extensions == {"odd": "\N{REPLACEMENT CHARACTER}"}


def test_an_event_without_a_time_happened_when_it_arrived() -> None:
    """`time` is optional in CloudEvents."""
    assert taken(structured(cloud_event())).time == NOW


def test_the_time_is_kept_in_utc() -> None:
    """Whatever offset the producer writes."""
    assert taken(structured(cloud_event(time="2026-05-04T09:00:00+07:00"))).time == datetime(2026, 5, 4, 2, tzinfo=UTC)


def test_unknown_attributes_are_kept() -> None:
    """What Kabar does not know today may matter tomorrow."""
    event = taken(structured(cloud_event(shop="7", nested={"a": [1, None]})))

    assert event.extensions == {"shop": "7", "nested": {"a": [1, None]}}


def test_the_brokers_own_headers_are_no_attributes() -> None:
    """What begins with x- is between Kabar and the broker."""
    assert taken(plain(headers={"x-delivery-count": 1, "x-death": [{"count": 1}], "shop": "7"})).extensions == {
        "shop": "7"
    }


def test_payload_fields_that_the_type_does_not_have_are_kept_and_harm_nothing() -> None:
    """A producer that is a version ahead is still understood."""
    assert taken(structured(cloud_event(data={**DATA, "new": 1}))).data["new"] == 1


def test_the_same_source_and_id_give_the_same_key_in_every_form() -> None:
    """An event published twice, in whatever form, meets its own row."""
    other = structured(cloud_event(source="other"))

    assert taken(GOOD).key == taken(plain()).key
    assert taken(other).key != taken(GOOD).key


def test_the_audience_names_persons_and_roles_once() -> None:
    """Repetitions and line breaks between entries do not matter."""
    event = taken(structured(cloud_event(audience=" user:b role:r\nuser:a  user:b ")))

    assert (event.persons, event.roles) == (("b", "a"), ("r",))


def test_an_event_names_500_people_and_not_one_more() -> None:
    """A larger audience is a role, or several events."""
    people = [f"user:p{number}" for number in range(MAX_PERSONS + 1)]

    assert len(taken(structured(cloud_event(audience=" ".join(people[:-1])))).persons or ()) == MAX_PERSONS
    assert refused(structured(cloud_event(audience=" ".join(people)))).code == "audience_too_large"


# What is refused


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        (structured(b""), "not_json", "body"),
        (structured(b"{"), "not_json", "body"),
        (structured(b"\xff\xfe"), "not_json", "body"),
        (structured(b'{"id": NaN}'), "not_json", "body"),
        (structured(b'{"id": 1e999}'), "not_json", "body"),
        (structured(b'{"id": "\\ud800"}'), "not_json", "body"),
        (structured(b'{"id": "\x00"}'), "not_json", "body"),
        (structured(b"[" * 5000), "not_json", "body"),
        (structured([cloud_event()]), "not_json", "body"),
        (structured(b"null"), "not_json", "body"),
        (plain("text"), "not_json", "body"),
        (plain(content_type="text/plain"), "content_type", "content_type"),
        (structured(cloud_event(), "application/cloudevents+avro"), "content_type", "content_type"),
        (structured([cloud_event()], "application/cloudevents-batch+json"), "content_type", "content_type"),
        (plain(message_id=None), "id_invalid", "id"),
        (plain(message_id=""), "id_invalid", "id"),
        (plain(message_id="a\x00b"), "id_invalid", "id"),
        (structured(cloud_event(id=7)), "id_invalid", "id"),
        (structured(cloud_event(id="x" * 257)), "id_invalid", "id"),
        (structured({"specversion": "1.0", "source": "s", "type": "t", "data": {}}), "id_invalid", "id"),
        (structured(cloud_event(time="yesterday")), "time_invalid", "time"),
        (structured(cloud_event(time="2026-05-04T09:00:00")), "time_invalid", "time"),
        (structured(cloud_event(time="0001-01-01T00:00:00+14:00")), "time_invalid", "time"),
        (structured(cloud_event(time="9999-12-31T23:59:59-12:00")), "time_invalid", "time"),
        (structured(cloud_event(time=1e30)), "time_invalid", "time"),
        (structured(cloud_event(expiresat="9999-12-31T23:59:59-12:00")), "envelope_invalid", "expiresat"),
        (plain(headers={"expiresat": "soon"}), "envelope_invalid", "expiresat"),
        (structured(cloud_event(data=[1])), "data_invalid", "data"),
        (structured({"id": "e1", "source": "s", "type": "payment.success"}), "data_invalid", "data"),
        (structured(cloud_event(specversion="0.3")), "envelope_invalid", "specversion"),
        (structured(cloud_event(priority="highest")), "envelope_invalid", "priority"),
        (structured(cloud_event(audience="everybody")), "envelope_invalid", "audience"),
        (structured(cloud_event(audience="")), "envelope_invalid", "audience"),
        (structured(cloud_event(subject="a\r\nb")), "envelope_invalid", "subject"),
        (structured(cloud_event(type="payment success")), "envelope_invalid", "type"),
        (structured(cloud_event(schemaversion=0)), "envelope_invalid", "schemaversion"),
        (structured(cloud_event(type="payment.lost")), "type_unknown", "type"),
        (plain(routing_key="custom"), "type_unknown", "type"),
        (structured(cloud_event(schemaversion=2)), "version_unknown", "schemaversion"),
        (structured(cloud_event(data={})), "payload_invalid", "data.user_id"),
        (structured(cloud_event(data={**DATA, "user_id": "a b"})), "payload_invalid", "data.user_id"),
        (structured(cloud_event(data={**DATA, "amount": "much"})), "payload_invalid", "data.amount"),
        (structured(cloud_event(data={**DATA, "invoice_url": "javascript:x"})), "payload_invalid", "data.invoice_url"),
        (structured(cloud_event(type="custom.a", data={"title": "t", "message": "m", "user_ids": ["a", ""]})),
         "payload_invalid", "data.user_ids.1"),
        (structured(cloud_event(data={**DATA, "payment_id": "a\0b"})), "nul_character", "data.payment_id"),
        (structured(cloud_event(ext={"deep": ["ok", {"er": "\0"}]})), "nul_character", "ext.deep.1.er"),
        (structured(cloud_event(data={**DATA, "a\0b": 1})), "nul_character", "data.ab"),
        (plain(headers={"shop": "a\0b"}), "nul_character", "shop"),
        (plain(headers={"shop": b"a\0b"}), "nul_character", "shop"),
        (plain(headers={"a\0b": "x"}), "nul_character", "ab"),
        (plain(headers={"ce-id": "e", "ce-source": "s", "ce-type": "t", "ce-x": "\0"}), "nul_character", "x"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_a_code_the_field_and_a_remedy(message: RawMessage, code: str, field: str) -> None:
    """Whoever finds the dead letter learns what was wrong with it, and where."""
    rejected = refused(message)

    assert (rejected.code, rejected.field) == (code, field)
    assert rejected.remedy


def test_a_body_over_256_kib_is_refused_before_it_is_parsed() -> None:
    """One byte less is taken."""
    room = MAX_BODY_BYTES - len(json.dumps(cloud_event(data={**DATA, "x": ""})))

    assert judge(structured(cloud_event(data={**DATA, "x": "a" * room}))).id == "e1"  # type: ignore[union-attr]
    assert refused(structured(cloud_event(data={**DATA, "x": "a" * (room + 1)}))).code == "body_too_large"
    assert refused(structured(b"{" * (MAX_BODY_BYTES + 1))).code == "body_too_large"


@pytest.mark.parametrize(
    ("fits", "too_much"),
    [
        ("a" * (MAX_HEADER_BYTES - 4), "a" * (MAX_HEADER_BYTES - 3)),
        ("😀" * ((MAX_HEADER_BYTES - 4) // 4), "😀" * (MAX_HEADER_BYTES // 4)),
        (b"\x01" * (MAX_HEADER_BYTES - 4), b"\x01" * (MAX_HEADER_BYTES - 3)),
    ],
)
def test_headers_over_8_kib_are_refused_whatever_they_are_made_of(fits: object, too_much: object) -> None:
    """The limit is in bytes on the wire, not in characters."""
    taken(plain(headers={"shop": fits}))

    assert refused(plain(headers={"shop": too_much})).code == "headers_too_large"


@pytest.mark.parametrize("levels", [MAX_DEPTH, 254, 300, 500, 1000])
@pytest.mark.parametrize("with_nul", [False, True])
def test_deep_nesting_is_refused_at_every_depth(levels: int, *, with_nul: bool) -> None:
    """What no part of Kabar could write again is not taken in, and no depth makes anything raise."""
    body = nested(levels)
    if with_nul:
        body = body.replace(b'"12.50"', b'"\\u0000"')

    assert refused(structured(body)).code in {"too_deep", "nul_character", "not_json"}
    assert refused(plain(headers={"shop": "7"}, body=body)).code in {"too_deep", "nul_character", "not_json"}


def test_reasonable_nesting_is_taken() -> None:
    """The limit is far from what anybody writes on purpose."""
    taken(structured(nested(MAX_DEPTH - 2)))


def test_huge_integers_are_taken_where_the_type_has_no_use_for_them() -> None:
    """An unknown field of a neighbour service's making is none of Kabar's business."""
    event = taken(structured(json.dumps(cloud_event(data={**DATA, "x": 10**40, "y": 2**64 - 1})).encode()))

    assert event.data["y"] == 2**64 - 1


def test_of_a_repeated_json_key_the_last_one_counts() -> None:
    """As in every common parser, so that producer and Kabar read the same."""
    body = json.dumps(cloud_event()).replace('"id": "e1"', '"id": "first", "id": "last"').encode()

    assert taken(structured(body)).id == "last"


def test_a_newer_version_than_known_says_to_upgrade_and_replay() -> None:
    """During a rolling deploy the event is kept, and older versions go on being read."""
    newer = structured(cloud_event(type="test.renamed", data={"user_id": "ani"}, schemaversion=3))
    rejected = refused(newer)

    assert rejected.code == "version_unknown"
    assert "upgrade" in rejected.remedy
    for version in (1, 2):
        event = taken(structured(cloud_event(type="test.renamed", data={"user_id": "ani"}, schemaversion=version)))
        assert event.version == version


@pytest.mark.parametrize(
    "document",
    [
        cloud_event(time=SECRET),
        cloud_event(priority=SECRET),
        cloud_event(schemaversion=SECRET),
        cloud_event(specversion=SECRET),
        cloud_event(audience=SECRET),
        cloud_event(data=SECRET),
        cloud_event(data={**DATA, "amount": SECRET}),
        cloud_event(data={**DATA, "invoice_url": f"{SECRET}://{SECRET}"}),
        cloud_event(data={**DATA, "user_id": f"{SECRET} {SECRET}"}),
        cloud_event(type="person.changed", data={"person_id": "a", "addresses": {SECRET: [SECRET]}}),
        cloud_event(type="person.changed", data={"person_id": "a", "addresses": {"email": [f"{SECRET} "]}}),
    ],
)
def test_a_remedy_never_quotes_what_the_producer_wrote(document: Mapping[str, object]) -> None:
    """Reasons stand in logs and headers, where a payload must not."""
    rejected = refused(structured(document))

    assert SECRET not in rejected.remedy
    assert SECRET not in rejected.field


def test_a_reject_names_the_event_where_it_can() -> None:
    """So that its producer finds it again."""
    rejected = refused(structured(cloud_event(data={})))

    assert (rejected.event_id, rejected.event_type) == ("e1", "payment.success")


def test_bad_messages_do_not_harm_their_neighbours() -> None:
    """Each message of a batch is judged alone and in order."""
    bad = [structured(b"{"), plain(message_id=None), structured(nested(500)), structured(cloud_event(data={}))]
    batch = [GOOD, *(message for one in bad for message in (one, GOOD))]

    judged = accept(batch, CATALOGUE, NOW)

    assert [type(one) for one in judged] == [Event, *[Rejected, Event] * len(bad)]
    assert judged[0] == judged[-1]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["id", "source", "type", "time", "data", "audience", "expiresat", "priority", "specversion"])
HEADER_VALUES = (
    st.text(max_size=30)
    | st.binary(max_size=30)
    | st.integers(-(2**63), 2**64)
    | st.floats()
    | st.booleans()
    | st.none()
    | st.datetimes(timezones=st.just(UTC))
    | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)
)
BODIES = (
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(NAMES, JSON, max_size=6).map(lambda value: json.dumps(cloud_event(**value)).encode())
    | st.dictionaries(st.sampled_from(sorted(DATA)), JSON).map(
        lambda value: json.dumps(cloud_event(data=DATA | value)).encode()
    )
)
MESSAGES = st.builds(
    RawMessage,
    body=BODIES,
    routing_key=st.text(max_size=20) | st.just("payment.success"),
    content_type=st.sampled_from(["", "application/json", STRUCTURED, STRUCTURED + ";charset=utf-8"])
    | st.text(max_size=9),
    headers=st.dictionaries(
        st.text(max_size=9) | NAMES | NAMES.map("ce-{}".format) | NAMES.map("cloudEvents:{}".format),
        HEADER_VALUES,
        max_size=5,
    ),
    message_id=st.none() | st.text(max_size=20),
    timestamp=st.none() | st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-12))])),
    app_id=st.none() | st.text(max_size=20),
)


@settings(max_examples=400, deadline=None)
@given(message=MESSAGES)
def test_whatever_arrives_is_judged_and_harms_nobody(message: RawMessage) -> None:
    """No bytes and no headers make intake raise, and what stands beside them is unharmed."""
    judged = accept([GOOD, message, GOOD], CATALOGUE, NOW)

    assert judged[0] == judged[2]
    assert isinstance(judged[0], Event)
    match judged[1]:
        case Rejected() as rejected:
            assert rejected.code
            assert rejected.field
            assert rejected.remedy
        case Event() as event:
            assert event.time.utcoffset() == timedelta(0)
            assert "\x00" not in f"{event.id}{event.source}{event.type}"
