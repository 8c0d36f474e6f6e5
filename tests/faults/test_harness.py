"""The harness itself: what it counts is what happened."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.faults.books import Row, tally
from tests.faults.fakes import Entry, Treatment
from tests.faults.rounds import Round, unfinished
from tests.faults.scene import scene

pytestmark = [pytest.mark.faults, pytest.mark.fast]


def row(number: int, state: str, *, reason: str = "", ran_out: int = 0) -> Row:
    return Row(number, "email", state, reason, attempt=1, resends=0, ran_out=ran_out)


def given(number: int, *, accepted: bool = True) -> Entry:
    return Entry("email", number, "ani@scene.test", 0.0, accepted)


def test_the_books_tell_each_kind_of_wrong_apart() -> None:
    """What nobody got, what was got twice, what is not at an end, what is called dead and was got: each is counted."""
    entries = [given(1), given(2), given(2), given(3), given(4), given(5, accepted=False), given(99)]
    rows = [row(1, "sent"), row(2, "sent", ran_out=1), row(3, "dead"), row(4, "queued"), row(5, "refused")]
    rows += [row(6, "sent"), row(8, "unsure"), row(99, "dead")]

    found = tally(range(1, 9), ("email",), entries, rows)

    assert (found.events, found.lost, found.doubled, found.in_flight) == (8, 2, 1, 1)
    assert (found.silent, found.false_dead, found.unsure, found.dead) == (1, 1, 1, 1)
    assert [line.partition(":")[0] for line in found.broken(doubles=1)] == ["lost", "silent", "false_dead"]
    assert "Row(number=6" in found.examples["lost"]
    assert "7" in found.examples["lost"]


async def test_what_is_published_in_peace_is_accepted_once(
    tmp_path: Path, rabbitmq_url: str, database_url: str
) -> None:
    """Without a fault every channel gets every event once, and the three books agree."""
    async with scene(tmp_path, amqp_url=rabbitmq_url, database_url=database_url, workers=1) as stage:
        async with stage.load(per_second=100) as numbers:
            await stage.until_accepted(150)
        await stage.quiet(within=30)
        await stage.fakes.treat("slack", Treatment("answer", 400, "invalid_payload"))
        refused = await stage.publish(5)
        await stage.quiet(within=30)

        books = await stage.tally(numbers)
        assert (books.broken(), books.dead, books.attempts) == ([], 0, 1)
        assert books.events == len(numbers) >= 50
        assert (await stage.tally(refused)).dead == 5


def test_a_round_says_which_of_its_promises_are_broken() -> None:
    """Doubles within the bound are kept promises; one more, or a promise of the fault's own, is a broken one."""
    books = tally([1, 2], ("email",), [given(1), given(1), given(2), given(2)], [row(1, "sent"), row(2, "sent")])

    assert Round("kept", books, 1.0, doubles=2).broken() == []
    assert len(Round("doubled", books, 1.0, doubles=1).broken()) == 1
    assert Round("late", books, 1.0, doubles=2, amiss=("it was late",)).broken() == ["it was late"]
    stuck = unfinished("stuck", "TimeoutError")
    assert orjson.loads(orjson.dumps(stuck.document()))["broken"] == ["did not come to its end: TimeoutError"]
    assert stuck.line().startswith("✗ stuck: events 0, lost 0")
