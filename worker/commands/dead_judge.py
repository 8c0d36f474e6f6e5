"""What stands in the way of sending dead letters again, and what a replay would do. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from schemas.catalogue import Catalogue
from worker.commands.dead_report import Fate
from worker.core.dead_letter import revive
from worker.core.message import RawMessage, Rejected
from worker.ledger import dead_letters
from worker.ledger.connection import Ledger, Record
from worker.pipeline.accept import accept

JOB_OBSTACLE = "is a job that cannot be read, and holds no message: drop it"


async def judge(ledger: Ledger, catalogue: Catalogue, channels: Sequence[str], letters: Sequence[Record]) -> list[Fate]:
    """Say what a replay of these letters would do."""
    in_the_way = await obstacles(ledger, channels, letters)
    return [
        Fate(letter, is_done=False, what=in_the_way[letter["id"]])
        if in_the_way[letter["id"]]
        else Fate(letter, is_done=True, what=f"would be replayed{_foreseen(catalogue, letter)}")
        for letter in letters
    ]


async def obstacles(ledger: Ledger, channels: Sequence[str], letters: Sequence[Record]) -> dict[UUID, str]:
    """Answer by letter why it is not sent again; '' where nothing stands in the way."""
    of_deliveries = [letter["id"] for letter in letters if letter["kind"] == "delivery"]
    found = await dead_letters.fates(ledger, of_deliveries) if of_deliveries else {}
    return {letter["id"]: _obstacle(letter, found.get(letter["id"]), channels) for letter in letters}


def message_of(letter: Record) -> RawMessage:
    """Make the message of an event's letter again, as its producer sent it."""
    return revive(letter["body"], letter["properties"], letter["routing_key"])


def _obstacle(letter: Record, delivery: Record | None, channels: Sequence[str]) -> str:
    match letter["kind"]:
        case "job":
            return JOB_OBSTACLE
        case "event":
            return "is replayed already" if letter["state"] == "replayed" else ""
        case _ if letter["state"] == "replayed" and delivery is not None and delivery["state"] != "dead":
            return f"is replayed already: its delivery is {delivery['state']}"
        case _ if delivery is None:
            return "is of a delivery that is not in the ledger any more: drop it"
        case _ if delivery["state"] != "dead":
            return f"is of a delivery that is not dead any more but {delivery['state']}: drop it"
        case _ if delivery["is_late"]:
            return "is of a delivery that has expired, so it is too late to send: drop it"
        case _ if delivery["channel"] not in channels:
            return f"is for {delivery['channel']}, which KABAR_CHANNELS does not switch on"
        case _:
            return ""


def _foreseen(catalogue: Catalogue, letter: Record) -> str:
    if letter["kind"] != "event":
        return ""
    (judged,) = accept([message_of(letter)], catalogue, datetime.now(UTC))
    return f", and rejected again by this version: {judged.code}" if isinstance(judged, Rejected) else ""
