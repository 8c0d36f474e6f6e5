"""The sample company says something of every event type, and only to people it has."""

from __future__ import annotations

from itertools import islice

from schemas.catalogue import Catalogue
from schemas.producer import encode
from worker.deployment import BUILT_IN_EVENTS
from worker.dev.sample import sample_events, sample_people

ROUND = 18
OWN_WORDS = {"stream.started", "stream.disconnected", "payment.success", "payment.failed", "order.shipped", "custom.*"}


def test_every_event_type_of_the_catalogue_comes_in_time() -> None:
    """Whoever tries Kabar sees each event type within minutes, and each is valid when published."""
    events = list(islice(sample_events(), 15 * ROUND))

    seen = [data.info.type for data, _ in events]
    assert set(seen) == {info.type for info in Catalogue.of_modules(BUILT_IN_EVENTS)}
    for start in range(0, len(events), ROUND):
        assert set(seen[start : start + ROUND]) > OWN_WORDS
    assert all(encode(data, source="sample", **attributes).body for data, attributes in events)


def test_the_same_seed_gives_the_same_events_and_none_twice() -> None:
    """A run can be repeated exactly; within it no event says the same as another, but for changed preferences."""
    first, again, other = (list(islice(sample_events(seed), 700)) for seed in (1, 1, 2))

    assert first == again
    assert first != other
    told = [data.model_dump_json() for data, _ in first if data.info.routes]
    assert len(set(told)) == len(told)


def test_events_are_for_people_who_are_there() -> None:
    """Every event's person is one of the six, each of whom has an address; one of them is the admin."""
    people = {person.person_id: person for person in sample_people("https://hooks.slack.com/services/T/B/{}".format)}

    named = {getattr(data, "user_id", None) for data, _ in islice(sample_events(), 200)} - {None}

    assert len(people) == 6
    assert named <= people.keys()
    assert {(person.locale or "")[:2] for person in people.values()} == {"en", "id"}
    assert all(person.addresses and person.addresses["email"] for person in people.values())
    assert [person.person_id for person in people.values() if "admin" in (person.roles or [])] == ["sam"]
