"""`kabar status` without an event: what waits where, and which provider rests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.command_line import kabar
from tests.integration.test_ledger import decision, know, write
from worker.ledger import accounts, deliveries
from worker.ledger.connection import Ledger
from worker.ledger.deliveries import Settlement


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    """The ledger as a process opens it."""
    opened = Ledger(database_url)
    await opened.open()
    yield opened
    await opened.aclose()


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    """What a command needs to know of this house."""
    return {
        "KABAR_DATABASE_URL": database_url,
        "KABAR_AMQP_URL": "amqp://127.0.0.1:1/",
        "KABAR_CHANNELS": "inbox,email,telegram",
        "KABAR_EMAIL_FROM": "k@x.test",
        "KABAR_SMTP_URL": "smtp://127.0.0.1:1",
        "KABAR_TELEGRAM_TOKEN": "123456:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr",
        "KABAR_TELEGRAM_API_URL": "http://127.0.0.1:1",
    }


async def busy(ledger: Ledger) -> None:
    """A house in which mails wait, one chat is put off, and Telegram rests."""
    await know(ledger, addresses={"email": ["ani@x.test"], "telegram": ["ani@x.test"]})
    await write(ledger, *(decision(f"e{number}", "email") for number in range(3)))
    await ledger.fetch("UPDATE deliveries SET due_at = now() - interval '4 min'")
    chats = await write(ledger, *(decision(f"t{number}", "telegram") for number in range(2)))
    await deliveries.lease(ledger, chats, 7, 60, spacing_seconds=1.0)
    await accounts.make_known(ledger, [("email", "mail.test"), ("telegram", "api.telegram.test")])
    await accounts.open_account(ledger, "telegram", "provider_unreachable", 600)


async def test_it_tells_what_waits_on_each_channel_and_who_rests(ledger: Ledger, environment: dict[str, str]) -> None:
    """For a person at three in the morning, and for a program."""
    await busy(ledger)

    shown = await kabar(environment, "status")
    told: Any = (await kabar(environment, "status", "--json")).document

    assert shown.code == 0
    channels = {one.pop("channel"): one for one in told["channels"]}
    assert {name: (one["queued"], one["waiting"], one["leased"]) for name, one in channels.items()} == {
        "inbox": (0, 0, 0), "email": (3, 0, 0), "telegram": (0, 1, 1)
    }  # fmt: skip
    assert 290 < channels["email"]["oldest_seconds"]["normal"] < 400
    states = {one["account"]: (one["provider"], one["state"], one["reason"]) for one in told["accounts"]}
    assert states == {
        "email": ("mail.test", "closed", ""), "telegram": ("api.telegram.test", "open", "provider_unreachable"),
    }  # fmt: skip
    for words in ("in service", "rests", "provider_unreachable", "tried in", "min (normal)"):
        assert words in shown.out


async def test_an_empty_house_is_told_in_zeros(environment: dict[str, str]) -> None:
    """Every channel that is switched on is there."""
    told: Any = (await kabar(environment, "status", "--json")).document

    assert [one["channel"] for one in told["channels"]] == ["inbox", "email", "telegram"]
    assert told["accounts"] == []


async def test_a_source_without_an_event_is_an_error(environment: dict[str, str]) -> None:
    """Nobody takes the state of the house for that of a source."""
    answer = await kabar(environment, "status", "--source", "shop")

    assert (answer.code, answer.out) == (2, "")
    assert "give the id too" in answer.err


async def test_the_doctor_names_an_open_breaker_and_what_to_do(ledger: Ledger, environment: dict[str, str]) -> None:
    """Nothing is lost meanwhile, and it says so."""
    await busy(ledger)

    told: Any = (await kabar(environment, "doctor", "--json")).document

    (finding,) = [one for one in told["checks"] if one["check"] == "accounts"]
    assert not finding["ok"]
    assert "telegram by api.telegram.test (provider_unreachable, since 20" in finding["says"]
    assert "email" not in finding["says"]
    assert "nothing is lost" in finding["remedy"]


async def test_an_event_tells_whose_servers_took_it(ledger: Ledger, environment: dict[str, str]) -> None:
    """With several mail servers an operator must know whom to ask."""
    await know(ledger)
    ids = await write(ledger, decision("e1"))
    await deliveries.lease(ledger, ids, 7, 60)
    await deliveries.settle(ledger, [Settlement(ids[0], 7, "sent", provider="mail2.test:2525")], [])

    shown = await kabar(environment, "status", "e1")
    told: Any = (await kabar(environment, "status", "e1", "--json")).document

    assert "mail2.test:2525" in shown.out
    assert told["events"][0]["deliveries"][0]["provider"] == "mail2.test:2525"
