"""Providers' accounts in a real PostgreSQL: limits that hold over all workers, one prober, a careful return."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.integration.test_ledger import decision, row, write
from worker.ledger import accounts, deliveries
from worker.ledger.accounts import Block, Known
from worker.ledger.connection import Ledger

RAMP = 10.0
NAME = "telegram"


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    """The ledger with one account that is well."""
    opened = Ledger(database_url, connections=10)
    await opened.open()
    await accounts.make_known(opened, [(NAME, "api.telegram.test")])
    yield opened
    await opened.aclose()


async def known(ledger: Ledger) -> Known:
    (found,) = await accounts.look(ledger, [NAME])
    return found


async def failures(ledger: Ledger) -> int:
    ((count,),) = await ledger.fetch("SELECT failures FROM accounts")
    return int(count)


async def rest_is_over(ledger: Ledger) -> None:
    """Move the account's clock."""
    await ledger.fetch("UPDATE accounts SET open_until = now()")


async def reserve(ledger: Ledger, wanted: int = 1000, per_second: float = 100) -> Block | None:
    return await accounts.reserve(ledger, NAME, wanted, per_second, RAMP)


async def test_a_limit_is_handed_out_once_however_many_ask(ledger: Ledger) -> None:
    """Ten workers that reserve at once get slots that lie one behind the other, and nobody's overlap."""
    await ledger.fetch("UPDATE accounts SET next_at = 'tomorrow'")

    blocks = await asyncio.gather(*(reserve(ledger) for _ in range(10)))

    ((ahead,),) = await ledger.fetch("SELECT extract(epoch FROM next_at - 'tomorrow')::float8 FROM accounts")
    assert [block.slots for block in blocks if block] == [25] * 10
    assert ahead == pytest.approx(2.5)


async def test_no_more_is_reserved_than_is_wanted(ledger: Ledger) -> None:
    """Nor than a quarter of a second of the limit, nor less than one."""
    few, many, slow = await reserve(ledger, 3), await reserve(ledger), await reserve(ledger, per_second=0.5)

    assert few
    assert many
    assert slow
    assert (few.slots, many.slots, slow.slots, slow.spacing) == (3, 25, 1, 2)


async def test_what_nobody_used_is_not_saved_up(ledger: Ledger) -> None:
    """After an idle hour no more is sent in a second than ever."""
    await ledger.fetch("UPDATE accounts SET next_at = now() - interval '1 hour'")

    first, second = await reserve(ledger, per_second=0.1), await reserve(ledger, per_second=0.1)

    assert first
    assert second
    assert (first.slots, first.delay, second.slots) == (1, 0, 1)
    assert 5 < second.delay <= 10


async def test_of_many_that_see_trouble_one_opens(ledger: Ledger) -> None:
    """Ten workers whose sends fail at once count as one failure, and nothing can be reserved."""
    await asyncio.gather(*(accounts.open_account(ledger, NAME, "provider_error", None) for _ in range(10)))

    found = await known(ledger)
    assert (found.state, found.reason, await failures(ledger)) == ("open", "provider_error", 1)
    assert 0 < found.open_seconds <= 2
    assert await reserve(ledger) is None


async def test_each_failure_lets_it_rest_longer_up_to_15_seconds(ledger: Ledger) -> None:
    """With full jitter, so that no two accounts keep step."""
    rests: list[float] = []
    for number in range(40):
        await ledger.fetch("UPDATE accounts SET state = 'closed', failures = $1", number)
        await accounts.open_account(ledger, NAME, "down", None)
        rests.append((await known(ledger)).open_seconds)

    assert all(rest <= min(15, 2.0 ** (number + 1)) for number, rest in enumerate(rests))
    assert max(rests) > 8
    assert len(set(rests[10:])) > 20


async def test_a_providers_word_holds_and_is_no_failure(ledger: Ledger) -> None:
    """Retry-After says how long; a later word prolongs, an earlier does not shorten."""
    for seconds in (30, 90, 10):
        await accounts.open_account(ledger, NAME, "rate_limited", seconds)

    found = await known(ledger)
    assert (found.state, await failures(ledger)) == ("open", 0)
    assert found.open_seconds == pytest.approx(90, abs=2)


async def test_one_worker_probes_and_not_before_the_rest_is_over(ledger: Ledger) -> None:
    """Of twenty that ask at once one may."""
    await accounts.open_account(ledger, NAME, "down", 60)
    assert not await accounts.claim_probe(ledger, NAME, 1, 30)
    await rest_is_over(ledger)

    claims = await asyncio.gather(*(accounts.claim_probe(ledger, NAME, token, 30) for token in range(20)))

    assert sum(claims) == 1
    assert (await known(ledger)).state == "probing"


async def test_a_prober_that_dies_is_replaced(ledger: Ledger) -> None:
    """And its late word does not count."""
    await accounts.open_account(ledger, NAME, "down", 0)
    assert await accounts.claim_probe(ledger, NAME, 1, 30)
    await rest_is_over(ledger)

    assert await accounts.claim_probe(ledger, NAME, 2, 30)
    await accounts.tell_probe(ledger, NAME, 1, "well", "", None)

    assert (await known(ledger)).state == "probing"


@pytest.mark.parametrize(
    ("finding", "rest", "state", "count"),
    [("well", None, "ramping", 1), ("ill", None, "open", 2), ("ill", 20.0, "open", 1), ("untried", None, "open", 1)],
)
async def test_what_a_probe_found_is_what_all_hear(
    ledger: Ledger, finding: accounts.Finding, rest: float | None, state: str, count: int
) -> None:
    """Well: it is used again. Ill: it rests, longer than before. Untried: the next may try at once."""
    await accounts.open_account(ledger, NAME, "down", None)
    await rest_is_over(ledger)
    await accounts.claim_probe(ledger, NAME, 1, 30)

    await accounts.tell_probe(ledger, NAME, 1, finding, "down", rest)

    found = await known(ledger)
    assert (found.state, await failures(ledger)) == (state, count)
    if finding == "untried":
        assert await accounts.claim_probe(ledger, NAME, 2, 30)
    if rest:
        assert found.open_seconds == pytest.approx(rest, abs=2)


async def test_an_account_follows_the_settings(ledger: Ledger) -> None:
    """Its host is the one of today, and one that nobody is told to use any more does not rest for ever."""
    await accounts.make_known(ledger, [("email", "one.test"), ("email:2", "two.test")])
    await accounts.open_account(ledger, "email", "down", 60)
    await accounts.open_account(ledger, "email:2", "down", 60)

    await accounts.make_known(ledger, [("email", "three.test")])

    rows = await ledger.fetch("SELECT name, provider, state FROM accounts ORDER BY name")
    assert [tuple(row.values()) for row in rows] == [
        ("email", "three.test", "open"), (NAME, "api.telegram.test", "closed")
    ]  # fmt: skip


async def test_it_rests_since_it_was_opened_however_often_it_is_tried(ledger: Ledger) -> None:
    """An operator reads how long the trouble lasts, and not when it was last looked at."""
    await accounts.open_account(ledger, NAME, "down", 0)
    await ledger.fetch("UPDATE accounts SET changed_at = now() - interval '1 h'")

    await accounts.claim_probe(ledger, NAME, 1, 30)
    await accounts.tell_probe(ledger, NAME, 1, "ill", "down", 0)
    await accounts.open_account(ledger, NAME, "down", 90)
    resting = await _seconds_since_change(ledger)
    await rest_is_over(ledger)
    await accounts.claim_probe(ledger, NAME, 2, 30)
    await accounts.tell_probe(ledger, NAME, 2, "well", "", None)

    assert resting == pytest.approx(3600, abs=30)
    assert await _seconds_since_change(ledger) < 30


async def _seconds_since_change(ledger: Ledger) -> float:
    ((seconds,),) = await ledger.fetch("SELECT extract(epoch FROM now() - changed_at)::float8 FROM accounts")
    return float(seconds)


@pytest.mark.parametrize(
    ("per_second", "ramped", "rate"),
    [(100, 0, 10), (100, 5, 55), (100, 9.99, 100), (100, 60, 100), (0, 0, 20), (0, 3, 160), (0, 60, 20_480)],
)
async def test_what_is_well_again_is_given_more_little_by_little(
    ledger: Ledger, per_second: float, ramped: float, rate: float
) -> None:
    """From a tenth of the limit to all of it in ten seconds, and never above; without one, doubled each second."""
    await ledger.fetch(
        "UPDATE accounts SET state = 'ramping', ramp_from = now() - make_interval(secs => $1)", float(ramped)
    )

    block = await reserve(ledger, per_second=per_second)

    assert block
    assert 1 / block.spacing == pytest.approx(rate, rel=0.05)


async def test_a_whole_ramp_without_trouble_closes_it(ledger: Ledger) -> None:
    """Only then is a failure the first again."""
    await ledger.fetch("UPDATE accounts SET state = 'ramping', failures = 4, ramp_from = now() - interval '9 s'")
    await accounts.close_account(ledger, NAME, RAMP)
    assert (await known(ledger)).state == "ramping"
    await ledger.fetch("UPDATE accounts SET ramp_from = now() - interval '10 s'")

    await asyncio.gather(*(accounts.close_account(ledger, NAME, RAMP) for _ in range(5)))

    assert ((await known(ledger)).state, await failures(ledger)) == ("closed", 0)


async def test_what_comes_too_late_because_its_provider_rests_is_ended_and_says_so(ledger: Ledger) -> None:
    """Also while it rests; what is still in time waits on, and channels that are in service see to it themselves."""
    late, in_time = await write(ledger, decision("e1", NAME), decision("e2", NAME))
    (other,) = await write(ledger, decision("e3", "email"))
    await ledger.fetch("UPDATE deliveries SET expires_at = now() WHERE id = ANY($1::uuid[])", [late, other])
    assert await deliveries.expire(ledger, ["email", NAME], 10) == []
    await accounts.open_account(ledger, NAME, "down", None)

    (ended,) = await deliveries.expire(ledger, ["email", NAME], 10)

    assert (ended.delivery_id, ended.state, ended.reason) == (late, "expired", "account_rests")
    assert (await row(ledger, late))["finished_at"]
    assert [(await row(ledger, one))["state"] for one in (in_time, other)] == ["queued", "queued"]
