"""The delivery state machine under hypothesis: couriers, timers, operators and producers at work on the ledger at once.

Each step is a handful of acts that run side by side, each on a connection of its own. Couriers are honest and
unreliable: they never say "sent" of what they did not send, and may speak long after their lease has run out, or
never. Time is moved by moving `due_at`. What must hold whatever they do stands in `delivery_model`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from schemas.catalogue import EventData, Lane, PersonId, Priority, Route
from tests.integration.delivery_model import DELIVERIES, ORDINARY, PLANS, RARE, UNFINISHED, Act, Hand, Life, honest
from worker.channels.base import Abilities
from worker.core.backoff import Backoff
from worker.core.message import Event, event_key
from worker.core.outcome import Outcome, Released, Sent, UnsurePolicy
from worker.core.plan import Decision, Plan, PlannedDelivery, PlannedNotification, delivery_id, notification_id
from worker.ledger import dead_letters, deliveries
from worker.ledger.connection import Ledger
from worker.ledger.directory import PersonChange, PreferenceChange, apply_changes
from worker.ledger.intake import record, still_queued
from worker.pipeline.settle import Tried, settle

AT_ONCE = 6
_LEASE_SECONDS = 3600
_MOST_ROUNDS = 40
_NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_ABILITIES = Abilities((), 1, UnsurePolicy.RESEND, Backoff(cap=timedelta(minutes=10)))
_DUE = "due_at = now() WHERE id = ANY($1::uuid[]) AND state IN ('waiting', 'queued')"
_RUN_OUT = """
due_at = now() FROM unnest($1::uuid[], $2::bigint[]) AS h (id, token)
WHERE deliveries.id = h.id AND deliveries.token = h.token AND state = 'leased'
"""
_ROWS = """
SELECT d.*, (SELECT count(*) FROM dead_letters l WHERE l.delivery_id = d.id AND l.state = 'open') AS letters
FROM deliveries d
"""


class Told(EventData, type="life.told", category="news", routes=(Route("user", Priority.NORMAL, "email"),)):
    """News for one person."""

    user_id: PersonId


class DeliveryLife(RuleBasedStateMachine):
    """Deliveries of one ledger, from their plan to their end, in the hands of many."""

    def __init__(self, runner: asyncio.Runner, ledger: Ledger) -> None:
        super().__init__()
        self._runner, self._ledger = runner, ledger
        self._lives: dict[UUID, Life] = {}
        self._hands: list[Hand] = []
        self._decisions: list[Decision] = []
        self._tokens = itertools.count(1)
        self._is_dirty = False
        self._story: list[list[Act]] = []

    @initialize(plans=PLANS)
    def plan(self, plans: list[Plan]) -> None:
        """Begin with an empty ledger and one delivery for each of some people."""
        self._run(self._plan(plans))

    @rule(acts=st.lists(ORDINARY | ORDINARY | ORDINARY | ORDINARY | ORDINARY | RARE, min_size=1, max_size=AT_ONCE))
    def at_once(self, acts: list[Act]) -> None:
        """Let several do something at the same time."""
        self._is_dirty = True
        self._story.append(acts)

        async def together() -> None:
            async with asyncio.TaskGroup() as group:
                for act in acts:
                    group.create_task(self._verbs[act.verb](self, act))

        self._run(together())

    @invariant()
    def the_books_agree(self) -> None:
        """Compare every row with what is known from outside."""
        if self._is_dirty:
            self._is_dirty = False
            self._run(self._compare())

    def teardown(self) -> None:
        """Let time pass and ordinary work go on: every row must come to an end."""
        if self._lives:
            self._run(self._finish())

    def _run(self, work: Coroutine[Any, Any, object]) -> None:
        self._runner.run(work)

    async def _plan(self, plans: list[Plan]) -> None:
        await self._ledger.fetch(
            "TRUNCATE people, addresses, preferences, events, notifications, deliveries, attempts, dead_letters, audit"
        )
        self._decisions = [_decision(number, plan) for number, plan in enumerate(plans)]
        people = [PersonChange(_person(n), _NOW, addresses={"email": [_address(n)]}) for n in range(len(plans))]
        await apply_changes(self._ledger, people)
        await record(self._ledger, self._decisions, {one.event.key: 1 for one in self._decisions})
        self._lives = {one.notifications[0].deliveries[0].id: Life() for one in self._decisions}

    # Couriers

    async def _lease(self, act: Act) -> None:
        stopped = {delivery for delivery, life in self._lives.items() if life.is_stopped}
        token, ids = next(self._tokens), self._picked(act)
        leased, _ = await self._ledger.persist(lambda: deliveries.lease(self._ledger, ids, token, _LEASE_SECONDS))
        for one in leased:
            life = self._lives[one.id]
            assert one.id not in stopped, f"{one.id} was leased after it was cancelled, expired or unwanted"
            assert life.hand is None or not life.hand.is_live, f"{one.id} has two holders"
            life.hand = Hand(one)
            life.tries += 1
            self._hands.append(life.hand)

    async def _send(self, act: Act) -> None:
        for hand in self._picked_of(act, self._hands):
            self._accept(hand)

    async def _settle(self, act: Act) -> None:
        await self._say(act.outcome, self._picked_of(act, [one for one in self._hands if one.is_live]))

    async def _speak_late(self, act: Act) -> None:
        """A courier that was frozen, or slow, speaks of leases it does not have any more."""
        await self._say(act.outcome, self._picked_of(act, [one for one in self._hands if not one.is_live]))

    async def _say(self, outcome: Outcome, hands: list[Hand]) -> None:
        outcomes = [honest(outcome, hand) for hand in hands]
        for hand, said in zip(hands, outcomes, strict=True):
            hand.is_live = False
            self._hands.remove(hand)
            if isinstance(said, Sent):
                self._accept(hand)
        tried = [Tried(one.leased, said, _ABILITIES, 0.5) for one, said in zip(hands, outcomes, strict=True)]
        for written, _ in await settle(self._ledger, tried) if tried else ():
            gives_back = isinstance(written.outcome, Released) or not getattr(written.outcome, "costs_attempt", True)
            self._lives[written.leased.id].tries -= gives_back

    def _accept(self, hand: Hand) -> None:
        """The provider takes it, once from each lease."""
        self._lives[hand.leased.id].accepted += not hand.has_sent
        hand.has_sent = True

    async def _crash(self, act: Act) -> None:
        """The courier is never heard of again; its leases stand until they run out."""
        for hand in self._picked_of(act, self._hands):
            self._hands.remove(hand)

    # Timers, and time itself

    async def _wake(self, act: Act) -> None:
        """What these wait for has come: their time, or the minute after which a job is published again."""
        await self._alter(_DUE, self._picked(act))
        await self._ledger.persist(lambda: deliveries.wake(self._ledger, len(act.picks)))

    async def _heal(self, act: Act) -> None:
        lane = list(Lane)[act.picks[0] % len(Lane)]
        for mark in await self._ledger.persist(lambda: deliveries.mark(self._ledger, [("email", lane)])):
            await deliveries.mark_reached(self._ledger, mark)
        await self._ledger.persist(lambda: deliveries.overdue(self._ledger, "email", lane, len(act.picks)))

    async def _lose(self, act: Act) -> None:
        """These leases end before their couriers have spoken, if they ever do."""
        held = [hand for one in self._picked(act) if (hand := self._lives[one].hand) and hand.is_live]
        for hand in held:
            hand.is_live = False
        ids, tokens = [one.leased.id for one in held], [one.leased.token for one in held]
        await self._alter(_RUN_OUT, ids, tokens)

    async def _reap(self, act: Act) -> None:
        await self._ledger.persist(lambda: deliveries.reap(self._ledger, len(act.picks)))

    # Those who change their minds

    async def _cancel(self, act: Act) -> None:
        cancelled = "state = 'cancelled', reason = 'cancelled', due_at = NULL, finished_at = now()"
        await self._alter(f"{cancelled} WHERE id = $1 AND state IN ('waiting', 'queued')", self._picked(act)[0])

    async def _expire(self, act: Act) -> None:
        chosen = self._picked(act)[0]
        await self._alter("expires_at = least(expires_at, now()) WHERE id = $1", chosen)
        self._lives[chosen].is_stopped = True

    async def _opt_out(self, act: Act) -> None:
        wish = PreferenceChange(_person(act.picks[0]), _NOW, "*", "*", enabled=False)
        await self._ledger.persist(lambda: apply_changes(self._ledger, [wish]))
        self._lives[self._picked(act)[0]].is_stopped = True

    async def _publish_again(self, act: Act) -> None:
        again = [self._decisions[number] for number in sorted(act.picks)]
        known = await self._ledger.persist(lambda: record(self._ledger, again, {one.event.key: 1 for one in again}))
        assert set(known) == {one.event.key for one in again}
        await still_queued(self._ledger, known)

    async def _replay(self, act: Act) -> None:
        letters = await self._ledger.fetch(
            "SELECT id FROM dead_letters WHERE state = 'open' AND delivery_id = ANY($1::uuid[])", self._picked(act)
        )
        ids = [letter["id"] for letter in letters]
        for delivery in await dead_letters.revive_deliveries(
            self._ledger, ids, attempts=2, channels=["email"], actor="tester", detail=""
        ):
            self._lives[delivery["id"]].replays += 1

    _verbs: dict[str, Callable[[DeliveryLife, Act], Coroutine[Any, Any, None]]] = {  # noqa: RUF012 - never changed
        "lease": _lease, "send": _send, "settle": _settle, "crash": _crash, "wake": _wake,
        "lose": _lose, "reap": _reap, "speak_late": _speak_late,
        "heal": _heal, "cancel": _cancel, "expire": _expire,
        "opt_out": _opt_out, "publish_again": _publish_again, "replay": _replay,
    }  # fmt: skip

    def _picked(self, act: Act) -> list[UUID]:
        ids = list(self._lives)
        return [ids[number] for number in act.picks]

    def _picked_of(self, act: Act, hands: list[Hand]) -> list[Hand]:
        return [hands[number] for number in act.picks if number < len(hands)]

    async def _alter(self, change: str, *arguments: object) -> None:
        """Do to the rows what time or an operator does."""
        await self._ledger.persist(lambda: self._ledger.fetch(f"UPDATE deliveries SET {change}", *arguments))  # noqa: S608

    async def _compare(self) -> list[asyncpg.Record]:
        rows = await self._ledger.fetch(_ROWS)
        for row in rows:
            life = self._lives[row["id"]]
            wrong = "; ".join(life.objections(row))
            # What ran side by side need not fail again, so all that must be known of it is said the first time.
            assert not wrong, f"{wrong}: {life} {dict(row)} after {self._story}"
        assert len(rows) == len(self._lives)
        return rows

    async def _finish(self) -> None:
        everything = Act("", tuple(range(DELIVERIES)), Sent("r2"))
        for _ in range(_MOST_ROUNDS):
            for verb in ("lose", "reap", "speak_late", "wake", "heal", "lease", "settle"):
                await self._verbs[verb](self, everything)
            if all(row["state"] not in UNFINISHED for row in await self._compare()):
                return
        raise AssertionError(f"after {_MOST_ROUNDS} rounds of ordinary work some deliveries are not at an end")


def _decision(number: int, plan: Plan) -> Decision:
    key, person = event_key("life", f"e{number}"), _person(number)
    payload = {"user_id": person}
    event = Event(key, f"e{number}", "life", Told.info, "life.told", _NOW, payload, Told.model_validate(payload))
    notification = notification_id(key, person, "user")
    planned = PlannedDelivery(delivery_id(notification, "email", _address(number)), "email", _address(number), plan)
    expires_at = datetime.now(UTC) + _HOUR
    return Decision(event, (PlannedNotification(notification, person, "user", expires_at, (planned,)),))


def _person(number: int) -> str:
    return f"p{number}"


def _address(number: int) -> str:
    return f"p{number}@x.test"
