"""Dead letters on the screen, and how one is found by the beginning of its id."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from worker.commands.lookup import Kind, find_one
from worker.commands.screen import facts, moment, often, plain, screen, table
from worker.core.fingerprint import code_in
from worker.core.veil import mask_change, mask_text, mask_value
from worker.ledger.connection import Ledger, Record
from worker.ledger.dead_letters import find, history, payload_of
from worker.ledger.inquiry import attempts_of, find_delivery

_LETTER = Kind("dead letter", "dead letters", "kabar dead list", find)
_SHOWN_CHARACTERS = 8 * 1024
_NAMED = 3
_WAYS_ON = {
    "event": "mend its data: kabar dead edit {0} · send it again: kabar dead replay {0} · ",
    "type_unknown": "send it again, once workers know its type: kabar dead replay {0} · ",
    "envelope": "publish it again, mended, where it came from · ",
    "delivery": "send it again, once the cause is gone: kabar dead replay {0} · ",
    "job": "",
}
_OF_THE_ENVELOPE = frozenset({"content_type", "envelope_invalid", "headers_too_large", "id_invalid", "time_invalid"})
"""Why an event was rejected that no other payload would mend."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A letter with all that is known of it. `delivery`, its failed `attempts` and its `payload`: of a delivery's."""

    letter: Record
    history: list[Record]
    delivery: Record | None
    attempts: list[Record]
    payload: str | None


async def find_letter(ledger: Ledger, given: str) -> Record:
    """Answer the one letter whose id begins so; raises NotFound where there is none, or more than one."""
    return await find_one(ledger, _LETTER, given)


async def read_letter(ledger: Ledger, given: str) -> Shown:
    """Find a letter and all that belongs to it."""
    letter = await find_letter(ledger, given)
    delivery_id = letter["delivery_id"]
    return Shown(
        letter,
        await history(ledger, letter["id"]),
        await find_delivery(ledger, delivery_id) if delivery_id else None,
        await attempts_of(ledger, [delivery_id]) if delivery_id else [],
        await payload_of(ledger, delivery_id) if delivery_id else None,
    )


def print_groups(groups: Sequence[Record], limit: int) -> None:
    """Print groups of letters, one a line."""
    out = screen()
    if not groups:
        out.print("no open dead letters")
        return
    columns = (
        "group", "open", "replayed", "dropped", "stage", "reason", "type or channel", "provider", "texts", "kabar",
        "first seen", "last seen", "sample",
    )  # fmt: skip
    rows = [
        (
            row["fingerprint"][:8], row["open"], row["replayed"], row["dropped"], row["stage"], _trouble(row),
            _some(row["channels"] or row["event_types"]), _some(row["providers"]), _some(row["template_versions"]),
            _some(row["kabar_versions"]), moment(row["first_seen_at"]), moment(row["last_seen_at"]),
            str(row["sample"])[:8],
        )
        for row in groups
    ]  # fmt: skip
    out.print(table(columns, rows))
    if len(groups) == limit:
        out.print("there may be more: see --limit")


def _trouble(group: Record) -> str:
    """Say what its letters died of, as far as all of them agree: the reason, and a field or a provider's code."""
    place = code_in(group["remedy"]) if group["kind"] == "delivery" else group["field"]
    return f"{group['reason']} ({place})" if place else str(group["reason"])


def _some(values: Sequence[str]) -> str:
    more = len(values) - _NAMED
    return ", ".join(values[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def print_list(letters: Sequence[Record], limit: int) -> None:
    """Print open letters, one a line."""
    out = screen()
    if not letters:
        out.print("no open dead letters")
        return
    columns = ("id", "kind", "event", "type", "channel", "stage", "reason", "field", "arrivals", "when")
    rows = [
        (
            str(row["id"])[:8], row["kind"], row["event_id"], row["event_type"], row["channel"], row["stage"],
            row["reason"], row["field"], row["arrivals"], moment(row["created_at"]),
        )
        for row in letters
    ]  # fmt: skip
    out.print(table(columns, rows))
    if len(letters) == limit:
        out.print("there may be more: see --limit")


def print_letter(shown: Shown, *, is_full: bool, reveals: bool) -> None:
    """Print one letter. Secrets and addresses are hidden, unless it `reveals` them."""
    out, letter = screen(), shown.letter
    out.print(
        facts(
            [
                ("id", letter["id"]),
                ("kind", letter["kind"]),
                ("state", f"{letter['state']} {moment(letter['resolved_at'])}".strip()),
                ("event", letter["event_id"]),
                ("type", letter["event_type"]),
                ("channel", letter["channel"]),
                ("stage", letter["stage"]),
                ("reason", letter["reason"]),
                ("field", letter["field"]),
                ("detail" if letter["kind"] == "delivery" else "remedy", letter["remedy"]),
                ("group", letter["fingerprint"]),
                ("provider", letter["provider"]),
                ("text", letter["template_version"]),
                ("Kabar", letter["kabar_version"]),
                ("routing key", letter["routing_key"] if reveals else mask_text(letter["routing_key"] or "")),
                ("first seen", moment(letter["first_seen_at"])),
                ("arrived", f"{moment(letter['created_at'])}, {often(letter['arrivals'])}"),
            ]
        )
    )
    if letter["kind"] == "delivery":
        _print_delivery(out, shown)
        body = (shown.payload or "").encode()
    else:
        _print_headers(out, letter, reveals=reveals)
        body = letter["body"] or b""
    if body:
        _print_body(out, body, is_full=is_full, reveals=reveals)
    if shown.history:
        rows = [
            (moment(row["at"]), row["actor"], row["action"], row["detail"] if reveals else mask_change(row["detail"]))
            for row in shown.history
        ]
        out.print("", table(("at", "who", "did", "detail"), rows, "history"))
    if letter["state"] == "open":
        way = "envelope" if letter["reason"] in _OF_THE_ENVELOPE else letter["reason"]
        ways = f"{_WAYS_ON.get(way, _WAYS_ON[letter['kind']])}give it up: kabar dead drop {{0}} --reason WHY"
        out.print("\nnext: " + ways.format(str(letter["id"])[:8]), soft_wrap=True)


def _print_delivery(out: Console, shown: Shown) -> None:
    delivery = shown.delivery
    if delivery is None:
        out.print("\nits delivery is not in the ledger any more")
        return
    out.print(
        "",
        facts(
            [
                ("delivery", delivery["id"]),
                ("person", delivery["person_id"]),
                ("is now", delivery["state"]),
                ("attempts", f"{delivery['attempt']} of {delivery['attempt_limit']}"),
                ("due", moment(delivery["due_at"])),
                ("expires", moment(delivery["expires_at"])),
            ]
        ),
    )
    rows = [
        (row["attempt"], moment(row["at"]), row["outcome"], row["reason"], row["detail"], row["duration_ms"])
        for row in shown.attempts
    ]
    out.print("", table(("attempt", "at", "outcome", "reason", "detail", "ms"), rows))


def _print_headers(out: Console, letter: Record, *, reveals: bool) -> None:
    known = json.loads(letter["properties"]) if letter["properties"] else {}
    headers = known.pop("headers", {})
    named = [*known.items(), *((f"header {name}", value) for name, value in headers.items())]
    out.print("", facts([(name, value if reveals else mask_value(value, name)) for name, value in named]))


def _print_body(out: Console, body: bytes, *, is_full: bool, reveals: bool) -> None:
    text = _pretty(body, reveals=reveals)
    out.print()
    out.print(plain(f"body, {len(body):,} bytes", "bold"))
    out.print(plain(text if is_full else text[:_SHOWN_CHARACTERS]), soft_wrap=True)
    if not is_full and len(text) > _SHOWN_CHARACTERS:
        out.print(f"… {len(text) - _SHOWN_CHARACTERS:,} more characters: see --full")


def _pretty(body: bytes, *, reveals: bool) -> str:
    """Lay out JSON; show anything else as it is, bytes that are no UTF-8 in hexadecimal."""
    try:
        document = json.loads(body)
        return json.dumps(document if reveals else mask_value(document), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "backslashreplace")
        return text if reveals else mask_text(text)
