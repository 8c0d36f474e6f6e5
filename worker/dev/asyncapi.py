"""The contract on the broker as one AsyncAPI 3.0.0 document: what Kabar receives on `kabar.events`, and what it says.

Pure: a catalogue and a sample of each type in, a document out. The payloads' schemas are the models' own; only what
lies around them is written here. Sources: AsyncAPI 3.0.0, and version 0.3.0 of its bindings for AMQP 0-9-1.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from pydantic import JsonValue
from pydantic.json_schema import models_json_schema

from schemas.catalogue import Catalogue, EventInfo, Priority, Route
from schemas.envelope import STRUCTURED
from schemas.status import CONTENT_TYPE
from worker.broker.topology import EVENTS, STATUS

Document = dict[str, Any]
Samples = Mapping[str, JsonValue]

_BINDING: Final = "0.3.0"
_TEXT: Final = {"type": "string"}
_MOMENT: Final = {"type": "string", "format": "date-time"}
_ABOUT: Final = (
    "Services publish events to the topic exchange kabar.events: as CloudEvents 1.0 in structured form (described"
    " here), in binary form (attributes as headers that begin with cloudEvents:, cloudEvents_ or ce-, and data as the"
    " body), or as plain JSON (the routing key is the type, message_id the id, app_id the source, timestamp the time,"
    " and the body the data). Kabar says on kabar.status what became of them."
)


def asyncapi(catalogue: Catalogue, samples: Samples) -> Document:
    """Write the document. `samples`: a CloudEvent by the name of its event type."""
    infos = list(catalogue)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Kabar", "version": version("kabar"), "description": _ABOUT},
        "defaultContentType": STRUCTURED,
        "servers": {"rabbitmq": _server()},
        "channels": {
            EVENTS: {
                **_channel(EVENTS, "{type}", {"type": "the event's type"}, "Events, published by services."),
                "messages": {info.text_key: _reference("messages", info.text_key) for info in infos},
            },
            STATUS: {
                **_channel(
                    STATUS,
                    "{subject}.{state}.{channel}",
                    {
                        "subject": "`delivery`; a dead letter of an event goes by `event.dead`, without a channel",
                        "state": "`sent`, `skipped`, `waiting`, `refused`, `dead`, `unsure` and the like",
                        "channel": "`inbox`, `email` and the like",
                    },
                    "What became of deliveries, published by Kabar. Bind a queue of your own.",
                ),
                "messages": {name: _reference("messages", name) for name in _STATUS_MESSAGES},
            },
        },
        "operations": {
            "receiveEvent": _operation("receive", EVENTS, [info.text_key for info in infos], {"ack": True}),
            "sendStatus": _operation("send", STATUS, list(_STATUS_MESSAGES), {"deliveryMode": 2}),
        },
        "components": {
            "messages": {info.text_key: _message(info, samples) for info in infos} | _STATUS_MESSAGES,
            "schemas": {"CloudEvent": _CLOUD_EVENT, **_schemas(infos)},
        },
    }


def _server() -> Document:
    return {
        "host": "{host}:{port}",
        "pathname": "/{vhost}",
        "protocol": "amqp",
        "protocolVersion": "0.9.1",
        "description": "RabbitMQ 3.10 or newer; amqps likewise",
        "variables": {
            "host": {"default": "localhost"},
            "port": {"default": "5672"},
            "vhost": {"default": "%2F", "description": "one virtual host for each product"},
        },
    }


def _channel(exchange: str, address: str, parameters: Mapping[str, str], description: str) -> Document:
    """A topic exchange. The channel's address is the routing key."""
    return {
        "address": address,
        "title": exchange,
        "description": description,
        "parameters": {name: {"description": meaning} for name, meaning in parameters.items()},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": exchange, "type": "topic", "durable": True, "autoDelete": False},
                "bindingVersion": _BINDING,
            }
        },
    }


def _operation(action: str, channel: str, messages: list[str], binding: Document) -> Document:
    # A channel's name holds no "/" or "~", so it needs no escaping in a JSON Pointer (RFC 6901).
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
        "bindings": {"amqp": {**binding, "bindingVersion": _BINDING}},
    }


def _message(info: EventInfo, samples: Samples) -> Document:
    kind: Document = {"const": info.type}
    if info.type.endswith(".*"):
        kind = {"pattern": rf"^{info.text_key.replace('.', '[.]')}[.]"}
    data = {"type": kind, "data": _reference("schemas", info.model.__name__)}
    return {
        "name": info.type,
        "title": info.type,
        "summary": (info.model.__doc__ or "").strip().partition("\n")[0],
        "contentType": STRUCTURED,
        "tags": [{"name": info.category}],
        "bindings": {"amqp": {"messageType": info.type, "bindingVersion": _BINDING}},
        "payload": {"allOf": [_reference("schemas", "CloudEvent"), {"properties": data}]},
        "examples": [{"payload": samples[info.type]}],
        "x-kabar": {
            "critical": info.critical,
            "expires_days": info.expires.total_seconds() / 86_400,
            "routes": [_route(route) for route in info.routes],
            **({"update_key": info.update_key} if info.update_key else {}),
        },
    }


def _route(route: Route) -> Document:
    topic = {"topic": route.topic} if route.topic else {}
    return {"audience": route.audience, **topic, "priority": str(route.priority), "channels": list(route.channels)}


def _schemas(infos: list[EventInfo]) -> Document:
    _, defined = models_json_schema(
        [(info.model, "validation") for info in infos], ref_template="#/components/schemas/{model}"
    )
    schemas: Document = defined["$defs"]
    names = {info.model.__name__ for info in infos}
    if not names <= schemas.keys():
        raise ValueError(f"two event types have classes of one name, {min(names - schemas.keys())}; rename one")
    return schemas


def _reference(part: str, name: str) -> Document:
    return {"$ref": f"#/components/{part}/{name}"}


_CLOUD_EVENT: Final[Document] = {
    "description": "CloudEvents 1.0. Further attributes are kept as extensions.",
    "type": "object",
    "required": ["specversion", "id", "source", "type", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "description": "With the source it names the event; twice the same notifies once."},
        "source": {"type": "string", "description": "The service that publishes."},
        "type": {"type": "string", "description": "The routing key too."},
        "time": {**_MOMENT, "description": "When it happened; when it arrived, unless given."},
        "subject": _TEXT,
        "audience": {
            "type": "string",
            "description": "Who should know, as `user:u1 user:u2 role:admin`, instead of the first route's audience.",
        },
        "priority": {"enum": [str(priority) for priority in Priority]},
        "expiresat": {**_MOMENT, "description": "What was not sent by then is not sent."},
        "actor": {"type": "string", "description": "The person who caused it, and so is not told."},
        "schemaversion": {"type": "integer", "minimum": 1, "default": 1},
        "traceparent": {"type": "string", "description": "W3C Trace Context."},
        "tracestate": _TEXT,
        "data": {"type": "object"},
    },
}


def _batch(kind: Document, data: Document) -> Document:
    attributes: Document = {
        "specversion": {"const": "1.0"},
        "id": _TEXT,
        "source": {"const": "kabar"},
        "type": kind,
        "subject": _TEXT,
        "time": _MOMENT,
    }
    inside = {"type": "object", "required": list(data), "properties": data}
    event = {
        "type": "object",
        "required": [*attributes, "data"],
        "properties": {**attributes, "traceparent": _TEXT, "data": inside},
    }
    return {"type": "array", "items": event}


_STATUS_MESSAGES: Final[Document] = {
    "delivery.changed": {
        "name": "delivery.changed",
        "summary": "What became of deliveries: a batch of one state and channel. `subject` is the delivery's id.",
        "contentType": CONTENT_TYPE,
        "payload": _batch(
            {"type": "string", "pattern": "^kabar[.]delivery[.]"},
            {
                "event_id": _TEXT,
                "event_source": _TEXT,
                "event_type": _TEXT,
                "notification_id": _TEXT,
                "person_id": _TEXT,
                "channel": _TEXT,
                "state": _TEXT,
                "reason": _TEXT,
                "attempt": {"type": "integer", "minimum": 0},
            },
        ),
    },
    "event.dead": {
        "name": "event.dead",
        "summary": "Events that could not be taken in. `subject` is the dead letter's id: see `kabar dead show`.",
        "contentType": CONTENT_TYPE,
        "payload": _batch({"const": "kabar.event.dead"}, {"event_id": _TEXT, "event_type": _TEXT, "reason": _TEXT}),
    },
}
