"""`kabar dead replay` and `drop` of many letters: by group or filter, at a rate, interrupted and repeated."""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aio_pika
import pytest

from tests.acceptance.world import World, a_world
from tests.integration.command_line import ROOT, Answer, environment_of, kabar
from tests.integration.letters import BAD_EVENT, BAD_TEXT, OUTAGE, fill, fill_events

ONE_SECOND = 1.0


@dataclass(frozen=True, slots=True)
class Office:
    """A running Kabar whose ledger gets many dead letters, and the operator before it."""

    world: World
    environment: dict[str, str]

    async def ask(self, *arguments: str, **environment: str) -> Answer:
        return await kabar(self.environment | environment, "dead", *arguments)

    async def states(self, of: str = "TRUE") -> Counter[str]:
        """Count letters by state."""
        rows = await self.world.rows(f"SELECT state FROM dead_letters WHERE {of}")  # noqa: S608 - our own
        return Counter(row["state"] for row in rows)

    async def until_sent(self, number: int) -> None:
        """Wait until so many deliveries went out, each at its first new attempt."""
        await self.world.until(
            "SELECT 1 FROM (SELECT count(*) AS n FROM deliveries WHERE state = 'sent' AND attempt IN (1, 9)) sent"
            " WHERE n = $1",
            number,
        )

    async def audited(self, action: str) -> Counter[tuple[str, str]]:
        """Count the audit rows of an action by who and what; one for each letter."""
        rows = await self.world.rows("SELECT DISTINCT subject, actor, detail FROM audit WHERE action = $1", action)
        return Counter((row["actor"], row["detail"]) for row in rows)


@pytest.fixture
async def office(database_url: str, rabbitmq_url: str) -> AsyncIterator[Office]:
    async with a_world(database_url, rabbitmq_url, attempt_limit=8) as world:
        yield Office(world, environment_of(world.settings))


@pytest.fixture
async def still_office(database_url: str, rabbitmq_url: str) -> AsyncIterator[Office]:
    """No courier and no intake works here: what is handed out stays in its queue."""
    async with a_world(database_url, rabbitmq_url, roles=("timer",), attempt_limit=8) as world:
        yield Office(world, environment_of(world.settings))


async def test_a_group_is_replayed_as_a_whole_and_each_is_sent_once(office: Office) -> None:
    """After an outage is over, one command sends what it had killed: nothing else, and nothing twice."""
    await fill(office.world.database, 700, "email")

    foreseen = await office.ask("replay", "--group", "a1b", "--dry-run")
    assert (foreseen.code, foreseen.out) == (0, "693 would be replayed\n"), foreseen.err
    assert await office.states() == {"open": 700}
    answer = await office.ask("replay", "--group", "a1b")

    assert (answer.code, answer.out) == (0, "693 replayed\n"), answer.err
    await office.until_sent(693)
    mails = Counter(mail.to for mail in office.world.simulator.arrived("email"))
    assert len(mails) == 693
    assert set(mails.values()) == {1}
    assert await office.states(f"fingerprint = '{OUTAGE}'") == {"replayed": 693}
    assert await office.states(f"fingerprint = '{BAD_TEXT}'") == {"open": 7}
    assert await office.audited("dead_letter.replayed") == {(getpass.getuser(), "8 more attempts, by --group a1b"): 693}
    again = await office.ask("replay", "--group", OUTAGE)
    assert (again.code, again.out) == (0, "no open letters are meant by this: see `kabar dead list`\n")


async def test_what_cannot_be_sent_is_left_open_and_counted_by_cause(office: Office) -> None:
    """Delivered meanwhile, expired, gone, or switched off: each is told apart, before and after."""
    await fill(office.world.database, 60)
    for change in (
        "UPDATE deliveries SET state = 'sent' WHERE person_id IN ('p1', 'p2', 'p3')",
        "UPDATE deliveries SET expires_at = now() WHERE person_id IN ('p4', 'p5')",
        "DELETE FROM deliveries WHERE person_id = 'p6'",
        "UPDATE deliveries SET channel = 'fax' WHERE person_id = 'p7'",
    ):
        await office.world.rows(change)

    foreseen = await office.ask("replay", "--channel", "inbox", "--dry-run")
    answer = await office.ask("replay", "--channel", "inbox")

    for told, done in ((foreseen, "would be replayed"), (answer, "replayed")):
        assert (told.code, told.out) == (1, f"53 {done}\n")
        for cause in ("3 is of a delivery that is not dead any more but sent", "2 is of a delivery that has expired",
                      "1 is of a delivery that is not in the ledger", "1 is for fax"):  # fmt: skip
            assert cause in told.err
    assert await office.states() == {"open": 7, "replayed": 53}
    await office.world.until("SELECT 1 FROM deliveries WHERE attempt = 9 AND state = 'sent'", count=53)


async def test_only_the_first_are_replayed_where_asked_for(office: Office) -> None:
    """One is tried first, the oldest; the others wait for what becomes of it."""
    await fill(office.world.database, 50)
    await office.world.rows(
        "UPDATE dead_letters SET created_at = now() - interval '3 h' WHERE event_id IN ('e7', 'e9', 'e100')"
    )

    answer = await office.ask("replay", "--reason", "provider_error", "--first", "2")

    assert answer.out == "2 replayed\n"
    rows = await office.world.rows("SELECT event_id FROM dead_letters WHERE state = 'replayed' ORDER BY 1")
    assert [row["event_id"] for row in rows] == ["e7", "e9"]


async def test_a_filter_takes_only_what_fits_all_of_it(still_office: Office) -> None:
    """Reason, type, channel and time narrow the choice together."""
    database = still_office.world.database
    await fill(database, 100)
    await fill_events(database, 10)
    await database.execute("UPDATE dead_letters SET created_at = now() - interval '2 days' WHERE event_id < 'r5'")
    for arguments, number in (
        (["--type", "custom.note"], 110),
        (["--type", "custom.other"], 0),
        (["--type", "custom.note", "--since", "1d"], 5),
        (["--channel", "inbox"], 100),
        (["--reason", "payload_invalid"], 10),
        (["--reason", "payload_invalid", "--since", "36h"], 5),
        (["--reason", "template_failed", "--channel", "inbox"], 1),
        (["--since", "2000-01-01"], 110),
        (["--group", "0", "--since", "2999-01-01T00:00:00Z"], 0),
    ):
        listed = await still_office.ask("list", *arguments, "--json", "--limit", "1000")
        assert len(json.loads(listed.out)) == number, arguments

    answer = await still_office.ask("replay", "--reason", "payload_invalid", "--since", "36h")

    assert answer.out == "5 replayed\n"
    assert await still_office.states() == {"open": 105, "replayed": 5}


async def test_rejected_events_are_replayed_by_filter_and_taken_in_once(office: Office) -> None:
    """Also where some had been published again before: an event that is known is not sent again."""
    await fill(office.world.database, 30)
    await fill_events(office.world.database, 30)
    first = await office.ask("replay", "--group", BAD_EVENT, "--first", "10")
    await office.until_sent(10)
    await office.world.rows("UPDATE dead_letters SET state = 'open' WHERE state = 'replayed'")

    answer = await office.ask("replay", "--group", BAD_EVENT)

    assert (first.out, answer.out) == ("10 replayed\n", "30 replayed\n")
    await office.until_sent(30)
    await office.world.until("SELECT 1 FROM (SELECT sum(repeats) AS n FROM events WHERE id LIKE 'r%') r WHERE n = 10")
    (counted,) = await office.world.rows("SELECT count(*) AS events FROM events WHERE id LIKE 'r%'")
    assert counted["events"] == 30


async def test_a_dry_run_tells_which_events_would_be_rejected_again(still_office: Office) -> None:
    """A replay that cannot help is seen before it is made."""
    await fill_events(still_office.world.database, 5)
    await still_office.world.rows("UPDATE dead_letters SET body = '{}' WHERE event_id = 'r3'")

    answer = await still_office.ask("replay", "--group", BAD_EVENT, "--dry-run")

    assert "4 would be replayed\n" in answer.out
    assert "1 would be replayed, and rejected again by this version: payload_invalid" in answer.out
    assert await still_office.states() == {"open": 5}


async def test_events_that_fail_again_do_not_keep_a_replay_going(office: Office) -> None:
    """Each letter is sent once by one command, however quickly it comes back."""
    await fill_events(office.world.database, 40)
    await office.world.rows("UPDATE dead_letters SET body = '{}'")

    answer = await office.ask("replay", "--group", BAD_EVENT, "--rate", "40/s")

    assert sum(int(line.split()[0]) for line in (answer.out + answer.err).splitlines()) == 40
    await office.world.until("SELECT 1 FROM dead_letters WHERE arrivals = 1 AND state = 'open'", count=40)
    assert len(await office.audited("dead_letter.replayed")) == 1


async def test_a_replay_keeps_to_its_rate(still_office: Office) -> None:
    """A provider that has just recovered is not run over."""
    await fill(still_office.world.database, 60)

    began = time.monotonic()
    answer = await still_office.ask("replay", "--channel", "inbox", "--rate", "20/s")
    took = time.monotonic() - began

    assert answer.out == "60 replayed\n"
    assert took > 60 / 20 - 0.2
    rows = await still_office.world.rows(
        "SELECT max(n) AS most FROM (SELECT count(*) AS n FROM dead_letters"
        " GROUP BY date_trunc('second', resolved_at)) s"
    )
    assert rows[0]["most"] <= 22


async def test_a_replay_that_was_killed_can_be_run_again_without_doubling(office: Office) -> None:
    """Whatever line it died at, the next run takes up what is left, and nobody gets two."""
    await fill(office.world.database, 300, "email")
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker.cli", "dead", "replay", "--channel", "email", "--rate", "100/s"),
        *("--group", OUTAGE), stdout=PIPE, stderr=PIPE, cwd=ROOT, env=office.environment,
    )  # fmt: skip
    await office.world.until("SELECT 1 FROM dead_letters WHERE state = 'replayed'", count=50)
    running.kill()
    await running.communicate()
    before = (await office.states())["replayed"]

    answer = await office.ask("replay", "--group", OUTAGE)

    assert 50 <= before < 297
    assert answer.out == f"{297 - before} replayed\n"
    # What had been made ready and not been published is handed out by the timer; here its minute is over at once.
    await office.world.rows("UPDATE deliveries SET due_at = now() WHERE state = 'queued'")
    await office.until_sent(297)
    mails = Counter(mail.to for mail in office.world.simulator.arrived("email"))
    assert len(mails) == 297
    assert set(mails.values()) == {1}


async def test_two_operators_at_once_send_nothing_twice(office: Office) -> None:
    """Each letter is replayed by one of them."""
    await fill(office.world.database, 400, "email")

    answers = await asyncio.gather(*(office.ask("replay", "--group", OUTAGE) for _ in range(2)))

    replayed = [int(answer.out.split()[0]) for answer in answers if answer.out.endswith("replayed\n")]
    assert sum(replayed) == 396
    await office.until_sent(396)
    assert set(Counter(mail.to for mail in office.world.simulator.arrived("email")).values()) == {1}
    assert sum((await office.audited("dead_letter.replayed")).values()) == 396


async def test_a_replay_is_announced_on_kabar_status(still_office: Office) -> None:
    """Who follows a delivery hears that it is on its way again."""
    await fill(still_office.world.database, 5)
    channel = await still_office.world.broker.channel()
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind("kabar.status", "delivery.queued.#")

    await still_office.ask("replay", "--channel", "inbox")

    async with asyncio.timeout(10), queue.iterator() as messages:
        message = await anext(messages)
    assert isinstance(message, aio_pika.abc.AbstractIncomingMessage)
    changes = json.loads(message.body)
    assert message.routing_key == "delivery.queued.inbox"
    assert {(one["type"], one["data"]["reason"]) for one in changes} == {("kabar.delivery.queued", "replayed")}
    assert {one["data"]["event_id"] for one in changes} == {"e1", "e2", "e3", "e4", "e5"}


async def test_a_group_is_dropped_with_its_reason_and_stays(still_office: Office) -> None:
    """What nobody needs any more is closed as a whole; each letter keeps who did so and why."""
    await fill(still_office.world.database, 250)

    answer = await still_office.ask("drop", "--group", OUTAGE, "--reason", "the campaign is over")
    groups = json.loads((await still_office.ask("groups", "--all", "--json")).out)

    assert (answer.code, answer.out) == (0, "248 dropped\n"), answer.err
    assert {group["fingerprint"]: (group["open"], group["dropped"]) for group in groups} == {
        OUTAGE: (0, 248), BAD_TEXT: (2, 0),
    }  # fmt: skip
    assert await still_office.audited("dead_letter.dropped") == {(getpass.getuser(), "the campaign is over"): 248}


async def test_a_dropped_letter_can_be_replayed_after_all_and_a_replayed_event_cannot(still_office: Office) -> None:
    """A drop is no loss; what was published again is the ledger's to know."""
    await fill(still_office.world.database, 1)
    await fill_events(still_office.world.database, 1)
    ids = [str(row["id"]) for row in await still_office.world.rows("SELECT id FROM dead_letters ORDER BY kind")]
    await still_office.ask("drop", *ids, "--reason", "by mistake")

    first = await still_office.ask("replay", *ids)
    second = await still_office.ask("replay", *ids)

    assert (first.code, second.code) == (0, 1)
    assert "is replayed already" in second.err
    assert "is replayed already: its delivery is queued" in second.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["replay"], "name letters"),
        (["replay", "--first", "3"], "name letters"),
        (["replay", "abcdef", "--group", "a1"], "not both"),
        (["replay", "--group", "a1"], "several groups"),
        (["replay", "--group", "xyz"], "no group"),
        (["replay", "--group", "dddd"], "no group"),
        (["replay", "--since", "yesterday"], "no moment"),
        (["replay", "--channel", "inbox", "--rate", "fast"], "no rate"),
        (["replay", "--channel", "inbox", "--rate", "0"], "no rate"),
        (["drop", "--group", OUTAGE], "--reason"),
        (["drop", "--reason", "x"], "name letters"),
    ],
)
async def test_an_unclear_choice_is_an_error_and_nothing_is_done(
    still_office: Office, arguments: list[str], complaint: str
) -> None:
    """Nobody replays or drops by a slip what was not meant."""
    await fill(still_office.world.database, 100)

    answer = await still_office.ask(*arguments)

    assert answer.code == 2
    assert complaint in " ".join(answer.err.replace("│", " ").split())
    assert await still_office.states() == {"open": 100}


async def test_100_000_letters_are_looked_at_in_a_second_and_replayed_at_a_thousand_a_second(
    still_office: Office,
) -> None:
    """After the worst of outages an operator sees at once what is wrong, and is through in minutes."""
    await fill(still_office.world.database, 100_000)

    began = time.monotonic()
    groups = await still_office.ask("groups", "--json")
    looked_at = time.monotonic()
    answer = await still_office.ask("replay", "--group", OUTAGE, "--first", "10000")
    replayed_at = time.monotonic()

    assert [group["open"] for group in json.loads(groups.out)] == [99_000, 1_000]
    assert answer.out == "10,000 replayed\n"
    assert answer.err == "10,000 letters\n"
    start_of_a_command = 2.0
    assert looked_at - began < ONE_SECOND + start_of_a_command
    assert replayed_at - looked_at < 10_000 / 1_000 + start_of_a_command
