"""Texts changed in the running system: seen at once, kept by what is planned, refused where broken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.events.billing import PaymentFailed
from tests.acceptance.world import World, a_world, running
from tests.integration.command_line import Answer, environment_of, kabar
from worker.bootstrap import Process
from worker.core.text_source import Place
from worker.deployment import build_editions
from worker.errors import ServiceUnavailable
from worker.ledger import texts
from worker.ledger.connection import Ledger
from worker.ledger.deliveries import lease
from worker.roles.text_watch import TextWatch
from worker.texts import BUILT_IN

EN = Place("payment.failed", "user", "en", "")
TELEGRAM = EN._replace(channel="telegram")
TITLE = "SELECT title FROM notifications n JOIN events e ON e.key = n.event_key WHERE e.id = $1"
VERSIONS = """SELECT channel, template_edition, template_version FROM deliveries d JOIN events e ON e.key = d.event_key
              WHERE e.id = $1 AND d.state = 'sent'"""
NEW = "title: Please pay {{ amount|money(currency) }}\n\nNew words.\n"


def failed(payment: str = "p1") -> PaymentFailed:
    return PaymentFailed(user_id="ani", payment_id=payment, amount="12.5", currency="USD", reason="card expired")


class Desk:
    """An operator with a folder of texts."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._folder = folder
        self.environment = {"KABAR_DATABASE_URL": database_url, "KABAR_AMQP_URL": "amqp://127.0.0.1:1/"}

    def file(self, text: str, name: str = "payment.failed/user/en.txt") -> Path:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    async def template(self, *arguments: object, **more: str) -> Answer:
        return await kabar(self.environment | more, "template", *map(str, arguments))

    async def publish(self, text: str, *more: str) -> Answer:
        return await self.template("publish", self.file(text), *more)


@pytest.fixture
def desk(tmp_path: Path, database_url: str) -> Desk:
    return Desk(tmp_path, database_url)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    opened = Ledger(database_url)
    await opened.open()
    yield opened
    await opened.aclose()


@pytest.fixture
async def world(database_url: str, rabbitmq_url: str) -> AsyncIterator[World]:
    async with a_world(database_url, rabbitmq_url) as made:
        yield made


async def put(ledger: Ledger, place: Place, text: str | None) -> None:
    """Publish without a check, as a newer version of Kabar might have."""
    await texts.publish(ledger, [(place, text)], author="ops", note="")


async def title_of(world: World, event_id: str) -> str:
    """What the inbox shows; a chat may still wait for its turn."""
    (row,) = await world.until(f"{TITLE} AND title IS NOT NULL", event_id)
    return str(row["title"])


async def until_said(world: World, words: str) -> None:
    """Tell of payments until one is told of in these words."""
    while True:
        (event_id,) = await world.tell(failed())
        if words in await title_of(world, event_id):
            return


async def first_planned_with(world: World, edition: int) -> str:
    """Tell of payments until one is planned with this edition; answers its event's id."""
    while True:
        (event_id,) = await world.tell(failed())
        await world.states(event_id)
        if await world.rows("SELECT 1 FROM deliveries WHERE template_edition = $1", edition):
            return event_id


# -- in a running worker ------------------------------------------------------------------------------------------


async def test_a_publish_is_seen_by_a_running_worker_within_two_seconds(world: World, desk: Desk) -> None:
    """Who mends a text need not restart anything, and soon sees it in what is sent."""
    await world.know("ani")
    (before,) = await world.tell(failed())
    assert "Please pay" not in await title_of(world, before)

    assert (await desk.publish(NEW)).code == 0
    began = time.monotonic()
    await until_said(world, "Please pay US$12.50")

    assert time.monotonic() - began < 2.0


async def test_a_planned_delivery_keeps_its_words(database_url: str, rabbitmq_url: str, ledger: Ledger) -> None:
    """What waits for a courier is sent in the words that held when it was planned, and its row says which they were."""
    async with a_world(database_url, rabbitmq_url, roles=("intake", "timer")) as world:
        await world.know("ani")
        (old,) = await world.tell(failed("p1"))
        await world.until("SELECT 1 FROM deliveries WHERE state = 'queued'", count=3)
        await put(ledger, EN, NEW)
        await put(ledger, EN, "title: Newer still\n")
        (planned,) = await world.rows("SELECT DISTINCT template_edition FROM deliveries")
        # As if one had been planned between the two, and one by a Kabar that knew of no editions.
        await world.rows("UPDATE deliveries SET template_edition = 1 WHERE channel = 'inbox'")
        await world.rows("UPDATE deliveries SET template_edition = NULL WHERE channel = 'telegram'")
        async with running(Process(world.settings, ["courier"])):
            await world.states(old)

        versions = {row["channel"]: row["template_version"] for row in await world.rows(VERSIONS, old)}
        (mail,) = world.simulator.arrived("email")

        assert planned["template_edition"] == 0
        assert versions["inbox"] == "en@1"
        assert await title_of(world, old) == "Please pay US$12.50"
        assert versions["telegram"] == "en@2"
        assert versions["email"] == build_editions(world.settings).version(EN)
        assert "Please pay" not in mail.title
        assert "Newer" not in mail.title


async def test_a_text_that_fails_makes_dead_letters_of_its_own_channel_only(world: World, ledger: Ledger) -> None:
    """One bad wording holds up no other medium, and the dead letter says which version and line to mend."""
    await world.know("ani")
    await put(ledger, TELEGRAM, "title: a\n\nwell\n{{ reason|round }}\n")

    event_id = await first_planned_with(world, 1)
    letter = await world.dead_letter(event_id)  # the chat's turn may come late: one message a second goes to a chat
    states = await world.states(event_id)

    assert states["ani", "telegram"] == ("dead", "template_failed")
    assert states["ani", "email"] == states["ani", "inbox"] == ("sent", "")
    assert "payment.failed/user/en.telegram.txt@1, line 4" in letter["remedy"]
    (dead,) = await world.rows("SELECT template_version FROM deliveries WHERE state = 'dead'")
    assert dead["template_version"] == "en.telegram@1"


async def test_a_replayed_delivery_is_said_in_the_mended_words(world: World, ledger: Ledger, desk: Desk) -> None:
    """What died of its text is sent once the text is mended: the pin to the broken one is taken off."""
    await world.know("ani")
    await put(ledger, TELEGRAM, "title: a\n\n{{ no_such }}\n")
    letter = await world.dead_letter(await first_planned_with(world, 1))

    mended = desk.file("title: Mended\n", "payment.failed/user/en.telegram.txt")
    assert (await desk.template("publish", mended)).code == 0
    replayed = await kabar(environment_of(world.settings), "dead", "replay", str(letter["id"]))

    assert replayed.code == 0
    await world.until(
        "SELECT 1 FROM deliveries WHERE id = $1 AND state = 'sent' AND template_version = 'en.telegram@2'",
        letter["delivery_id"],
    )


async def test_a_text_that_a_worker_cannot_compile_stops_no_other(world: World, ledger: Ledger) -> None:
    """A text for a newer version of Kabar makes dead letters that name it, and the worker goes on."""
    await world.know("ani")
    await put(ledger, EN._replace(event_type="order.shipped"), "title: {{ a|filter_of_tomorrow }}\n")
    await put(ledger, EN, NEW)

    await until_said(world, "Please pay")


async def test_a_delivery_costs_no_question_about_its_text(
    database_url: str, rabbitmq_url: str, ledger: Ledger
) -> None:
    """Texts are asked for when one was published, not for each delivery: with no database at all they are at hand."""
    async with a_world(database_url, rabbitmq_url, roles=("intake",)) as world:
        await world.know("ani")
        await put(ledger, EN, NEW)
        await world.tell(failed())
        rows = await world.until("SELECT id FROM deliveries WHERE state = 'queued'", count=3)
        watch = TextWatch(ledger, build_editions(world.settings))
        await watch.newest()
        leased, _ = await lease(ledger, [row["id"] for row in rows], 1, 60)

        await ledger.aclose()
        editions = await watch.ready_for(leased)

        assert len(leased) == 3
        assert editions.newest == await watch.newest() == 1


async def test_a_worker_on_an_older_schema_says_what_to_do(empty_database_url: str) -> None:
    """Started before the migration, a worker stops with the remedy instead of sending in the wrong words."""
    ledger = Ledger(empty_database_url)
    await ledger.open()

    with pytest.raises(ServiceUnavailable, match="kabar migrate"):
        await TextWatch(ledger, None).newest()

    await ledger.aclose()


# -- the command line ---------------------------------------------------------------------------------------------


async def test_every_publish_is_kept_with_its_author_and_reason(desk: Desk, ledger: Ledger) -> None:
    """One can look up who changed what, when and why, and what it said before."""
    await desk.publish(NEW, "--note", "shorter")
    await desk.publish("title: Second\n")

    history = await desk.template("history", "payment.failed/user/en")
    listed = await desk.template("list", "payment.failed/user")
    first = await desk.template("show", "payment.failed/user/en", "--version", "1")
    now = await desk.template("show", "payment.failed/user/en.txt")
    audit = await ledger.fetch("SELECT action, subject, detail FROM audit ORDER BY at")

    assert [line.split()[0] for line in history.out.splitlines()[1:]] == ["2", "1", "0"]
    assert "shorter" in history.out
    assert "payment.failed/user/en.txt" in listed.out
    assert "payment.failed/user/id.txt" in listed.out
    assert (first.out, now.out) == (NEW, "title: Second\n")
    assert [tuple(row) for row in audit] == [
        ("template.publish", "payment.failed/user/en.txt", "version 1: shorter"),
        ("template.publish", "payment.failed/user/en.txt", "version 2"),
    ]


async def test_those_who_publish_at_once_do_so_one_after_the_other(ledger: Ledger) -> None:
    """Nobody's publish is lost, and whoever has seen one edition has seen all before it."""
    await asyncio.gather(*(put(ledger, EN if each % 2 else TELEGRAM, f"title: {each}\n") for each in range(12)))

    published = await texts.published_since(ledger, 0)

    assert [one.edition for one in published] == list(range(1, 13))
    for place in (EN, TELEGRAM):
        assert [one.version for one in published if one.place == place] == list(range(1, 7))


async def test_a_rollback_publishes_an_earlier_version_anew(desk: Desk, ledger: Ledger) -> None:
    """Going back is a publish like any other: nothing is lost, and one can go forward again."""
    await desk.publish(NEW)
    await desk.publish("title: Second\n")

    back = await desk.template("rollback", "payment.failed/user/en")
    after_one = await desk.template("show", "payment.failed/user/en")
    to_file = await desk.template("rollback", "payment.failed/user/en", "--to", "0")

    rows = await ledger.fetch("SELECT version, source FROM templates ORDER BY id")
    assert (back.code, to_file.code) == (0, 0)
    assert after_one.out == NEW
    assert [tuple(row) for row in rows] == [(1, NEW), (2, "title: Second\n"), (3, NEW), (4, None)]
    (last,) = await ledger.fetch("SELECT action FROM audit ORDER BY at DESC LIMIT 1")
    assert last["action"] == "template.rollback"


async def test_a_second_rollback_does_not_go_forward_again(desk: Desk, ledger: Ledger) -> None:
    """Two operators who each go back once do not bring back what both wanted gone."""
    await desk.publish(NEW)
    await desk.publish("title: Second\n")
    await desk.template("rollback", "payment.failed/user/en")

    again = await desk.template("rollback", "payment.failed/user/en")
    to_file = await desk.template("rollback", "payment.failed/user/en", "--to", "0")
    from_file = await desk.template("rollback", "payment.failed/user/en")

    assert (again.code, to_file.code, from_file.code) == (2, 0, 2)
    assert "version 3 of payment.failed/user/en.txt is what version 1 was again" in again.err
    assert "version 4 of payment.failed/user/en.txt is its file again" in from_file.err
    assert [row["source"] for row in await ledger.fetch("SELECT source FROM templates ORDER BY id")][2:] == [NEW, None]


async def test_a_difference_is_shown_between_versions_and_with_a_file(desk: Desk) -> None:
    """Before and after a publish one sees what changes."""
    await desk.publish(NEW)
    await desk.publish(NEW.replace("New words", "Newer words"))

    between = await desk.template("diff", "payment.failed/user/en")
    with_file = await desk.template("diff", desk.file(NEW))
    same = await desk.template("diff", "payment.failed/user/en", "--from", "2", "--to", "2")

    assert "-New words.\n+Newer words.\n" in between.out
    assert "-Newer words.\n+New words.\n" in with_file.out
    assert (between.code, with_file.code, same.code, same.out) == (1, 1, 0, "")


@pytest.mark.parametrize(
    ("name", "text", "line", "what"),
    [
        ("payment.failed/user/en.txt", "titel: a\n", 1, "no header"),
        ("payment.failed/user/en.txt", "title: a\n\n{% if reason %}\n", 3, "no beginning or no end"),
        ("payment.failed/user/en.txt", "title: a\n\n\n{{ no_such }}\n", 4, "no_such"),
        ("payment.failed/user/en.txt", "title: a\n\n{{ reason|round }}\n", 3, "fails"),
        ("payment.failed/user/en.txt", "title: a\n\n{{ retry_url }}\n", 3, "may be absent"),
        ("payment.failed/user/en.email.txt", "title: {{ reason }}\n", 1, "email shows 200"),
        ("payment.failed/user/en.txt", "title: a\n\n[a](javascript:alert(1))\n", 3, "this is no link"),
        ("payment.failed/admins/en.txt", "title: a\n", 1, "does not go to admins"),
        ("payment.failed/user/en.slack.txt", "title: a\n", 1, "does not go by slack"),
        ("payment.fialed/user/en.txt", "title: a\n", 1, "no event type"),
        ("payment.failed/user/english.txt", "title: a\n", 1, "no text"),
    ],
)
async def test_a_broken_text_is_refused_with_its_place(
    desk: Desk, ledger: Ledger, name: str, text: str, line: int, what: str
) -> None:
    """What is not good never holds: the author is told file, line and remedy, and nothing is published."""
    good = desk.file("title: Good\n", "payment.failed/user/id.txt")
    broken = desk.file(text, name)

    answer = await desk.template("publish", good, broken)

    assert answer.code == 1
    assert f"{broken}:{line}: " in answer.err
    assert what in answer.err
    assert "Remedy" in answer.err
    assert await ledger.fetch("SELECT 1 FROM templates") == []


async def test_an_edit_begins_with_what_holds_and_is_checked(desk: Desk, tmp_path: Path) -> None:
    """An editor opens on the words that are said now; what comes out of it is checked, and not yet published."""
    await desk.publish(NEW)
    file = tmp_path / "draft/payment.failed/user/en.txt"

    good = await desk.template("edit", file, EDITOR="sed -i s/New/Fresh/")
    bad = await desk.template("edit", file, EDITOR="sed -i s/title/titel/")
    holds = await desk.template("show", "payment.failed/user/en")

    assert (good.code, bad.code) == (0, 1)
    assert "Fresh words" in file.read_text("utf-8")
    assert f"publish {file}" in good.out
    assert f"{file}:1: " in bad.err
    assert holds.out == NEW


async def test_an_edit_of_a_new_text_begins_with_the_one_that_serves_for_it(desk: Desk, tmp_path: Path) -> None:
    """Who writes for one more medium or language starts from what its readers get until then."""
    await desk.publish(NEW)
    sms, slang = (tmp_path / "draft/payment.failed/user" / name for name in ("en.sms.txt", "id-ID.txt"))
    nowhere = tmp_path / "draft/payment.failed/nobody/en.txt"

    answers = [await desk.template("edit", file, EDITOR="true") for file in (sms, slang, nowhere)]

    assert [answer.code for answer in answers] == [0, 0, 2]
    assert sms.read_text("utf-8") == NEW
    assert slang.read_text("utf-8") == (BUILT_IN / "payment.failed/user/id.txt").read_text("utf-8")
    assert not nowhere.exists()


async def test_what_is_not_there_is_said(desk: Desk) -> None:
    """A typing error in a name is answered with how to look it up."""
    for arguments in (("show", "payment.failed/user/fr"), ("show", "x"), ("rollback", "payment.failed/user/en")):
        answer = await desk.template(*arguments)
        assert answer.code == 2
        assert "kabar template list" in answer.err or "nothing to go back to" in answer.err


async def test_a_preview_writes_what_each_medium_shows(desk: Desk, tmp_path: Path) -> None:
    """An author sees the e-mail as a page and as text, and Telegram's and the inbox's wire form, before publishing."""
    file = desk.file(NEW)
    there = tmp_path / "out"

    answer = await desk.template("preview", "payment.failed", "--text", file, "--to", there, "--files-only")

    assert answer.code == 0, answer.err
    made = there / "payment.failed/user"
    assert "Please pay" in (made / "en.email.html").read_text("utf-8")
    assert "Please pay" in (made / "en.email.txt").read_text("utf-8")
    assert '"chat_id"' in (made / "en.telegram.json").read_text("utf-8")
    assert "Please pay" in (made / "en.telegram.txt").read_text("utf-8")
    assert '"title"' in (made / "en.inbox.json").read_text("utf-8")
    assert "New words." in answer.out


async def test_a_preview_shows_the_media_that_are_not_sent_yet(desk: Desk, tmp_path: Path) -> None:
    """An author sees what an SMS says and costs, and what of a text a phone shows, before there is a gateway."""
    text = desk.file("title: Pay by {{ event.time|date }} — or “lose” it\nlink: {{ retry_url }}\naction: Pay\n")
    shown = ("--to", tmp_path / "out", "--files-only")

    sms = await desk.template("preview", "payment.failed", "--channel", "sms", "--text", text, *shown)
    push = await desk.template("preview", "promo.flash_sale", "--channel", "webpush", *shown)
    unknown = await desk.template("preview", "order.shipped", "--channel", "whatsapp", *shown)

    assert sms.code == push.code == 0, sms.err + push.err
    assert 'Pay by 12 Nov 2026 - or "lose" it https://www.example.com/retry/1042\n(1 part, gsm7)' in sms.out
    assert '"segments": 1' in (tmp_path / "out/payment.failed/user/en.sms.json").read_text("utf-8")
    assert "Flash Sale Started!\nUp to 70% off on selected items!" in push.out
    assert '"tag"' in (tmp_path / "out/promo.flash_sale/everyone/en.webpush.json").read_text("utf-8")
    assert unknown.code == 2
    assert "knows no whatsapp" in unknown.err


async def test_a_preview_uses_the_data_it_is_given(desk: Desk, tmp_path: Path) -> None:
    """Whoever has a real event at hand sees that one; one that is no such event is refused."""
    data = tmp_path / "event.json"
    data.write_text('{"user_id": "u", "payment_id": "p", "amount": "7", "currency": "USD", "reason": "no funds"}')
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"user_id": "u"}')
    shown = ("preview", "payment.failed", "--channel", "inbox", "--to", tmp_path / "out", "--data")

    answer = await desk.template(*shown, data)
    refused = await desk.template(*shown, wrong)

    assert "US$7.00" in answer.out
    assert refused.code == 2
    assert "payment_id" in refused.err


async def test_a_preview_can_be_sent_to_ones_own_address(desk: Desk, tmp_path: Path, world: World) -> None:
    """An author sees the mail in a real mail program, and nobody else hears of it; what cannot be sent says why."""
    mail = environment_of(world.settings)
    shown = ("preview", "payment.failed", "--to", tmp_path / "out", "--send-to", "author@example.com")

    answer = await desk.template(*shown, "--channel", "email", **mail)
    refused = await desk.template(*shown, "--channel", "inbox", **mail)
    away = await desk.template(*shown, "--channel", "email", **mail | {"KABAR_SMTP_URL": "smtp://127.0.0.1:1"})

    assert answer.code == 0, answer.err
    (arrived,) = world.simulator.arrived("email")
    assert arrived.to == "author@example.com"
    assert await world.rows("SELECT 1 FROM deliveries") == []
    assert (refused.code, away.code) == (2, 2)
    assert "--send-to needs --channel" in refused.err
    assert "email did not take it: " in away.err
