"""What Kabar declares on the broker."""

from __future__ import annotations

import pytest

from schemas.catalogue import Catalogue, Lane
from worker.broker.topology import Binding, Topology, deliver_queue, intake_queue, topology
from worker.deployment import BUILT_IN_EVENTS

CATALOGUE = Catalogue.of_modules(BUILT_IN_EVENTS)
CHANNELS = ("inbox", "email")
WANTED = topology(CATALOGUE, CHANNELS)
ARGUMENTS = {queue.name: queue.arguments for queue in WANTED.queues}
DEAD: dict[str, object] = {
    "x-queue-type": "quorum", "x-overflow": "reject-publish", "x-delivery-limit": 1_000_000_000,
}  # fmt: skip


def work(dead_key: str, limit: int) -> dict[str, object]:
    return {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "kabar.dlx",
        "x-dead-letter-routing-key": dead_key,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-delivery-limit": limit,
    }


def test_every_queue_has_its_arguments_and_there_are_no_others() -> None:
    """Quorum queues that lose nothing: full ones refuse, rejected messages go to the dead letters at least once."""
    lanes = ("urgent", "normal", "bulk")

    assert (
        {f"kabar.intake.{lane}": work("intake", 20) for lane in lanes}
        | {f"kabar.deliver.{channel}.{lane}": work("deliver", 20) for channel in CHANNELS for lane in lanes}
        | {"kabar.suspect": work("intake", 5)}
        | {"kabar.dead.intake": DEAD, "kabar.dead.deliver": DEAD}
    ) == ARGUMENTS


def test_the_exchanges_are_those_that_services_are_told_of() -> None:
    """kabar.events takes no arguments, so that a producer may declare it too."""
    found = {one.name: (one.kind, one.internal, one.arguments) for one in WANTED.exchanges}

    assert found == {
        "kabar.events": ("topic", False, {}),
        "kabar.intake": ("topic", True, {"alternate-exchange": "kabar.unknown"}),
        "kabar.unknown": ("fanout", True, {}),
        "kabar.deliver": ("direct", False, {}),
        "kabar.dlx": ("direct", False, {}),
        "kabar.status": ("topic", False, {}),
    }


def test_the_alternate_exchange_is_declared_before_the_one_that_names_it() -> None:
    """In between, an event of an unknown type would be lost."""
    names = [one.name for one in WANTED.exchanges]

    assert names.index("kabar.unknown") < names.index("kabar.intake")


@pytest.mark.parametrize("info", list(CATALOGUE), ids=lambda info: info.type)
def test_each_type_is_bound_to_its_lane_and_absent_from_the_other_two(info: object) -> None:
    """So that a type that changes its lane does not arrive twice."""
    (known,) = [one for one in CATALOGUE if one is info]
    bound = [
        one.destination for one in WANTED.bindings if one.source == "kabar.intake" and one.routing_key == known.binding
    ]
    absent = [one.destination for one in WANTED.absent if one.routing_key == known.binding]

    assert bound == [intake_queue(known.lane)]
    assert sorted(absent) == sorted(intake_queue(lane) for lane in Lane if lane is not known.lane)


def test_no_binding_is_both_wanted_and_unwanted() -> None:
    """Nothing is declared that is undone in the same breath."""
    assert not set(WANTED.bindings) & set(WANTED.absent)


def test_everything_else_is_bound_once() -> None:
    """Events to intake, the unknown to the normal lane, jobs to their channel and lane, the dead to their halls."""
    types = {info.binding for info in CATALOGUE}
    fixed = [one for one in WANTED.bindings if one.source != "kabar.intake" or one.routing_key not in types]

    assert sorted(fixed, key=str) == sorted(
        [
            Binding("kabar.events", "kabar.intake", "#", to_exchange=True),
            Binding("kabar.unknown", "kabar.intake.normal", ""),
            Binding("kabar.dlx", "kabar.dead.intake", "intake"),
            Binding("kabar.dlx", "kabar.dead.deliver", "deliver"),
            *(
                Binding("kabar.deliver", deliver_queue(channel, lane), f"{channel}.{lane}")
                for channel in CHANNELS
                for lane in Lane
            ),
        ],
        key=str,
    )


def test_every_dead_letter_key_has_a_queue() -> None:
    """What a queue gives up has a place to go."""
    keys = {one.arguments.get("x-dead-letter-routing-key") for one in WANTED.queues} - {None}

    assert keys == {one.routing_key for one in WANTED.bindings if one.source == "kabar.dlx"}


def test_the_topology_is_the_same_however_often_it_is_drawn() -> None:
    """Many processes declare it at once."""
    again: Topology = topology(CATALOGUE, iter(CHANNELS))

    assert again == WANTED
