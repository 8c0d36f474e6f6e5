"""Stories: an event goes in, messages come out, and the ledger says what became of each."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from html import unescape

import aio_pika

from schemas.catalogue import Priority
from schemas.events.billing import PaymentFailed, PaymentSuccess
from schemas.events.custom import Custom
from schemas.events.directory import PersonChanged, PersonRemoved, PreferenceChanged
from schemas.events.order import OrderShipped
from schemas.events.system import SystemError as SystemFailed
from tests.acceptance.world import PATIENCE_SECONDS, World
from worker.metrics import REGISTRY


def failed(payment: str = "p1", user: str = "ani") -> PaymentFailed:
    return PaymentFailed(user_id=user, payment_id=payment, amount="150000", currency="IDR", reason="card expired")


async def test_an_event_reaches_its_person_on_every_channel_of_its_route(world: World) -> None:
    """One payment.failed becomes an e-mail, a Telegram message and an inbox entry, in the person's language."""
    await world.know("ani", name="Ani", locale="id")

    (event_id,) = await world.tell(failed())

    states = await world.states(event_id)
    assert states["ani", "email"] == states["ani", "telegram"] == states["ani", "inbox"] == ("sent", "")
    assert states["ani", "sms"] == ("skipped", "channel_not_configured")
    (mail,) = world.simulator.arrived("email")
    assert mail.to == "ani@example.com"
    assert "Rp 150.000" in mail.title
    assert "Rp 150.000" in mail.text
    assert "Rp\xa0150.000" in unescape(mail.html)
    (shown,) = await world.rows("SELECT title, body FROM notifications WHERE shown_at IS NOT NULL")
    assert "Rp\xa0150.000" in shown["title"]


async def test_a_message_for_slack_arrives_where_the_type_goes_there(world: World) -> None:
    """system.error tells everybody with the role admin, on Slack too, and nobody else."""
    await world.know("root", roles=["admin"])
    await world.know("ani")

    (event_id,) = await world.tell(SystemFailed(service="api", error="disk full", severity="high"))

    states = await world.states(event_id)
    assert {person for person, _ in states} == {"root"}
    assert states["root", "slack"] == ("sent", "")
    (post,) = world.simulator.arrived("slack")
    assert "disk full" in post.title + post.text


async def test_the_three_forms_of_an_event_are_one(world: World) -> None:
    """CloudEvents structured, CloudEvents binary with each prefix, and plain JSON are all delivered."""
    await world.know("ani")
    data = {"user_id": "ani", "order_code": "A1", "courier": "JNE"}
    base = {"specversion": "1.0", "type": "order.shipped", "source": "node", "extra": "kept"}

    structured = json.dumps({**base, "id": "s1", "data": data}).encode()
    await world.publish_raw(structured, "order.shipped", content_type="application/cloudevents+json; charset=utf-8")
    for number, prefix in enumerate(("cloudEvents:", "cloudEvents_", "ce-")):
        headers = {prefix + name: value for name, value in (base | {"id": f"b{number}"}).items()}
        await world.publish_raw(json.dumps(data).encode(), "x", content_type="application/json", headers=headers)
    await world.publish_raw(
        json.dumps(data).encode(), "order.shipped", message_id="p1", app_id="php", headers={"subject": "A1"}
    )

    for event_id in ("s1", "b0", "b1", "b2", "p1"):
        assert (await world.states(event_id))["ani", "email"] == ("sent", "")
    (plain,) = await world.rows("SELECT source, subject, type FROM events WHERE id = 'p1'")
    assert tuple(plain) == ("php", "A1", "order.shipped")
    kept = await world.rows("SELECT extensions->>'extra' AS extra FROM events WHERE source = 'node'")
    assert {row["extra"] for row in kept} == {"kept"}


async def test_the_same_event_published_three_times_notifies_once(world: World) -> None:
    """A producer that is not sure may publish again with the same id."""
    await world.know("ani")

    await world.tell(failed(), id="once")
    await world.tell(failed(), id="once")
    await world.tell(failed(), id="once")

    await world.until("SELECT 1 FROM events WHERE id = 'once' AND repeats = 2")
    await world.states("once")
    assert len(world.simulator.arrived("email")) == 1


async def test_nobody_is_forgotten_in_silence(world: World) -> None:
    """An unknown person and a person without an address get rows that say why nothing was sent."""
    await world.know("bo", addresses={"email": ["bo@example.com"]})

    (to_nobody,) = await world.tell(failed(user="nobody"))
    (to_bo,) = await world.tell(failed(user="bo"))

    assert set((await world.states(to_nobody)).values()) == {("skipped", "person_unknown")}
    states = await world.states(to_bo)
    assert states["bo", "telegram"] == ("skipped", "no_address")
    assert states["bo", "email"] == ("sent", "")


async def test_preferences_are_honoured_and_critical_types_ignore_them(world: World) -> None:
    """A category that is switched off on a channel stays off there; payment.failed is critical and comes anyway."""
    await world.know("ani")
    await world.tell(PreferenceChanged(person_id="ani", scope="category:billing", channel="email", enabled=False))
    await world.until("SELECT 1 FROM preferences")

    (success,) = await world.tell(PaymentSuccess(user_id="ani", payment_id="p", amount="1", currency="USD"))
    (failure,) = await world.tell(failed())

    states = await world.states(success)
    assert states["ani", "email"] == ("skipped", "preference")
    assert states["ani", "inbox"] == ("sent", "")
    assert (await world.states(failure))["ani", "email"] == ("sent", "")


async def test_the_envelope_names_who_is_told(world: World) -> None:
    """`audience` replaces the first route's audience; the actor is left out with a reason."""
    for person in ("ani", "bo", "cy"):
        await world.know(person)

    (event_id,) = await world.tell(failed(user="cy"), audience="user:ani user:bo", actor="bo")

    states = await world.states(event_id)
    assert {person for person, _ in states} == {"ani", "bo"}
    assert states["ani", "email"] == ("sent", "")
    assert states["bo", "email"] == ("skipped", "actor")


async def test_a_custom_event_brings_its_own_words(world: World) -> None:
    """custom.* goes to the people its payload names, with its title and message, in the lane of its priority."""
    await world.know("ani")

    (event_id,) = await world.tell(
        Custom(user_ids=["ani"], title="Hello", message="World", priority=Priority.URGENT), type="custom.greeting"
    )

    assert (await world.states(event_id))["ani", "inbox"] == ("sent", "")
    (row,) = await world.rows(
        "SELECT n.title, n.body, d.lane FROM notifications n JOIN deliveries d ON d.notification_id = n.id"
    )
    assert tuple(row) == ("Hello", "World", "urgent")


async def test_an_older_change_of_a_person_does_not_undo_a_newer_one(world: World) -> None:
    """The event's time orders changes, and a removed person stays removed when an old change arrives late."""
    now = datetime.now(UTC)
    await world.tell(PersonChanged(person_id="ani", name="New", addresses={"email": ["new@example.com"]}), time=now)
    await world.tell(
        PersonChanged(person_id="ani", name="Old", addresses={"email": ["old@example.com"]}),
        time=now - timedelta(hours=1),
    )
    (failure,) = await world.tell(failed())
    assert (await world.states(failure))["ani", "email"] == ("sent", "")
    assert world.simulator.arrived("email")[0].to == "new@example.com"

    await world.tell(PersonRemoved(person_id="ani"), time=now + timedelta(seconds=1))
    await world.tell(PersonChanged(person_id="ani", name="Late"), time=now)
    (after,) = await world.tell(failed("p2"))
    assert set((await world.states(after)).values()) == {("skipped", "person_unknown")}


async def test_a_producer_whose_clock_runs_ahead_freezes_nobody(world: World) -> None:
    """A change dated tomorrow counts as of now, and the next one still holds."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await world.tell(PersonChanged(person_id="ani", name="Early"), time=tomorrow)
    await world.until("SELECT 1 FROM people WHERE name = 'Early'")

    await world.tell(PersonChanged(person_id="ani", name="Later"))

    (person,) = await world.until("SELECT changed_at < now() AS is_past FROM people WHERE name = 'Later'")
    assert person["is_past"]


async def test_open_dead_letters_are_a_metric(world: World) -> None:
    """Whoever watches the metrics sees that a human is needed."""
    await world.publish_raw(b"{nope", "order.shipped", message_id="bad")
    await world.dead_letter("bad")

    async with asyncio.timeout(PATIENCE_SECONDS):
        while REGISTRY.get_sample_value("kabar_dead_letters_open") != 1:
            await asyncio.sleep(0.05)

    assert REGISTRY.get_sample_value("kabar_rejects_total", {"reason": "not_json"})


async def test_the_way_of_an_event_is_measured(world: World) -> None:
    """One delivery shows in the metrics how long each half of its way took, and none stays in flight."""
    watched = {
        "kabar_event_wait_seconds_count": {"lane": "normal"},
        "kabar_delivery_seconds_count": {"channel": "email", "lane": "normal"},
        "kabar_publish_seconds_count": {},
        "kabar_timer_ticks_total": {},
    }
    await world.know("ani")
    before = {name: REGISTRY.get_sample_value(name, labels) or 0 for name, labels in watched.items()}

    (event_id,) = await world.tell(failed())

    assert (await world.states(event_id))["ani", "email"] == ("sent", "")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any((REGISTRY.get_sample_value(name, watched[name]) or 0) <= was for name, was in before.items()):
            await asyncio.sleep(0.02)
        while REGISTRY.get_sample_value("kabar_in_flight", {"channel": "email"}) != 0:
            await asyncio.sleep(0.02)


async def test_what_became_of_a_delivery_is_announced(world: World) -> None:
    """A service that binds a queue to kabar.status hears of sent deliveries, in CloudEvents batches."""
    channel = await world.broker.channel()
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind("kabar.status", "delivery.sent.email")
    await world.know("ani")

    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    (event_id,) = await world.tell(failed(), traceparent=trace)

    heard: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage] = asyncio.Queue()
    await queue.consume(heard.put, no_ack=True)
    message = await asyncio.wait_for(heard.get(), PATIENCE_SECONDS)
    assert message.content_type == "application/cloudevents-batch+json"
    (change,) = json.loads(message.body)
    assert change["type"] == "kabar.delivery.sent"
    assert change["data"]["event_id"] == event_id
    assert change["data"]["channel"] == "email"
    assert change["traceparent"] == trace
    assert "@" not in message.body.decode()


async def test_a_repeated_message_for_two_routes_is_two_notifications(world: World) -> None:
    """order.shipped tells the customer and, with another text, the admins."""
    await world.know("ani")
    await world.know("root", roles=["admin"])

    (event_id,) = await world.tell(OrderShipped(user_id="ani", order_code="A1", courier="JNE", tracking_number="T9"))

    await world.states(event_id)
    titles = {row["person_id"]: row["title"] for row in await world.rows("SELECT person_id, title FROM notifications")}
    assert titles["ani"] == "Order Shipped"
    assert titles["root"].startswith("📦 Order Shipped")
