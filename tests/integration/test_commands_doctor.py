"""`kabar doctor`: it finds what is wrong, says what to do, changes nothing and gives no secret away."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import aio_pika
import asyncpg
import orjson

from tests.acceptance.world import TOKEN, a_world
from tests.integration.command_line import Answer, environment_of, kabar
from worker.core.text_source import Place
from worker.dev.broker import DevelopmentBroker
from worker.ledger.connection import Ledger
from worker.ledger.texts import publish

AWAY = {
    "KABAR_AMQP_URL": "amqp://u:hidden-a@127.0.0.1:1/",
    "KABAR_DATABASE_URL": "postgresql://u:hidden-b@127.0.0.1:1/x",
}


class Check(NamedTuple):
    """What one line of the answer says."""

    is_well: bool
    says: str
    remedy: str


def checks(answer: Answer) -> dict[str, Check]:
    """Answer the checks by name; fails where the document contradicts itself or the exit code."""
    document = orjson.loads(answer.out)
    found = {one["check"]: Check(one["ok"], one["says"], one["remedy"]) for one in document["checks"]}
    assert document["ok"] == all(check.is_well for check in found.values()) == (answer.code == 0)
    assert all(check.is_well != bool(check.remedy) for check in found.values())
    return found


async def test_where_all_is_well_it_says_so_and_shows_no_secret(database_url: str, rabbitmq_url: str) -> None:
    """A healthy deployment passes every check, provider by provider."""
    async with a_world(database_url, rabbitmq_url) as world:
        environment = environment_of(world.settings)

        shown = await kabar(environment, "doctor")
        told = await kabar(environment, "doctor", "--json")

    assert (shown.code, shown.err) == (0, "")
    assert "✗" not in shown.out
    found = checks(told)
    assert found.keys() == {
        "settings", "database", "connections", "schema", "backlog", "accounts", "published texts", "broker",
        "publishing", "topology", "inbox", "email", "telegram", "slack", "texts",
    }  # fmt: skip
    assert found["broker"].says.startswith("RabbitMQ 3.")
    assert found["backlog"].says == "nothing waits"
    for secret in (TOKEN, TOKEN.partition(":")[2], rabbitmq_url, database_url):
        assert secret not in shown.out + told.out


async def test_what_was_never_set_up_is_named_with_the_command_that_does_it(
    empty_database_url: str, rabbitmq_url: str
) -> None:
    """On the first day the doctor says: migrate, then run. Looking creates nothing."""
    environment = {"KABAR_AMQP_URL": rabbitmq_url, "KABAR_DATABASE_URL": empty_database_url}

    for _ in range(2):
        found = checks(await kabar(environment, "doctor", "--json"))

        assert found["schema"].remedy == "run `kabar migrate`"
        assert found["topology"].says.startswith("missing: kabar.events")
        assert "kabar run" in found["topology"].remedy
        assert found["broker"].is_well
        assert found["database"].is_well


async def test_a_schema_that_a_newer_version_made_is_no_fault(database_url: str, rabbitmq_url: str) -> None:
    """While an upgrade is rolled out, the old version finds the new schema well, and `kabar migrate` leaves it."""
    operator = await asyncpg.connect(database_url)
    await operator.execute("UPDATE alembic_version SET version_num = '9999'")
    await operator.close()
    async with a_world(database_url, rabbitmq_url) as world:
        environment = environment_of(world.settings)

        migrated = await kabar(environment, "migrate")
        found = checks(await kabar(environment, "doctor", "--json"))

    assert (migrated.code, migrated.out) == (0, "the schema is at 9999, made by a newer Kabar\n")
    assert found["schema"] == Check(is_well=True, says="at 9999, made by a newer Kabar", remedy="")


async def test_a_queue_with_other_arguments_is_named(database_url: str, rabbitmq_url: str) -> None:
    """A queue that would keep a worker from starting is found before a worker is started."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("kabar.suspect", durable=True)
        await channel.declare_exchange("kabar.status", "fanout", durable=True)

    answer = await kabar({"KABAR_AMQP_URL": rabbitmq_url, "KABAR_DATABASE_URL": database_url}, "doctor")

    assert answer.code == 1
    assert "with other arguments: kabar.status, kabar.suspect" in answer.out
    assert "rabbitmqctl delete_queue" in answer.out


async def test_services_that_are_away_are_each_named_without_their_passwords() -> None:
    """One broken part does not hide the others."""
    more = {
        "KABAR_CHANNELS": "inbox,email",
        "KABAR_SMTP_URL": "smtp://u:hidden-c@127.0.0.1:1",
        "KABAR_EMAIL_FROM": "k@x.org",
    }

    answer = await kabar(AWAY | more, "doctor", "--json")

    found = checks(answer)
    assert {name for name, check in found.items() if not check.is_well} == {"database", "broker", "email"}
    assert "KABAR_DATABASE_URL" in found["database"].remedy
    assert "KABAR_AMQP_URL" in found["broker"].remedy
    assert "hidden" not in answer.out + answer.err


async def test_wrong_passwords_are_told_from_services_that_are_away(database_url: str, rabbitmq_url: str) -> None:
    """The remedy for a wrong password, vhost or database name is not to restart the service."""
    for amqp, says in ((_with_user(rabbitmq_url, "nobody:wrong"), "password"), (rabbitmq_url + "-none", "vhost")):
        found = checks(
            await kabar({"KABAR_AMQP_URL": amqp, "KABAR_DATABASE_URL": database_url + "_none"}, "doctor", "--json")
        )

        assert says in found["broker"].says
        assert "no database of this name" in found["database"].says


async def test_a_wrong_setting_is_the_first_thing_it_says() -> None:
    """Without settings nothing else can be checked; every variable at fault is named."""
    answer = await kabar({"KABAR_DATABASE_URL": "mysql://u:hidden@h/x", "KABAR_CHANELS": "inbox"}, "doctor")
    ports = {"KABAR_AMQP_URL": "amqp://u:hidden@h:5o72/", "KABAR_DATABASE_URL": "postgresql://u:hidden@h:70000/x"}
    unreadable = await kabar(ports, "doctor")
    lacking = await kabar(AWAY | {"KABAR_CHANNELS": "telegram"}, "doctor")

    assert answer.code == lacking.code == 1
    for name in ("KABAR_AMQP_URL is not set", "KABAR_DATABASE_URL: expected", "KABAR_CHANELS is no setting"):
        assert name in answer.out
    assert "KABAR_TELEGRAM_TOKEN is not set" in lacking.out
    for name in ("KABAR_AMQP_URL: expected", "KABAR_DATABASE_URL: expected"):
        assert name in unreadable.out
    assert "hidden" not in answer.out + unreadable.out


async def test_a_provider_that_rejects_us_is_named(database_url: str, rabbitmq_url: str) -> None:
    """Wrong credentials of one channel are found before the first message."""
    async with a_world(database_url, rabbitmq_url) as world:
        environment = environment_of(world.settings)
        token = {"KABAR_SLACK_TOKEN": "xoxb-hidden", "KABAR_SLACK_API_URL": world.simulator.url + "/nowhere"}

        answer = await kabar(environment | token, "doctor", "--json")

    found = checks(answer)
    assert [name for name, check in found.items() if not check.is_well] == ["slack"]
    assert "token" in found["slack"].remedy
    assert "hidden" not in answer.out


async def test_an_event_type_without_a_text_is_named(database_url: str, rabbitmq_url: str, tmp_path: Path) -> None:
    """A product's own event type that nobody wrote words for is found before it is published."""
    (tmp_path / "product_events.py").write_text(
        "from schemas.catalogue import EventData, PersonId, Priority, Route\n\n\n"
        "class Told(EventData, type='shop.told', category='shop', routes=(Route('user', Priority.LOW, 'inbox'),)):\n"
        "    user_id: PersonId\n\n\n"
        "class Untold(EventData, type='shop.untold', category='shop', routes=(Route('user', Priority.LOW, 'sms'),)):\n"
        "    user_id: PersonId\n"
    )
    environment = {
        "KABAR_AMQP_URL": rabbitmq_url, "KABAR_DATABASE_URL": database_url,
        "KABAR_EVENT_MODULES": "product_events", "PYTHONPATH": str(tmp_path),
    }  # fmt: skip

    found = checks(await kabar(environment, "doctor", "--json"))

    assert found["texts"].says == "no text for shop.told/user"


async def test_a_published_text_that_no_longer_fits_its_event_is_named(database_url: str, rabbitmq_url: str) -> None:
    """It was good when it was published, or somebody wrote it past the command; the next delivery would find out."""
    ledger = Ledger(database_url)
    await ledger.open()
    good, bad = (Place("payment.failed", "user", locale, "") for locale in ("id", "en"))
    texts = [(good, "title: Gagal\n"), (bad, "title: Failed\n\nBecause {{ cause }}.\n")]
    await publish(ledger, texts, author="ani", note="")
    environment = {"KABAR_AMQP_URL": rabbitmq_url, "KABAR_DATABASE_URL": database_url}

    found = checks(await kabar(environment, "doctor", "--json"))
    await publish(ledger, [(bad, None)], author="ani", note="")
    mended = checks(await kabar(environment, "doctor", "--json"))

    await ledger.aclose()
    assert found["published texts"].says == "payment.failed/user/en.txt@1:3: the event has no field 'cause'"
    assert found["published texts"].remedy.endswith("`kabar template edit payment.failed/user/en.txt`, then publish it")
    assert mended["published texts"] == Check(is_well=True, says="1 in force, all good", remedy="")


async def test_overdue_work_is_named(database_url: str, rabbitmq_url: str) -> None:
    """What should have been sent and was not is a finding, not a number in a corner."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "INSERT INTO deliveries (id, notification_id, event_key, person_id, channel, address, lane, state,"
        " attempt_limit, on_unsure, due_at, expires_at)"
        " SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'p', 'inbox', 'p', 'normal', 'waiting', 8,"
        " 'hold', now() - interval '2 min', now() + interval '1 day' FROM generate_series(1, 3)"
    )
    await connection.close()

    found = checks(
        await kabar({"KABAR_AMQP_URL": rabbitmq_url, "KABAR_DATABASE_URL": database_url}, "doctor", "--json")
    )

    assert found["backlog"].says == "3 waiting; overdue for more than a minute: 3 waiting"
    assert "timer" in found["backlog"].remedy


async def test_the_development_broker_is_named_as_what_it_is(database_url: str) -> None:
    """Nobody takes the broker that keeps nothing on disk for the real one."""
    broker = DevelopmentBroker()
    await broker.start()
    environment = {"KABAR_AMQP_URL": broker.url, "KABAR_DATABASE_URL": database_url}

    found = checks(await kabar(environment, "doctor", "--json"))

    await broker.aclose()
    assert found["broker"].is_well
    assert "not for production" in found["broker"].says


def _with_user(url: str, user: str) -> str:
    return f"amqp://{user}@{url.rpartition('@')[2]}"
