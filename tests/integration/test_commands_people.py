"""`kabar people`: files as they come out of other systems, good and bad, and a look at one person."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import sys
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.integration.command_line import ROOT, Answer, kabar
from worker.commands.people_file import BadLine, read_people
from worker.ledger.connection import Ledger
from worker.ledger.inquiry import find_person

HEADER = "id,name,locale,time_zone,roles,email,telegram,preferences\n"


class Directory:
    """The people of one database, and the command that changes them."""

    def __init__(self, ledger: Ledger, folder: Path, url: str) -> None:
        self.environment = {"KABAR_DATABASE_URL": url, "KABAR_AMQP_URL": "amqp://127.0.0.1:1/"}
        self._ledger = ledger
        self._folder = folder

    async def import_(self, content: str | bytes, *options: str) -> Answer:
        return await kabar(self.environment, "people", "import", str(self.file(content)), *options)

    def file(self, content: str | bytes) -> Path:
        path = self._folder / "people"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    async def person(self, person_id: str) -> asyncpg.Record:
        person = await find_person(self._ledger, person_id)
        assert person is not None
        return person

    async def ids(self) -> list[str]:
        return [row["id"] for row in await self._ledger.fetch("SELECT id FROM people ORDER BY id")]

    async def run(self, statement: str, *arguments: object) -> None:
        await self._ledger.fetch(statement, *arguments)


@pytest.fixture
async def directory(database_url: str, tmp_path: Path) -> AsyncIterator[Directory]:
    ledger = Ledger(database_url)
    await ledger.open()
    yield Directory(ledger, tmp_path, database_url)
    await ledger.aclose()


async def test_a_spreadsheet_saved_as_csv_becomes_people(directory: Directory) -> None:
    """Names with commas, several addresses, roles and preferences arrive as they stand in the file."""
    answer = await directory.import_(
        "\ufeffid,name,locale,time_zone,roles,email,telegram,preferences\r\n"
        'ani,"Lestari, Ani",id,Asia/Jakarta,creator;admin,ani@example.com; a2@example.com,620811,'
        "email/category:billing=off;*/type:promo.flash_sale=on\r\n"
        "\r\n"
        "budi,Budi,,,,,,\r\n"
    )

    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "2 people imported (email 2, telegram 1, preferences 2), 0 bad lines\n"
    ani = await directory.person("ani")
    assert (ani["name"], ani["locale"], ani["time_zone"]) == ("Lestari, Ani", "id", "Asia/Jakarta")
    assert ani["roles"] == ["creator", "admin"]
    assert ani["addresses"] == [
        ["email", "ani@example.com", ""],
        ["email", "a2@example.com", ""],
        ["telegram", "620811", ""],
    ]
    assert ani["preferences"] == [["category:billing", "email", "off"], ["type:promo.flash_sale", "*", "on"]]
    assert await directory.ids() == ["ani", "budi"]


async def test_json_lines_become_people_also_from_standard_input(directory: Directory) -> None:
    """What another program writes can be piped in, one object a line."""
    given = (
        b'{"person_id":"ani","name":"Ani","addresses":{"email":["ani@example.com"]},'
        b'"preferences":[{"scope":"*","channel":"email","enabled":false}]}\n'
        b'{"person_id":"budi","roles":["admin"]}'
    )

    answer = await kabar(directory.environment, "people", "import", "-", given=given)

    assert (answer.code, answer.out) == (0, "2 people imported (email 1, preferences 1), 0 bad lines\n")
    assert (await directory.person("ani"))["preferences"] == [["*", "email", "off"]]
    assert (await directory.person("budi"))["roles"] == ["admin"]


async def test_bad_lines_are_reported_and_the_good_ones_imported(directory: Directory) -> None:
    """One bad line costs nobody else; it is named by number and reason, and nobody's address is repeated."""
    content = HEADER.encode() + b"\n".join(
        [
            b"p2,Ani,id,,,secret@example.com,,",
            b"p3,Ani,not a locale,,,secret@example.com,,",
            b"p4,Ani\x00,id,,,secret@example.com,,",
            b"p5,\xff\xfe,id,,,secret@example.com,,",
            b"p6," + b"x" * 300_000 + b",,,,secret@example.com,,",
            b'p7,"Ani,id,,,secret@example.com,,',
            b"p8,Ani,id,,,secret@example.com",
            b"p9,Ani,id,,,two words@secret,,",
            b",Ani,id,,,secret@example.com,,",
            b"p11,Ani,,,,,,email/billing=off",
            b"p12,Ani,,,,,,email/*=maybe",
            b"p13,Ani,,,,,,email/*=default",
        ]
    )

    answer = await directory.import_(content)

    assert answer.code == 1
    assert await directory.ids() == ["p13", "p2"]
    lines = answer.err.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"line {number}" for number in range(3, 13)]
    wanted = ["locale:", "name:", "not UTF-8", "longer than 262144 bytes", "quote", "6 cells", "addresses.email.0:",
              "person_id:", "preferences.0.scope:", "preferences.0.enabled:"]  # fmt: skip
    assert [want in line for want, line in zip(wanted, lines, strict=True)] == [True] * len(wanted), lines
    assert "secret" not in answer.err + answer.out
    assert answer.out.startswith("2 people imported (email 1, preferences 1), 10 bad lines")


async def test_bad_json_lines_are_reported_without_what_they_say(directory: Directory) -> None:
    """Broken JSON, unknown fields and addresses in the wrong place are named, never quoted."""
    content = (
        '{"person_id":"ok"}\n{"person_id":"secret1@x.y"\n{"person_id":"p","secret2@x.y":1}\n'
        '{"person_id":"p","addresses":{"Secret3@x.y":["a"]}}\n[1]\n{"person_id":"p\\u0000"}\n'
        '{"person_id":"p","name":"\\ud800"}\n' + "[" * 100_000 + "\n"
    )

    answer = await directory.import_(content)

    assert answer.code == 1
    assert [line.partition(":")[0] for line in answer.err.splitlines()] == [f"line {n}" for n in range(2, 9)]
    assert "ecret" not in answer.err
    assert await directory.ids() == ["ok"]


async def test_a_line_that_the_database_refuses_costs_no_other_line(directory: Directory) -> None:
    """What only the database finds wrong, a rule of the operator's own here, is reported like any other bad line."""
    await directory.run("ALTER TABLE people ADD CHECK (id <> 'odd')")
    rows = [f"p{number},,,,,p{number}@example.com,," for number in range(40)]

    answer = await directory.import_(HEADER + "\n".join([*rows[:20], "odd,,,,,odd@example.com,,", *rows[20:]]))

    assert answer.err == "line 22: the database refuses it (CheckViolationError)\n"
    assert answer.out.startswith("40 people imported (email 40), 1 bad line")
    assert "odd" not in await directory.ids()


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("name,email", "no column `id`"),
        ("ani,ani@example.com", "no column `id`"),
        ("id,email,email", "column 3 has the name of another"),
        ("id,E-Mail", "column 2 is no channel: they are inbox, email, telegram,"),
        ("id,mail", "column 2 is no channel"),
        ('id,"email', "no column `id`"),
        ("\x00\x01\x02", "no column `id`"),
    ],
)
async def test_a_csv_without_a_usable_header_imports_nothing(directory: Directory, header: str, reason: str) -> None:
    """A file whose columns are not known is not guessed at."""
    answer = await directory.import_(f"{header}\nani,ani@example.com\n")

    assert answer.code == 1
    assert reason in answer.err
    assert "ani@" not in answer.err
    assert answer.out == "0 people imported, 1 bad line\n"


async def test_a_dry_run_finds_bad_lines_and_needs_no_database(directory: Directory) -> None:
    """A file can be checked on any machine; nothing is changed."""
    path = directory.file(HEADER + "ani,Ani,id,,,ani@example.com,,\nbudi,Budi,?,,,,,\n")

    answer = await kabar({}, "people", "import", str(path), "--dry-run")

    assert answer.code == 1
    assert answer.err.startswith("line 3: locale:")
    assert answer.out == "1 person could be imported (email 1), 1 bad line\n"
    assert await directory.ids() == []


async def test_an_empty_cell_changes_nothing_and_a_repetition_neither(directory: Directory) -> None:
    """A file with fewer facts than the directory takes none away; an address list that is given is given whole."""
    await directory.import_(HEADER + "ani,Ani,id,Asia/Jakarta,admin,ani@example.com,620811,*/*=off\n")

    for _ in range(2):
        await directory.import_("id,name,email\nani,,ani2@example.com\n")

    ani = await directory.person("ani")
    assert (ani["name"], ani["roles"], ani["preferences"]) == ("Ani", ["admin"], [["*", "*", "off"]])
    assert ani["addresses"] == [["email", "ani2@example.com", ""], ["telegram", "620811", ""]]


async def test_of_two_lines_about_one_person_the_later_holds(directory: Directory) -> None:
    """The order of the file is the order of the changes, also within one batch."""
    await directory.import_("id,name,preferences\nani,Ani,*/*=off\nani,Anisa,*/*=on\n")

    ani = await directory.person("ani")
    assert (ani["name"], ani["preferences"]) == ("Anisa", [["*", "*", "on"]])


async def test_a_newer_change_holds_over_the_file(directory: Directory) -> None:
    """What a service said after the import began is not overwritten by it."""
    await directory.import_("id,name\nani,Ani\n")
    await directory.run("UPDATE people SET changed_at = now() + interval '1 hour'")

    answer = await directory.import_("id,name,email,preferences\nani,Old,ani@example.com,*/*=off\nbo,Bo,,email/*=off\n")

    assert (await directory.person("ani"))["name"] == "Ani"
    assert answer.code == 0
    assert answer.out == ("1 person imported (preferences 2), 0 bad lines; 1 line left aside: what is known is newer\n")


async def test_preferences_older_than_what_is_known_are_counted_too(directory: Directory) -> None:
    """Nobody's later wish is lost to a file, and the one who imports learns of it."""
    await directory.import_("id,preferences\nani,*/*=on;email/*=off\n")
    await directory.run("UPDATE preferences SET changed_at = now() + interval '1 hour' WHERE channel = '*'")

    answer = await directory.import_("id,preferences\nani,email/*=on;*/*=off\n")

    assert answer.out == (
        "1 person imported (preferences 1), 0 bad lines; 1 preference left aside: what is known is newer\n"
    )
    assert ["*", "*", "on"] in (await directory.person("ani"))["preferences"]


async def test_a_batch_is_bounded_and_all_batches_arrive(directory: Directory) -> None:
    """A file of more people than one batch holds is imported whole."""
    answer = await directory.import_("id,email\n" + "".join(f"p{n:04},p{n}@example.com\n" for n in range(1234)))

    assert answer.out == "1,234 people imported (email 1,234), 0 bad lines\n"
    assert len(await directory.ids()) == 1234


def test_a_line_without_an_end_costs_no_memory() -> None:
    """A file that is one endless line, a disk image for instance, is read past and not kept."""
    stream = io.BufferedReader(_Endless(b"id\n", 64 * 1024 * 1024))
    tracemalloc.start()

    lines = list(read_people(stream))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [type(line) for line in lines] == [BadLine]
    assert lines[0].size == 64 * 1024 * 1024
    assert peak < 2 * 1024 * 1024


class _Endless(io.RawIOBase):
    """A beginning, then so many bytes without a line break."""

    def __init__(self, beginning: bytes, size: int) -> None:
        self._beginning = beginning
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        given = self._beginning or b"x" * min(len(buffer), self._left)
        self._left -= 0 if self._beginning else len(given)
        self._beginning = b""
        buffer[: len(given)] = given
        return len(given)


async def test_an_import_without_its_database_says_so_and_what_to_do(tmp_path: Path) -> None:
    """Where the database is away the import ends at once, in one sentence."""
    file = tmp_path / "people.csv"
    file.write_text("id\nani\n")
    away = {"KABAR_DATABASE_URL": "postgresql://u:hidden@127.0.0.1:1/x", "KABAR_AMQP_URL": "amqp://127.0.0.1:1/"}

    answer = await kabar(away, "people", "import", str(file))

    assert answer.code == 2
    assert "the database cannot be used now" in answer.err
    assert "Traceback" not in answer.err
    assert "hidden" not in answer.err


async def test_a_missing_file_is_a_plain_error(tmp_path: Path) -> None:
    """A mistyped path is answered with the path, not with a traceback."""
    answer = await kabar({}, "people", "import", str(tmp_path / "none.csv"), "--dry-run")

    assert answer.code == 2
    assert "none.csv cannot be read" in answer.err


async def test_a_terminal_shows_a_progress_bar(directory: Directory) -> None:
    """Whoever waits for a long import sees how far it is."""
    path = directory.file("id\n" + "".join(f"p{number}\n" for number in range(600)))
    ours, theirs = pty.openpty()

    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker.cli", "people", "import", str(path), "--dry-run",
        cwd=ROOT, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"}, stderr=theirs, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await running.communicate()
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)

    assert "importing" in shown
    assert "100%" in shown
    assert "600 lines" in shown


async def test_a_person_is_shown_with_masked_addresses(directory: Directory) -> None:
    """An operator sees what is known of somebody; addresses in full only on request."""
    await directory.import_(
        "id,name,locale,roles,email,slack,preferences\n"
        "ani,[red]Ani,id,admin,ani@example.com,https://hooks.slack.com/services/T/B/x,email/category:billing=off\n"
    )
    await directory.run(
        "UPDATE addresses SET suppressed_at = '2026-05-04T12:00:00Z', suppressed_reason = 'mailbox_unknown'"
        " WHERE channel = 'email'"
    )

    masked = await kabar(directory.environment, "people", "show", "ani")
    revealed = await kabar(directory.environment, "people", "show", "ani", "--reveal")

    assert masked.code == revealed.code == 0
    for part in (
        "[red]Ani", "admin", "a…@example.com", "not used: mailbox_unknown, since 2026-05-04 12:00:00Z",
        "https://hooks.slack.com/…", "in use", "once it is set again, by person.changed",
    ):  # fmt: skip
        assert part in masked.out
    assert "category:billing" in masked.out
    assert "ani@example.com" not in masked.out
    assert "services/T/B/x" not in masked.out
    assert "ani@example.com" in revealed.out
    assert "services/T/B/x" in revealed.out


async def test_somebody_unknown_is_an_error_with_advice(directory: Directory) -> None:
    """A mistyped id is answered in one line."""
    answer = await kabar(directory.environment, "people", "show", "nobody")

    assert (answer.code, answer.out) == (2, "")
    assert "nobody has the id 'nobody'" in answer.err
