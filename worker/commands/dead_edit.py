"""Mending the payload of an event that could not be accepted. Judged as intake would; the change is kept."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import unified_diff
from pathlib import Path

import typer
from pydantic import JsonValue

from schemas.catalogue import Catalogue
from worker.commands.dead_judge import message_of
from worker.commands.dead_view import find_letter
from worker.commands.session import open_ledger, operator
from worker.core.message import RawMessage, Rejected
from worker.core.payload import Payload, Unreadable, payload_of, with_payload
from worker.deployment import build_catalogue
from worker.errors import NotFound
from worker.ledger import dead_letters
from worker.ledger.connection import Record
from worker.pipeline.accept import accept
from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class _Wrong:
    """Why an edit is not taken."""

    why: str


async def edit(settings: Settings, given: str, data: Path | None) -> int:
    """Replace an open letter's payload by what the file or the operator's editor says; answers the exit code.

    Nothing is changed unless the event would be accepted with it.
    """
    catalogue = build_catalogue(settings)
    async with open_ledger(settings) as ledger:
        letter = await find_letter(ledger, given)
        message, old = _editable(letter)
        laid_out = _laid_out(old, message)
        text = _read(data) if data else await _edited(laid_out)
        if text == laid_out:
            return _refuse(letter, "is as it was: nothing was changed", None)
        new = _new_message(catalogue, message, old, text)
        if isinstance(new, _Wrong):
            return _refuse(letter, new.why, None if data else text)
        change = _difference(laid_out, _laid_out(payload_of(new), new))
        if not change:
            return _refuse(letter, "is as it was: nothing was changed", None)
        if not await dead_letters.edit(ledger, letter, new.body, operator(), change):
            why = "was edited, dealt with or has arrived again meanwhile: look at it once more"
            return _refuse(letter, why, None if data else text)
    name = str(letter["id"])[:8]
    typer.echo(f"{name} edited: it would be accepted now. Send it: kabar dead replay {name}")
    return 0


def _editable(letter: Record) -> tuple[RawMessage, JsonValue]:
    """Answer the message and the payload in it; raises NotFound where there is none to be edited."""
    name = str(letter["id"])[:8]
    if letter["kind"] != "event":
        raise NotFound(f"{name} is of a {letter['kind']}: only an event that was not accepted has a payload to edit")
    if letter["state"] != "open":
        raise NotFound(f"{name} is {letter['state']} already, and nothing will be sent from it any more")
    message = message_of(letter)
    payload = payload_of(message)
    if isinstance(payload, Unreadable):
        raise NotFound(f"{name} cannot be edited: {payload.why}")
    return message, payload


def _laid_out(payload: JsonValue | Unreadable, message: RawMessage) -> str:
    """Lay out a payload for people; what is no JSON as it is."""
    if payload is None or isinstance(payload, Unreadable):
        return message.body.decode("utf-8", "replace")
    return json.dumps(payload, indent=2, ensure_ascii=False) + "\n"


def _read(data: Path) -> str:
    try:
        return sys.stdin.read() if str(data) == "-" else data.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{data} cannot be read: {type(error).__name__}", param_hint="--data") from None


async def _edited(text: str) -> str:
    """Let the operator edit the text in $VISUAL or $EDITOR; the file is theirs alone, and is gone afterwards."""
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    path = _scratch(text)
    try:
        code = await (await asyncio.create_subprocess_exec(*editor, str(path))).wait()
        if code:
            raise NotFound(f"{editor[0]} ended with {code}: nothing was changed")
        return path.read_text("utf-8")
    except OSError as error:
        raise NotFound(f"{editor[0]} cannot be started ({error.strerror}): set EDITOR, or use --data FILE") from None
    finally:
        path.unlink(missing_ok=True)


def _scratch(text: str) -> Path:
    handle, path = tempfile.mkstemp(prefix="kabar-dead-", suffix=".json")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(path)


def _new_message(catalogue: Catalogue, message: RawMessage, old: JsonValue, text: str) -> RawMessage | _Wrong:
    """Put the payload into the message, and judge it as intake would."""
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError) as error:
        return _Wrong(f"is not changed: the payload is no JSON ({error})")
    if not isinstance(payload, dict):
        return _Wrong("is not changed: a payload is a JSON object")
    new = with_payload(message, payload)
    (judged,) = accept([new], catalogue, datetime.now(UTC))
    if isinstance(judged, Rejected):
        return _Wrong(f"is not changed, it would be rejected again: {judged.field}: {judged.remedy}")
    unknown = _unknown(payload, old, set(type(judged.payload).model_fields))
    if unknown:
        return _Wrong(f"is not changed: {judged.type} has no field {unknown!r}")
    return new


def _unknown(payload: Payload, old: JsonValue, fields: set[str]) -> str:
    """Answer a field that the operator added and the event's type does not have: a slip of the pen."""
    known = fields | (old.keys() if isinstance(old, dict) else set())
    return min(payload.keys() - known, default="")


def _difference(old: str, new: str) -> str:
    return "\n".join(unified_diff(old.splitlines(), new.splitlines(), "before", "after", n=1, lineterm=""))


def _refuse(letter: Record, why: str, text: str | None) -> int:
    """Say why nothing was changed; what was typed is kept for another try."""
    kept = f". What you wrote is in {_scratch(text)}: mend it, then give it with --data" if text is not None else ""
    typer.secho(f"{str(letter['id'])[:8]} {why}{kept}", fg="red", err=True)
    return 1
