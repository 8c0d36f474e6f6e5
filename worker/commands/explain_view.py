"""An explanation on the screen, and as a document for machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Console

from worker.commands.explain_delivery import tell_delivery
from worker.commands.explain_tell import Step, answer, tell_event, tell_rejections
from worker.commands.screen import masked, plain, screen, table
from worker.ledger.connection import Record
from worker.ledger.explanation import Case, File

_OF_A_DELIVERY = (
    "id", "channel", "lane", "state", "reason", "detail", "decided_by", "attempt", "attempt_limit", "on_unsure",
    "resends", "due_at", "expires_at", "reference", "created_at", "finished_at", "template_version", "provider",
)  # fmt: skip


def print_file(file: File, event_id: str, person_id: str) -> None:
    """Print all of it."""
    out, now = screen(), datetime.now(UTC)
    out.print(plain(answer(file, event_id, person_id), "bold"), soft_wrap=True)
    if file.rejections:
        _print_steps(out, f"event {event_id}, not taken in", tell_rejections(file))
    for case in file.cases:
        _print_steps(out, f"event {event_id} from {case.event['source']}", tell_event(case, file, person_id))
        for delivery in case.deliveries:
            route = next((row["route"] for row in case.notifications if row["id"] == delivery["notification_id"]), "?")
            title = f"{delivery['channel']} on route {route}: {delivery['state']}"
            _print_steps(out, title, tell_delivery(case, file, delivery, now))


def _print_steps(out: Console, title: str, steps: Sequence[Step]) -> None:
    out.print("", table(("when", "stage", "what"), [(_exactly(one.at), one.stage, one.says) for one in steps], title))


def _exactly(at: datetime | None) -> str:
    """Write a moment to the millisecond, UTC; '' for None."""
    return at.astimezone(UTC).isoformat(" ", "milliseconds").replace("+00:00", "Z") if at else ""


def document(file: File, event_id: str, person_id: str) -> dict[str, object]:
    """Make the document: the answer, the person as known now, and each event with its routes and deliveries."""
    now = datetime.now(UTC)
    return {
        "event_id": event_id,
        "person_id": person_id,
        "answer": answer(file, event_id, person_id),
        "person": _person(file),
        "rejections": [dict(row) for row in file.rejections],
        "rejection_steps": _steps(tell_rejections(file)),
        "events": [
            {
                **case.event,
                "large_audience": dict(case.fan_out) if case.fan_out else None,
                "steps": _steps(tell_event(case, file, person_id)),
                "notifications": [
                    {**row, "deliveries": list(_deliveries(case, file, row, now))} for row in case.notifications
                ],
            }
            for case in file.cases
        ],
    }


def _person(file: File) -> dict[str, object] | None:
    if file.who.person is None:
        return None
    return {
        **file.who.person,
        "addresses": [{**row, "address": masked(row["address"])} for row in file.who.addresses],
        "preferences": [dict(row) for row in file.who.preferences],
    }


def _deliveries(case: Case, file: File, notification: Record, now: datetime) -> Iterator[dict[str, object]]:
    for row in case.deliveries:
        if row["notification_id"] == notification["id"]:
            yield {
                **{name: row.get(name) for name in _OF_A_DELIVERY},
                "address": row["address"] if row["channel"] == "inbox" else masked(row["address"]),
                "attempts": [dict(one) for one in case.attempts if one["delivery_id"] == row["id"]],
                "steps": _steps(tell_delivery(case, file, row, now)),
            }


def _steps(steps: Sequence[Step]) -> list[dict[str, object]]:
    return [one._asdict() for one in steps]
