"""What a producer puts on the wire, without a broker."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from schemas.catalogue import Priority
from schemas.envelope import MAX_BODY_BYTES, Envelope
from schemas.events.billing import PaymentFailed
from schemas.events.custom import Custom
from schemas.producer import Producer, TooLarge, encode

FAILED = PaymentFailed(
    user_id="u1", payment_id="p1", amount=Decimal("9.90"), currency="EUR", reason="Karte läuft ab 💳"
)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_an_encoded_event_is_a_cloud_event_by_the_judgement_of_the_official_sdk() -> None:
    """Any CloudEvents library can read what Kabar's client publishes."""
    encoded = encode(FAILED, source="checkout", id="e1", time=NOON, subject="p1", extensions={"region": "eu"})

    event = JSONFormat().read(CloudEvent, encoded.body)
    assert isinstance(event, CloudEvent)
    assert (event.get_id(), event.get_source(), event.get_type()) == ("e1", "checkout", "payment.failed")
    assert (event.get_time(), event.get_subject(), event.get_extension("region")) == (NOON, "p1", "eu")
    assert event.get_data() == FAILED.model_dump(mode="json")


def test_every_attribute_reaches_the_envelope() -> None:
    """Whatever a producer says about an event, Kabar is told."""
    encoded = encode(
        FAILED,
        source="checkout",
        id="e1",
        time=NOON,
        audience="user:u2 role:admin",
        priority=Priority.URGENT,
        expires_at=NOON,
        actor="u3",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )

    envelope = Envelope.model_validate_json(encoded.body)
    assert (envelope.audience, envelope.actor) == ("user:u2 role:admin", "u3")
    assert (envelope.priority, envelope.expiresat) == (Priority.URGENT, NOON)
    assert envelope.traceparent == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert PaymentFailed.model_validate(envelope.data) == FAILED


def test_encoding_twice_with_the_same_id_and_time_gives_the_same_bytes() -> None:
    """A repetition is the same event, byte for byte."""
    first = encode(FAILED, source="checkout", id="e1", time=NOON)
    second = encode(FAILED, source="checkout", id="e1", time=NOON)

    assert first == second


def test_ids_that_nobody_chose_differ() -> None:
    """Two events are never taken for one by accident."""
    assert encode(FAILED, source="checkout").event_id != encode(FAILED, source="checkout").event_id


def test_an_event_over_the_limit_is_refused_before_it_is_sent() -> None:
    """A service learns at once that its event is too large, and which one."""
    large = FAILED.model_copy(update={"reason": "x" * MAX_BODY_BYTES})

    with pytest.raises(TooLarge, match="publish a link") as caught:
        encode(large, source="checkout", id="e1")

    assert caught.value.event_id == "e1"


def test_an_open_type_takes_its_concrete_name_from_the_caller() -> None:
    """Events of a service's own making need a name within `custom.`."""
    data = Custom(user_ids=["u1"], title="Hello", message="World")

    assert encode(data, source="checkout", type="custom.greeting").routing_key == "custom.greeting"


@pytest.mark.parametrize("wanted", [None, "custom", "custom.", "other.greeting", "custom.*"])
def test_an_open_type_refuses_a_name_that_does_not_fit(wanted: str | None) -> None:
    """A mistyped event type is found by the service that publishes it."""
    with pytest.raises(ValueError, match="type"):
        encode(Custom(title="Hello", message="World"), source="checkout", type=wanted)


def test_a_closed_type_refuses_another_name() -> None:
    """The data decide what kind of event it is."""
    with pytest.raises(ValueError, match="leave it out"):
        encode(FAILED, source="checkout", type="payment.success")


@pytest.mark.parametrize("name", ["id", "data", "expiresat", "datacontenttype", "Region", "my_region", "x" * 21, ""])
def test_an_extension_cannot_take_the_name_of_another_attribute(name: str) -> None:
    """An extension never changes what an event means, and always has a name that CloudEvents allows."""
    with pytest.raises(ValueError, match="extension"):
        encode(FAILED, source="checkout", extensions={name: "x"})


def test_an_attribute_that_does_not_exist_is_an_error() -> None:
    """A mistyped option is never ignored."""
    with pytest.raises(TypeError, match="subjct"):
        encode(FAILED, source="checkout", subjct="p1")  # type: ignore[call-arg]  # the mistake under test


@pytest.mark.parametrize("attributes", [{"id": "ü" * 128}, {"id": "a\nb"}, {"audience": "everybody"}])
def test_an_attribute_that_kabar_would_reject_is_refused(attributes: dict[str, str]) -> None:
    """What leaves the client is never rejected for its envelope."""
    with pytest.raises(ValueError, match=next(iter(attributes))):
        encode(FAILED, source="checkout", **attributes)  # type: ignore[arg-type]  # a plain dict on purpose


@pytest.mark.parametrize("url", ["", "localhost:5672", "http://guest:hidden@localhost", []])
def test_a_wrong_url_is_told_at_once_without_its_password(url: str | list[str]) -> None:
    """A wrong setting stops the service at its start, and no secret is printed."""
    with pytest.raises(ValueError, match="amqp://") as caught:
        Producer(url, source="checkout")

    assert "hidden" not in str(caught.value)


IMPORT_WITH_NOTHING_ELSE = """
import re, sys
from importlib.metadata import distribution, packages_distributions

def needs(name, found):
    if name not in found:
        found.add(name)
        for requirement in distribution(name).requires or ():
            if "extra ==" not in requirement and "python_version <" not in requirement:
                needs(re.match("[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-"), found)
    return found

class Gate:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in forbidden:
            raise ModuleNotFoundError(f"{name} is not installed", name=name)

allowed = needs("aio-pika", needs("pydantic", set()))
owners = {module: {owner.lower().replace("_", "-") for owner in of} for module, of in packages_distributions().items()}
forbidden = {module for module, of in owners.items() if not of & allowed} - {"schemas"} | {"worker"}
assert {"asyncpg", "aiohttp", "sqlalchemy", "orjson", "structlog"} <= forbidden
sys.meta_path.insert(0, Gate())
import schemas.producer
import schemas.events.billing
"""


def test_the_client_needs_only_pydantic_and_aio_pika() -> None:
    """A service that publishes does not install the notification worker's libraries."""
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_WITH_NOTHING_ELSE], capture_output=True, text=True, timeout=60, check=False
    )

    assert (run.returncode, run.stderr) == (0, "")
