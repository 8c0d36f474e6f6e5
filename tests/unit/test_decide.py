"""What follows from an event and the facts: who is told, on which channels, and why not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from schemas.catalogue import Catalogue, EventData, Lane, PersonId, Priority, Route
from schemas.events.custom import Custom
from schemas.events.directory import PersonChanged
from worker.core.message import Event, RawMessage
from worker.core.outcome import UnsurePolicy
from worker.core.plan import Address, ChannelRule, Decision, Facts, Person, Plan, PlannedDelivery, Skip
from worker.core.routing import Audience, audience_of, slices
from worker.pipeline.accept import accept
from worker.pipeline.decide import decide, decide_slice


class Paid(
    EventData,
    type="test.paid",
    category="billing",
    expires=timedelta(days=3),
    routes=(Route("user", Priority.HIGH, "inbox email telegram"), Route("admins", Priority.LOW, "inbox")),
):
    """For its person, and for the admins."""

    user_id: PersonId


class Alarm(
    EventData, type="test.alarm", category="system", critical=True, routes=(Route("user", Priority.URGENT, "email"),)
):
    """Critical."""

    user_id: PersonId


CATALOGUE = Catalogue([Paid, Alarm, Custom, PersonChanged])
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
RULES = {
    "inbox": ChannelRule(5, UnsurePolicy.RESEND, needs_address=False),
    "email": ChannelRule(8, UnsurePolicy.RESEND),
    "telegram": ChannelRule(3, UnsurePolicy.HOLD),
}


def event(kind: str = "test.paid", data: Mapping[str, object] | None = None, **attributes: object) -> Event:
    document = {"id": "e1", "source": "shop", "type": kind, "data": data or {"user_id": "ani"}} | attributes
    message = RawMessage(json.dumps(document).encode(), kind, "application/cloudevents+json")
    (accepted,) = accept([message], CATALOGUE, NOW)
    assert isinstance(accepted, Event), accepted
    return accepted


def custom(user_ids: list[str] | None = None, **data: object) -> dict[str, object]:
    return {"user_ids": user_ids, "title": "t", "message": "m"} | data


def person(
    name: str,
    *addresses: Address,
    roles: tuple[str, ...] = (),
    preferences: Mapping[tuple[str, str], bool] | None = None,
) -> Person:
    reachable = addresses or (Address("email", f"{name}@example.com"), Address("telegram", "77"))
    return Person(name, frozenset(roles), reachable, preferences or {})


def facts(*people: Person, crowded: tuple[str, ...] = ()) -> Facts:
    return Facts({one.id: one for one in people}, frozenset(crowded))


def decided(one: Event, known: Facts, channels: Mapping[str, ChannelRule] = RULES) -> Decision:
    (decision,) = decide([one], known, channels, NOW)
    assert isinstance(decision, Decision)
    return decision


def deliveries(decision: Decision, person_id: str = "ani", route: str = "user") -> dict[str, list[PlannedDelivery]]:
    found: dict[str, list[PlannedDelivery]] = {}
    for notification in decision.notifications:
        if (notification.person_id, notification.route) == (person_id, route):
            for delivery in notification.deliveries:
                found.setdefault(delivery.channel, []).append(delivery)
    return found


def why(decision: Decision, channel: str, person_id: str = "ani") -> str:
    """The reason of a channel's only skip; '' where it is a plan."""
    (delivery,) = deliveries(decision, person_id)[channel]
    return delivery.decision.reason if isinstance(delivery.decision, Skip) else ""


def told(decision: Decision, route: str = "user") -> list[str]:
    return [one.person_id for one in decision.notifications if one.route == route]


def test_every_channel_of_a_route_gets_its_plan() -> None:
    """The lane follows the route's priority, the rest the channel's rule."""
    decision = decided(event(), facts(person("ani")))

    plans = {channel: one[0].decision for channel, one in deliveries(decision).items()}
    assert plans == {
        "inbox": Plan(Lane.NORMAL, 5, UnsurePolicy.RESEND),
        "email": Plan(Lane.NORMAL, 8, UnsurePolicy.RESEND),
        "telegram": Plan(Lane.NORMAL, 3, UnsurePolicy.HOLD),
    }
    assert deliveries(decision)["email"][0].address == "ani@example.com"
    assert deliveries(decision)["inbox"][0].address == "ani"


def test_each_route_tells_its_own_audience() -> None:
    """A person who is both the customer and an admin gets both texts."""
    decision = decided(event(), facts(person("ani", roles=("admin",)), person("bo", roles=("admin",)), person("cy")))

    assert told(decision, "user") == ["ani"]
    assert sorted(told(decision, "admins")) == ["ani", "bo"]
    assert len({one.id for one in decision.notifications}) == 3


@pytest.mark.parametrize(
    ("audience", "routes", "rules"),
    [
        (None, "user=user_id admins=role:admin", {("user", "ani"): "user_id", ("admins", "root"): "role:admin"}),
        (
            "user:bo role:staff",
            "user=audience admins=role:admin",
            {("user", "bo"): "audience", ("user", "root"): "role:staff", ("admins", "root"): "role:admin"},
        ),
    ],
)
def test_every_notification_says_what_put_its_person_into_the_audience(
    audience: str | None, routes: str, rules: dict[tuple[str, str], str]
) -> None:
    """And the event says whom each of its routes told, those that found nobody too."""
    decision = decided(event(audience=audience), facts(person("ani"), person("root", roles=("admin", "staff"))))

    assert decision.routes == routes
    assert {(one.route, one.person_id): one.rule for one in decision.notifications} == rules


@pytest.mark.parametrize(
    ("kind", "preferences", "decided_by"),
    [
        ("test.paid", {}, "default"),
        ("test.paid", {("category:billing", "*"): True}, "category:billing on *"),
        ("test.paid", {("type:test.paid", "email"): False, ("*", "*"): True}, "type:test.paid on email"),
        ("test.alarm", {("*", "*"): False}, "critical"),
    ],
)
def test_every_delivery_says_which_preference_decided(
    kind: str, preferences: dict[tuple[str, str], bool], decided_by: str
) -> None:
    """A yes has its reason as well as a no, also where the address is what is wrong."""
    blocked = Address("email", "a@x.test", suppressed="mailbox_unknown")

    for known in (person("ani", preferences=preferences), person("ani", blocked, preferences=preferences)):
        (delivery,) = deliveries(decided(event(kind), facts(known)))["email"]
        assert delivery.decided_by == decided_by


def test_where_no_preference_was_asked_none_is_named() -> None:
    """Somebody unknown, or a channel that is off: nothing was decided by a wish."""
    (unknown,) = deliveries(decided(event(), facts()))["email"]
    (off,) = deliveries(decided(event(), facts(person("ani")), {}))["email"]

    assert (unknown.decided_by, off.decided_by) == ("", "")


def test_the_policy_for_the_unsure_is_the_channels_for_the_category() -> None:
    """What is critical must arrive, and is sent again where the channel would rather hold."""
    rules = {"email": ChannelRule(3, UnsurePolicy.HOLD, on_unsure_of={"billing": UnsurePolicy.RESEND})}
    plain = {"email": ChannelRule(3, UnsurePolicy.HOLD)}

    policies = [
        one.decision.on_unsure
        for kind, channels in (("test.paid", rules), ("test.paid", plain), ("test.alarm", plain))
        for one in deliveries(decided(event(kind), facts(person("ani")), channels))["email"]
        if isinstance(one.decision, Plan)
    ]

    assert policies == [UnsurePolicy.RESEND, UnsurePolicy.HOLD, UnsurePolicy.RESEND]


def test_the_events_own_audience_replaces_that_of_the_first_route_only() -> None:
    """The other routes go on telling whom they always tell."""
    known = facts(person("ani"), person("bo"), person("root", roles=("admin",)))

    decision = decided(event(audience="user:bo"), known)

    assert told(decision, "user") == ["bo"]
    assert told(decision, "admins") == ["root"]


def test_somebody_named_and_in_a_named_role_is_told_once() -> None:
    """However many ways lead to a person."""
    known = facts(person("ani", roles=("seller", "vip")), person("bo", roles=("vip",)), person("cy"))

    decision = decided(event(audience="user:ani role:seller role:vip"), known)

    assert told(decision, "user") == ["ani", "bo"]


def test_a_role_without_members_leaves_a_reason() -> None:
    """An event that tells nobody is not silent either."""
    known = facts(person("ani"))

    decision = decided(event("test.alarm", audience="role:nobody"), known)

    assert (decision.notifications, decision.reason) == ((), "audience_empty")


def test_a_custom_event_tells_whom_its_payload_or_its_audience_names() -> None:
    """The audience wins; without either, nobody is told, with a reason; a repeated id counts once."""
    known = facts(person("ani"), person("bo"))

    assert told(decided(event("custom.x", custom(["bo", "bo", "ani"])), known), "envelope") == ["bo", "ani"]
    assert told(decided(event("custom.x", custom(["bo"]), audience="user:ani"), known), "envelope") == ["ani"]
    assert decided(event("custom.x", custom()), known).reason == "audience_empty"


def test_a_fact_for_the_directory_notifies_nobody() -> None:
    """person.changed is not news for anyone."""
    decision = decided(event("person.changed", {"person_id": "ani"}), facts(person("ani")))

    assert (decision.notifications, decision.reason) == ((), "directory")


@pytest.mark.parametrize(
    ("priority", "lane"),
    [("low", Lane.BULK), ("normal", Lane.NORMAL), ("high", Lane.NORMAL), ("urgent", Lane.URGENT)],
)
def test_the_lane_follows_the_events_own_priority(priority: str, lane: Lane) -> None:
    """An event that says how pressing it is overrules its type, in the envelope or in a custom payload."""
    by_envelope = decided(event(priority=priority), facts(person("ani")))
    by_payload = decided(event("custom.x", custom(["ani"], priority=priority)), facts(person("ani")))

    plan = deliveries(by_envelope)["email"][0].decision
    assert isinstance(plan, Plan)
    assert plan.lane is lane
    plan = deliveries(by_payload, route="envelope")["inbox"][0].decision
    assert isinstance(plan, Plan)
    assert plan.lane is lane


def test_a_route_of_low_priority_travels_in_bulk() -> None:
    """What is for the admins' leisure does not hold up what is for the customer."""
    decision = decided(event(), facts(person("root", roles=("admin",))))

    plan = deliveries(decision, "root", "admins")["inbox"][0].decision
    assert isinstance(plan, Plan)
    assert plan.lane is Lane.BULK


def test_somebody_unknown_gets_a_skip_on_every_channel() -> None:
    """Never silence."""
    decision = decided(event(), facts())

    assert {channel: why(decision, channel) for channel in ("inbox", "email", "telegram")} == dict.fromkeys(
        ("inbox", "email", "telegram"), "person_unknown"
    )


def test_the_actor_is_not_told_of_their_own_doing() -> None:
    """Others are."""
    decision = decided(event(audience="user:ani user:bo", actor="ani"), facts(person("ani"), person("bo")))

    assert why(decision, "email") == "actor"
    assert why(decision, "email", "bo") == ""


def test_a_channel_that_is_not_configured_is_skipped_with_the_setting_to_change() -> None:
    """The operator reads what to do."""
    decision = decided(event(), facts(person("ani")), {"inbox": RULES["inbox"]})

    assert why(decision, "email") == "channel_not_configured"
    (delivery,) = deliveries(decision)["email"]
    assert isinstance(delivery.decision, Skip)
    assert "KABAR_CHANNELS" in delivery.decision.detail


def test_without_an_address_the_channel_is_skipped_and_the_inbox_is_not() -> None:
    """The inbox needs none."""
    decision = decided(event(), facts(person("ani", Address("email", "a@example.com"))))

    assert why(decision, "telegram") == "no_address"
    assert why(decision, "inbox") == ""


def test_each_address_gets_its_own_delivery_and_a_suppressed_one_its_reason() -> None:
    """One dead mailbox does not silence the others."""
    addresses = (
        Address("email", "a@x.test"),
        Address("email", "b@x.test", "mailbox_unknown"),
        Address("email", "c@x.test"),
    )

    decision = decided(event(), facts(person("ani", *addresses)))

    mails = {one.address: one.decision for one in deliveries(decision)["email"]}
    assert list(mails) == ["a@x.test", "b@x.test", "c@x.test"]
    assert mails["b@x.test"] == Skip("address_suppressed", "mailbox_unknown")
    assert isinstance(mails["a@x.test"], Plan)
    assert isinstance(mails["c@x.test"], Plan)


def test_a_preference_is_honoured_and_says_which_it_was() -> None:
    """The narrower one wins; other channels are untouched."""
    wishes = {("category:billing", "*"): False, ("type:test.paid", "telegram"): True}

    decision = decided(event(), facts(person("ani", preferences=wishes)))

    assert why(decision, "email") == "preference"
    assert why(decision, "telegram") == ""
    (delivery,) = deliveries(decision)["email"]
    assert delivery.decision == Skip("preference", "category:billing on *")


def test_a_critical_type_asks_no_preference_but_heeds_a_suppressed_address() -> None:
    """What must be known is sent; to a dead mailbox nothing is."""
    off = {("*", "*"): False}

    assert why(decided(event("test.alarm"), facts(person("ani", preferences=off))), "email") == ""
    gone = person("ani", Address("email", "a@x.test", "mailbox_unknown"), preferences=off)
    assert why(decided(event("test.alarm"), facts(gone)), "email") == "address_suppressed"


@pytest.mark.parametrize("seconds", [0, -1])
def test_what_has_expired_is_skipped(seconds: int) -> None:
    """Late news is no news; at the very moment it is late already."""
    expired = event(expiresat=(NOW + timedelta(seconds=seconds)).isoformat())

    assert why(decided(expired, facts(person("ani"))), "inbox") == "expired"


def test_expiry_is_the_events_own_then_the_payloads_then_the_types() -> None:
    """The narrower word counts."""
    known = facts(person("ani"))

    def expiry(one: Event) -> timedelta:
        return decided(one, known).notifications[0].expires_at - NOW

    assert expiry(event(expiresat="2026-05-04T13:00:00Z")) == timedelta(hours=1)
    assert expiry(event("custom.x", custom(["ani"], expires_in_days=2))) == timedelta(days=2)
    assert expiry(event()) == timedelta(days=3)


def test_ids_are_the_same_however_often_and_whenever_it_is_decided() -> None:
    """A redelivered event meets its own rows, and other events and persons never do."""
    known = facts(person("ani"), person("bo"))
    first = decided(event(), known)
    (again,) = decide([event()], known, RULES, NOW + timedelta(days=1))
    assert isinstance(again, Decision)

    def ids(decision: Decision) -> set[object]:
        return {one.id for one in decision.notifications} | {
            delivery.id for one in decision.notifications for delivery in one.deliveries
        }

    assert ids(first) == ids(again)
    assert ids(first).isdisjoint(ids(decided(event(id="e2"), known)))
    assert ids(first).isdisjoint(ids(decided(event(data={"user_id": "bo"}), known)))


def test_no_two_deliveries_share_an_id() -> None:
    """The ledger keeps one row for each."""
    people = [person(f"p{n}", Address("email", "same@x.test"), Address("email", "b@x.test")) for n in range(5)]

    decision = decided(event(audience=" ".join(f"user:p{n}" for n in range(5))), facts(*people))

    every = [delivery.id for one in decision.notifications for delivery in one.deliveries]
    assert len(every) == len(set(every)) == 5 * 4


def test_of_an_event_for_a_crowded_role_only_the_named_are_decided_at_once() -> None:
    """The members follow in slices, so that nobody of them is told by half; a neighbour is decided whole."""
    known = facts(person("ani", roles=("everybody",)), person("bo"), crowded=("everybody",))

    crowded, fine = decide([event(audience="user:bo role:everybody"), event(id="e2")], known, RULES, NOW)

    assert isinstance(crowded, Decision)
    assert isinstance(fine, Decision)
    assert (crowded.fan_out, crowded.reason, told(crowded)) == (True, "", ["bo"])
    assert crowded.expires_at == NOW + timedelta(days=3)
    assert (fine.fan_out, told(fine)) == (False, ["ani"])


def test_a_slice_decides_as_the_event_itself_would_have() -> None:
    """Its members get the same rows, each route's own; whoever the event names, or does not mean, gets none of it."""
    roles = {"ani": ("admin", "vip"), "bo": ("vip",), "cy": ("admin",), "di": ()}
    people = [person(name, roles=held) for name, held in roles.items()]
    wanted = event(audience="user:bo role:vip")

    part = decide_slice(wanted, people, RULES, NOW)

    whole = decided(wanted, facts(*people))
    assert (told(part), told(part, "admins")) == (["ani"], ["ani", "cy"])
    assert set(part.notifications) < set(whole.notifications)
    assert part.expires_at == whole.expires_at


def test_the_audience_before_the_ledger_is_asked() -> None:
    """The facts are read for exactly these persons and roles."""
    user, admins = Paid.info.routes
    own = event(audience="user:bo role:vip")

    assert audience_of(event(), user) == Audience(persons=("ani",), named_by="user_id")
    assert audience_of(event(), admins) == Audience(roles=("admin",))
    assert audience_of(own, user) == Audience(("bo",), ("vip",), "audience")
    assert audience_of(own, admins) == Audience(roles=("admin",))


def test_a_batch_is_cut_so_that_no_statement_writes_for_too_many() -> None:
    """A thousand admins in each of three events are three slices; small events share one; none is lost."""
    admins = facts(*(person(f"a{number}", roles=("admin",)) for number in range(1000)))
    small = [event("custom.x", custom(["ani"]), id=f"s{number}") for number in range(5)]
    large = [event("custom.x", custom(), audience="role:admin", id=f"l{number}") for number in range(3)]

    cut = list(slices([*small, *large], admins, 1500))

    assert [one for part in cut for one in part] == [*small, *large]
    assert [len(part) for part in cut] == [6, 1, 1]
    assert list(slices([], admins, 1500)) == []
