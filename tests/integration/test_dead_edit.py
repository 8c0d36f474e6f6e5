"""`kabar dead show`, `edit`, `export`, `import`: what an operator sees of a letter, mends, and carries elsewhere."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import stat
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from tests.acceptance.world import World, a_world
from tests.integration.command_line import Answer, environment_of, kabar
from tests.integration.letters import BAD_EVENT, OUTAGE, fill, fill_events
from worker.core.dead_letter import CODE, FIELD, REMEDY, read_dead
from worker.core.message import RawMessage
from worker.ledger.connection import Ledger
from worker.ledger.dead_letters import bury

PLAIN = {"user_ids": ["p1"], "message": "Hello", "password": "hunter2", "note": "ask ani@example.com"}
STRUCTURED = {"specversion": "1.0", "id": "s1", "source": "till", "type": "custom.note", "data": PLAIN, "own": "kept"}


@dataclass(frozen=True, slots=True)
class Desk:
    """A ledger with some rejected events, and the operator before it."""

    ledger: Ledger
    environment: dict[str, str]

    async def ask(self, *arguments: str, given: bytes = b"", **environment: str) -> Answer:
        return await kabar(self.environment | environment, "dead", *arguments, given=given)

    async def bury(self, body: bytes, content_type: str = "application/json", **headers: object) -> str:
        """Let an event be rejected; answers its letter."""
        why = {CODE: "payload_invalid", FIELD: "data.title", REMEDY: "Field required"}
        message = RawMessage(body, "custom.note", content_type, {**headers, **why}, "e-1", None, "shop")
        letter = read_dead(message)
        await bury(self.ledger, [letter], "event")
        return str(letter.id)

    async def row(self, letter: str) -> asyncpg.Record:
        (found,) = await self.ledger.fetch("SELECT * FROM dead_letters WHERE id = $1::text::uuid", letter)
        return found

    async def letters(self) -> list[dict[str, object]]:
        rows = await self.ledger.fetch("SELECT * FROM dead_letters ORDER BY id")
        return [{**row, "properties": json.loads(row["properties"] or "null")} for row in rows]

    async def history(self, letter: str) -> list[tuple[str, str, str]]:
        rows = await self.ledger.fetch("SELECT * FROM audit WHERE subject = $1 ORDER BY at", letter)
        return [(row["actor"], row["action"], row["detail"]) for row in rows]


def scratch_files(folder: Path) -> list[Path]:
    return list(folder.glob("kabar-dead-*.json"))


async def a_desk(database_url: str) -> Desk:
    ledger = Ledger(database_url)
    await ledger.open()
    return Desk(ledger, {"KABAR_DATABASE_URL": database_url, "KABAR_AMQP_URL": "amqp://127.0.0.1:1/"})


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    made = await a_desk(database_url)
    yield made
    await made.ledger.aclose()


@pytest.fixture
async def elsewhere(empty_database_url: str) -> AsyncIterator[Desk]:
    """Another deployment."""
    made = await a_desk(empty_database_url)
    await kabar(made.environment, "migrate")
    yield made
    await made.ledger.aclose()


@pytest.fixture
async def world(database_url: str, rabbitmq_url: str) -> AsyncIterator[World]:
    async with a_world(database_url, rabbitmq_url) as made:
        yield made


async def test_a_letter_is_shown_without_secrets_unless_they_are_asked_for(desk: Desk) -> None:
    """Who looks over an operator's shoulder reads no password and no address; who must see them can."""
    letter = await desk.bury(json.dumps(PLAIN).encode(), **{"x-api-key": "k3y", "shop": "7"})

    masked = await desk.ask("show", letter)
    revealed = await desk.ask("show", letter, "--reveal")

    ways = (f"next: mend its data: kabar dead edit {letter[:8]} ·", f"kabar dead drop {letter[:8]} --reason")
    for part in (
        "payload_invalid", "data.title", "Field required", "Hello", '"p1"', "header shop", "first seen", *ways
    ):  # fmt: skip
        assert part in masked.out
    for secret in ("hunter2", "ani@example.com", "k3y"):
        assert secret not in masked.out
        assert secret in revealed.out


@pytest.mark.parametrize(
    ("reason", "way"),
    [
        ("payload_invalid", "next: mend its data: kabar dead edit {0} ·"),
        ("type_unknown", "next: send it again, once workers know its type: kabar dead replay {0} ·"),
        ("envelope_invalid", "next: publish it again, mended, where it came from · give it up: kabar dead drop {0}"),
    ],
)
async def test_a_letter_names_only_ways_on_that_can_help(desk: Desk, reason: str, way: str) -> None:
    """No edit of the payload mends what is wrong outside of it."""
    letter = await desk.bury(json.dumps(PLAIN).encode())
    await desk.ledger.fetch("UPDATE dead_letters SET reason = $1", reason)

    assert way.format(letter[:8]) in (await desk.ask("show", letter)).out


async def test_the_letter_of_a_delivery_shows_the_event_it_tells(desk: Desk, database_url: str) -> None:
    """What the text had to say is as much a part of the trouble as what the provider answered."""
    database = await asyncpg.connect(database_url)
    await fill(database, 3)
    await database.close()
    (row,) = await desk.ledger.fetch("SELECT id FROM dead_letters WHERE event_id = 'e2'")

    shown = await desk.ask("show", str(row["id"]))

    for part in (OUTAGE, "provider_error", "500 oops", "en v2", "8 of 8", "Hello 2", "kabar dead replay"):
        assert part in shown.out


@pytest.mark.parametrize(
    ("content_type", "body"), [("application/json", PLAIN), ("application/cloudevents+json", STRUCTURED)]
)
async def test_a_payload_is_mended_in_an_editor_and_the_change_is_kept(
    desk: Desk, tmp_path: Path, content_type: str, body: dict[str, object]
) -> None:
    """The missing title is written in, nothing else changes, and the history tells who did it."""
    letter = await desk.bury(json.dumps(body).encode(), content_type, shop="7")
    before = await desk.row(letter)
    editor = tmp_path / "editor"
    editor.write_text("""#!/bin/sh\nsed -i 's/"message": "Hello"/"message": "Hello", "title": "Hi"/' "$2"\n""")
    editor.chmod(0o700)

    answer = await desk.ask("edit", letter[:8], EDITOR=f"{editor} --wait", TMPDIR=str(tmp_path))

    assert (answer.code, answer.err) == (0, "")
    after = await desk.row(letter)
    document = json.loads(after["body"])
    payload = document.get("data", document)
    assert payload == {**PLAIN, "title": "Hi"}
    if "data" in document:
        assert {**document, "data": PLAIN} == STRUCTURED
    assert {**after, "body": b""} == {**before, "body": b""}
    ((actor, action, change),) = await desk.history(letter)
    assert (actor, action) == (getpass.getuser(), "dead_letter.edited")
    assert '+  "title": "Hi"' in change
    shown = await desk.ask("show", letter)
    assert '"title": "Hi"' in shown.out
    assert "hunter2" not in shown.out
    assert scratch_files(tmp_path) == []


async def test_a_mended_event_is_replayed_and_told(world: World, tmp_path: Path) -> None:
    """From a reject to a message in somebody's inbox: show, edit, replay."""
    environment = environment_of(world.settings)
    await world.know("ani")
    await world.publish_raw(b'{"user_ids":["ani"],"message":"Hello"}', "custom.note", message_id="bad", app_id="shop")
    letter = await world.dead_letter("bad")
    mended = tmp_path / "mended.json"
    mended.write_text('{"user_ids":["ani"],"message":"Hello","title":"Hi"}')

    edited = await kabar(environment, "dead", "edit", str(letter["id"]), "--data", str(mended))
    replayed = await kabar(environment, "dead", "replay", str(letter["id"]))

    assert (edited.code, replayed.code) == (0, 0), edited.err + replayed.err
    assert (await world.states("bad"))["ani", "inbox"] == ("sent", "")


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        ('{"user_ids": ["p1"], "message": "Hello"}', "data.title"),
        ('{"user_ids": ["p1"], "message": "Hello", "title": "Hi", "massage": "x"}', "no field 'massage'"),
        ("{", "no JSON"),
        ("[]", "a JSON object"),
    ],
)
async def test_a_payload_that_would_be_rejected_is_not_taken(desk: Desk, payload: str, complaint: str) -> None:
    """A mistake is found at the desk, not by the next reject."""
    letter = await desk.bury(json.dumps(PLAIN).encode())
    before = await desk.row(letter)

    answer = await desk.ask("edit", letter, "--data", "-", given=payload.encode())

    assert answer.code == 1
    assert complaint in answer.err
    assert await desk.row(letter) == before
    assert await desk.history(letter) == []


async def test_only_an_open_event_can_be_edited(desk: Desk, database_url: str) -> None:
    """What was dealt with, and what has no payload of its own, is refused before an editor opens."""
    letter = await desk.bury(json.dumps(PLAIN).encode())
    broken = await desk.bury(b"{", "application/cloudevents+json")
    await desk.ask("drop", letter, "--reason", "x")
    database = await asyncpg.connect(database_url)
    await fill(database, 1)
    await database.close()
    (delivery,) = await desk.ledger.fetch("SELECT id FROM dead_letters WHERE kind = 'delivery'")

    for one, why in ((letter, "is dropped already"), (broken, "no CloudEvent"), (str(delivery["id"]), "of a delivery")):
        answer = await desk.ask("edit", one, EDITOR="false")
        assert answer.code == 2
        assert why in answer.err


async def test_an_edit_that_changes_nothing_is_not_kept(desk: Desk, tmp_path: Path) -> None:
    """The same payload, laid out another way, is no change: the history would tell of one that there was not."""
    letter = await desk.bury(json.dumps(PLAIN).encode())
    mended = tmp_path / "mended.json"
    mended.write_text(json.dumps({**PLAIN, "title": "Hi"}))

    first = await desk.ask("edit", letter, "--data", str(mended))
    second = await desk.ask("edit", letter, "--data", str(mended))

    assert (first.code, second.code) == (0, 1)
    assert "nothing was changed" in second.err
    assert len(await desk.history(letter)) == 1


async def test_what_was_typed_in_vain_is_not_lost(desk: Desk, tmp_path: Path) -> None:
    """A refused edit can be mended and given again."""
    letter = await desk.bury(json.dumps(PLAIN).encode())
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho \'{"title": 7}\' > "$1"\n')
    editor.chmod(0o700)

    answer = await desk.ask("edit", letter, EDITOR=str(editor), TMPDIR=str(tmp_path))
    without = await desk.ask("edit", letter, EDITOR=str(tmp_path / "none"), TMPDIR=str(tmp_path))
    unchanged = await desk.ask("edit", letter, EDITOR="true", TMPDIR=str(tmp_path))

    (kept,) = scratch_files(tmp_path)
    assert str(kept) in answer.err
    assert json.loads(kept.read_text()) == {"title": 7}
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "--data FILE" in without.err
    assert (unchanged.code, "nothing was changed" in unchanged.err) == (1, True)


async def test_letters_are_carried_to_another_ledger_as_they_are(
    desk: Desk, elsewhere: Desk, database_url: str, tmp_path: Path
) -> None:
    """Ids, states, bodies of any bytes and headers of any kind arrive unchanged; a second time nothing does."""
    database = await asyncpg.connect(database_url)
    await fill(database, 700)
    await fill_events(database, 20)
    await database.close()
    odd = await desk.bury(b"\xff\xfe\x00", raw=b"\x00", table={"deep": [1, 0.5, None, True]}, nul="a\x00b")
    await desk.ask("drop", odd, "--reason", "x")
    file = tmp_path / "letters.ndjson"

    exported = await desk.ask("export", "--all", "-o", str(file))
    imported = await elsewhere.ask("import", str(file))
    again = await elsewhere.ask("import", "-", given=file.read_bytes())

    assert (exported.code, imported.code, again.code) == (0, 0, 1), exported.err + imported.err
    assert (imported.out, again.out) == ("721 letters imported, 0 refused\n", "0 letters imported, 721 refused\n")
    assert "line 1: letter" in again.err
    assert "is here already" in again.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await desk.letters() == await elsewhere.letters()
    assert await elsewhere.history(odd) == [(getpass.getuser(), "dead_letter.imported", "from letters.ndjson")]
    assert await desk.history("dead_letters") == [(getpass.getuser(), "dead_letter.exported", "721 letters: --all")]


@pytest.mark.parametrize(
    ("into", "code", "says"),
    [("| head -c 10", 1, ""), ("> /dev/full", 2, "cannot be written (No space left on device)")],
)
async def test_an_export_that_breaks_off_is_in_the_audit_and_blames_no_database(
    desk: Desk, database_url: str, into: str, code: int, says: str
) -> None:
    """What was taken out is known, however little of it arrived, and the operator reads what is at fault."""
    database = await asyncpg.connect(database_url)
    await fill_events(database, 1500)
    await database.close()
    command = f"{sys.executable} -W error -m worker.cli dead export {into}; exit ${{PIPESTATUS[0]}}"

    running = await asyncio.create_subprocess_exec(
        "bash", "-c", command, stdout=PIPE, stderr=PIPE, env={**os.environ, **desk.environment}
    )
    _, err = await running.communicate()

    assert running.returncode == code, err
    assert says in err.decode()
    assert "database" not in err.decode()
    ((_, action, detail),) = await desk.history("dead_letters")
    assert (action, detail.partition(": ")[2]) == ("dead_letter.exported", "all that are open")
    assert int(detail.split()[0]) >= 500


async def test_an_export_is_of_what_was_chosen(desk: Desk, database_url: str, tmp_path: Path) -> None:
    """By id, group or filter, else all that is open; a file that is there is not written over."""
    database = await asyncpg.connect(database_url)
    await fill(database, 30)
    await fill_events(database, 20)
    await database.execute("UPDATE dead_letters SET state = 'dropped', resolved_at = now() WHERE event_id = 'r1'")
    await database.close()
    (closed,) = await desk.ledger.fetch("SELECT id FROM dead_letters WHERE event_id = 'r1'")

    for arguments, number in (
        ([], 49),
        (["--all"], 50),
        (["--group", BAD_EVENT], 19),
        (["--group", BAD_EVENT, "--all"], 20),
        (["--channel", "inbox"], 30),
        ([str(closed["id"])], 1),
    ):
        answer = await desk.ask("export", *arguments)
        assert len(answer.out.splitlines()) == number, arguments
        assert json.loads(answer.out.splitlines()[0])["id"]
    (tmp_path / "here").write_text("mine")
    refused = await desk.ask("export", "-o", str(tmp_path / "here"))
    assert refused.code == 2
    assert (tmp_path / "here").read_text() == "mine"


async def test_bad_lines_are_named_and_good_ones_taken(desk: Desk, elsewhere: Desk) -> None:
    """Each by its number, without what it holds; the others are not held up."""
    letter = await desk.bury(json.dumps(PLAIN).encode())
    good = (await desk.ask("export")).out.strip()
    known = json.loads(good)
    lines = [
        "{", "", good.replace(letter, "not-an-id"), json.dumps({**known, "more": 1}), good, good,
        json.dumps({**known, "id": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "properties": {"headers": 7}}),
        json.dumps({**known, "id": "7d444840-9dc0-11d1-b245-5ffdce74fad3", "kind": "delivery"}),
        json.dumps({**known, "id": "7d444840-9dc0-11d1-b245-5ffdce74fad4", "state": "replayed"}),
        json.dumps({**known, "id": "7d444840-9dc0-11d1-b245-5ffdce74fad5", "reason": "a\0b"}),
    ]  # fmt: skip

    answer = await elsewhere.ask("import", "-", given="\n".join(lines).encode())

    assert (answer.code, answer.out) == (1, "1 letter imported, 8 refused\n")
    told = [line.split(":")[0] for line in answer.err.splitlines()]
    assert told == [f"line {number}" for number in (1, 3, 4, 6, 7, 8, 9, 10)]
    assert "stands in an earlier line" in answer.err
    assert "hunter2" not in answer.err
    assert (await elsewhere.row(letter))["state"] == "open"


async def test_an_imported_event_can_be_replayed_and_a_delivery_without_its_row_cannot(
    world: World, desk: Desk, elsewhere: Desk
) -> None:
    """An event carries all it needs; a delivery belongs to its ledger."""
    await world.know("ani")
    good = {"user_ids": ["ani"], "title": "Hi", "message": "Hello"}
    event = await elsewhere.bury(json.dumps(good).encode())
    exported = await elsewhere.ask("export")
    await desk.ask("import", "-", given=exported.out.encode())
    await desk.ledger.fetch(
        "INSERT INTO dead_letters (id, kind, delivery_id, event_type, channel, stage, reason, fingerprint)"
        " VALUES ('11111111-0000-4000-8000-000000000000', 'delivery', gen_random_uuid(), 't', 'email', 's', 'r', 'f')"
    )

    answer = await kabar(environment_of(world.settings), "dead", "replay", event, "11111111")

    assert (answer.code, answer.out) == (1, f"{event[:8]} replayed\n")
    assert "not in the ledger any more" in answer.err
    assert (await world.states("e-1"))["ani", "inbox"] == ("sent", "")
