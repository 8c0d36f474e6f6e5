"""The contract: event types are those that were promised, their samples are taken in, the AsyncAPI document holds.

The official schema of AsyncAPI 3.0.0 is in `data/asyncapi`, from the npm package @asyncapi/specs 6.11.1 (Apache-2.0).
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema_rs
import pytest

from schemas.catalogue import LANE_OF, Catalogue, EventInfo
from schemas.envelope import STRUCTURED
from schemas.status import StatusChange, batch, letter_batch
from worker.core.fields import fields_of
from worker.core.message import Event, RawMessage
from worker.deployment import BUILT_IN_EVENTS
from worker.dev import generate
from worker.dev.generate import ROOT, sample_name
from worker.pipeline.accept import accept

DATA = Path(__file__).parent / "data"
CATALOGUE = Catalogue.of_modules(BUILT_IN_EVENTS)
INFOS = {info.type: info for info in CATALOGUE}
PROMISED: dict[str, dict[str, Any]] = json.loads((DATA / "catalogue.json").read_text("utf-8"))
DOCUMENT: dict[str, Any] = json.loads((ROOT / "schemas/generated/asyncapi.json").read_text("utf-8"))
SAMPLES = sorted((ROOT / "schemas/samples").glob("*.json"))
NOW = datetime(2026, 11, 12, 8, tzinfo=UTC)
KINDS = {
    "text": "str", "url": "url", "email": "email", "moment": "datetime", "amount": "decimal", "count": "int",
    "number": "float", "choice": "str", "list": "list[str]",
}  # fmt: skip


def fields(info: EventInfo) -> dict[str, str]:
    return {field.name: KINDS[field.kind] + "?" * field.is_optional for field in fields_of(info)}


def routes(info: EventInfo) -> list[dict[str, object]]:
    return [
        {
            "audience": route.audience,
            **({"topic": route.topic} if route.topic else {}),
            "priority": route.priority,
            "channels": list(route.channels),
        }
        for route in info.routes
    ]


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def forms(sample: dict[str, Any]) -> dict[str, RawMessage]:
    """One event in the three forms it may arrive in."""
    data = json.dumps(sample["data"]).encode()
    attributes = {name: value for name, value in sample.items() if name != "data"}
    more: dict[str, object] = {name: attributes[name] for name in ("audience", "schemaversion") if name in attributes}
    return {
        "structured": RawMessage(json.dumps(sample).encode(), sample["type"], STRUCTURED),
        "binary": RawMessage(
            data, sample["type"], "application/json", {f"ce-{name}": str(value) for name, value in attributes.items()}
        ),
        "plain": RawMessage(
            data, sample["type"], "application/json", more, sample["id"],
            datetime.fromisoformat(sample["time"]), sample["source"],
        ),
    }  # fmt: skip


def test_kabar_knows_the_types_that_were_promised() -> None:
    """Sixty-five types, each of them in the catalogue; beside them there are only facts for the directory."""
    assert len(PROMISED) == 65
    assert {info.type for info in CATALOGUE if info.routes} == PROMISED.keys()
    assert {info.category for info in CATALOGUE if not info.routes} == {"directory"}


@pytest.mark.parametrize("kind", PROMISED)
def test_a_type_is_as_it_was_promised(kind: str) -> None:
    """Its fields and which of them may be absent, who is told, how urgently and where, and how long it is kept."""
    info, promised = INFOS[kind], PROMISED[kind]

    assert fields(info) == promised["fields"]
    assert routes(info) == promised["routes"]
    assert (info.category, info.critical) == (promised["category"], promised["critical"])
    assert info.expires.total_seconds() == promised["expires_days"] * 86_400
    assert info.lane in {LANE_OF[route.priority] for route in info.routes}
    assert info.model.__doc__


@pytest.mark.parametrize("form", ["structured", "binary", "plain"])
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_taken_in_whatever_its_form(path: Path, form: str) -> None:
    """What a producer has ever been shown as right stays right, in each of the three forms."""
    sample = read(path)

    (event,) = accept([forms(sample)[form]], CATALOGUE, NOW)

    assert isinstance(event, Event), event
    assert (event.id, event.source, event.type) == (sample["id"], sample["source"], sample["type"])
    assert event.time == datetime.fromisoformat(sample["time"])
    assert event.version == sample["schemaversion"]
    assert event.payload == event.info.model.model_validate(sample["data"])
    assert path.name == f"{event.info.text_key}.v{event.version}.json"


def test_every_type_has_a_sample_of_its_newest_version() -> None:
    """`kabar generate` makes one for a type that is new."""
    assert generate.missing_samples() == {}
    assert {sample_name(info) for info in CATALOGUE} <= {str(path.relative_to(ROOT)) for path in SAMPLES}


@pytest.mark.parametrize("kind", PROMISED)
def test_a_sample_says_every_field(kind: str) -> None:
    """Whoever reads a sample sees all that a type can say."""
    assert read(ROOT / sample_name(INFOS[kind]))["data"].keys() == INFOS[kind].model.model_fields.keys()


def test_a_sample_is_never_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample stands for what producers send; generating does not bring it up to a changed model."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    generate.run_generate(check=False)
    path = tmp_path / sample_name(INFOS["order.confirmed"])
    older = path.with_name("order.confirmed.v0.json")
    path.write_text(path.read_text("utf-8").replace("KB-001042", "by hand"))
    older.write_text("{}")

    generate.run_generate(check=False)

    assert read(path)["data"]["order_code"] == "by hand"
    assert older.exists()
    assert generate.run_generate(check=True) == 0
    assert "by hand" in (tmp_path / "docs/events.md").read_text("utf-8")


def test_the_asyncapi_document_is_valid() -> None:
    """Tools that read AsyncAPI 3.0 read ours; the official schema judges, and does not let everything pass."""
    official = jsonschema_rs.validator_for(read(DATA / "asyncapi/3.0.0.json"))

    assert [f"{error.instance_path}: {error.message[:200]}" for error in official.iter_errors(DOCUMENT)] == []
    assert not official.is_valid({**DOCUMENT, "operations": {"receiveEvent": {"action": "listen"}}})


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    """The document is whole: nothing it refers to is missing, or in another file."""
    references: list[str] = []
    waiting: list[object] = [DOCUMENT]
    while waiting:
        match waiting.pop():
            case dict() as node:
                references += [node["$ref"]] if isinstance(node.get("$ref"), str) else []
                waiting += node.values()
            case list() as nodes:
                waiting += nodes
            case _:
                pass

    assert references
    for reference in references:
        place: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def payload(message: str) -> jsonschema_rs.Validator:
    """The validator of a message's payload as the document describes it."""
    schema = DOCUMENT["components"]["messages"][message]["payload"]
    return jsonschema_rs.validator_for({**schema, "components": DOCUMENT["components"]}, validate_formats=True)


@pytest.mark.parametrize("kind", INFOS)
def test_a_message_of_the_asyncapi_document_describes_its_sample(kind: str) -> None:
    """There is one message for each type; it takes the sample, and neither another type's nor one without its data."""
    name = INFOS[kind].text_key
    validator = payload(name)
    sample = read(ROOT / sample_name(INFOS[kind]))

    validator.validate(sample)

    assert not validator.is_valid({**sample, "type": "another.type"})
    assert not validator.is_valid({name: value for name, value in sample.items() if name != "data"})
    assert not validator.is_valid({**sample, "data": {**sample["data"], "no_such_field": 1}})
    assert DOCUMENT["components"]["messages"][name]["examples"] == [{"payload": sample}]
    assert re.fullmatch(r"[a-zA-Z0-9._-]+", name), "AsyncAPI 3.0.0, Components Object, asks for such names"


def test_the_asyncapi_document_tells_where_to_publish() -> None:
    """A channel for what Kabar takes in, one for what it says: each is a durable topic exchange of that name."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    for name, action in (("kabar.events", "receive"), ("kabar.status", "send")):
        exchange = DOCUMENT["channels"][name]["bindings"]["amqp"]["exchange"]
        assert exchange == {"name": name, "type": "topic", "durable": True, "autoDelete": False}
        (operation,) = (each for each in DOCUMENT["operations"].values() if each["action"] == action)
        assert operation["channel"] == {"$ref": f"#/channels/{name}"}
        assert len(operation["messages"]) == len(DOCUMENT["channels"][name]["messages"])
    assert DOCUMENT["channels"]["kabar.events"]["messages"].keys() == {info.text_key for info in CATALOGUE}


def test_what_kabar_says_is_as_the_asyncapi_document_describes_it() -> None:
    """The batches on kabar.status are of the form that the document promises, and not of the other's."""
    delivery = StatusChange(
        UUID(int=1), UUID(int=2), "e1", "shop", "order.shipped", "ani", "email", "sent", "", 1, "00-4bf92f-00f0-01"
    )
    told = json.loads(batch([delivery], NOW))
    dead = json.loads(letter_batch([("7", "e1", "order.shipped", "type_unknown")], NOW))

    payload("delivery.changed").validate(told)
    payload("event.dead").validate(dead)
    assert not payload("delivery.changed").is_valid(dead)
    assert not payload("event.dead").is_valid(told)


def test_the_reference_of_events_has_an_entry_for_each() -> None:
    """Every type has its meaning, its fields and its sample in the handbook."""
    page = (ROOT / "docs/events.md").read_text("utf-8")

    for info in CATALOGUE:
        _, _, entry = page.partition(f"\n### `{info.type}`\n")
        entry = entry.partition("\n### ")[0]
        assert (info.model.__doc__ or "").partition("\n")[0] in entry
        assert all(f"| `{name}`" in entry for name in info.model.model_fields)
        assert all(", ".join(route.channels) in entry for route in info.routes)
        assert ("Critical." in entry) == info.critical
        assert "```json" in entry
