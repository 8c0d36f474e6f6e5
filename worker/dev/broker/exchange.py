"""Exchanges and bindings: which destinations a routing key reaches. Pure; knows no sockets and no messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pamqp import common

TYPES = ("direct", "fanout", "topic", "headers")


@dataclass(frozen=True, slots=True, eq=True)
class Binding:
    """One way on from an exchange: to a queue or to another exchange."""

    kind: Literal["queue", "exchange"]
    destination: str
    routing_key: str
    arguments: common.FieldTable


@dataclass(slots=True)
class Exchange:
    """A named router. `bindings` is what leads on from it."""

    name: str
    type: str
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    alternate: str = ""
    bindings: list[Binding] = field(default_factory=list)

    def destinations(self, routing_key: str, headers: common.FieldTable) -> list[Binding]:
        """Say which bindings a message takes; a destination bound twice may stand here twice."""
        match self.type:
            case "fanout":
                return list(self.bindings)
            case "topic":
                return [each for each in self.bindings if topic_matches(each.routing_key, routing_key)]
            case "headers":
                return [each for each in self.bindings if headers_match(each.arguments, headers)]
            case _:
                return [each for each in self.bindings if each.routing_key == routing_key]


def topic_matches(pattern: str, routing_key: str) -> bool:
    """Say whether a topic pattern fits: `*` is exactly one word, `#` none or more, and an empty key has no word.

    All positions the pattern can have reached are followed at once, so that no pattern takes exponential time.
    """
    words = routing_key.split(".") if routing_key else []
    reached = {0}
    for part in pattern.split(".") if pattern else []:
        if part == "#":
            reached = set(range(min(reached), len(words) + 1)) if reached else reached
        else:
            reached = {at + 1 for at in reached if at < len(words) and part in ("*", words[at])}
    return len(words) in reached


def headers_match(wanted: common.FieldTable, headers: common.FieldTable) -> bool:
    """Say whether headers fit a binding of a headers exchange: `x-match` is `all` (the default) or `any`.

    Keys that begin with `x-` take no part unless `x-match` is `all-with-x` or `any-with-x`; a value of none asks
    only for presence.
    """
    mode = str(wanted.get("x-match", "all"))
    counted = {key: value for key, value in wanted.items() if key != "x-match"}
    if not mode.endswith("-with-x"):
        counted = {key: value for key, value in counted.items() if not key.startswith("x-")}
    hits = (key in headers and value in (None, headers[key]) for key, value in counted.items())
    return any(hits) if mode.startswith("any") else all(hits)
