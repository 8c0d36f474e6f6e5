"""The providers' accounts as one process sees them: which rest, who tries them, and when the next send may begin.

The ledger knows the truth, the same for all workers. What a process learns by its own sends it holds to at once and
tells the ledger; what others learn it hears within half a second. An account that is well and has no limit costs none.
Times are seconds on the monotonic clock.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

import structlog

from worker import metrics
from worker.core.outcome import Outcome
from worker.core.trouble import Run, Trouble, probed
from worker.ledger import accounts
from worker.ledger.accounts import Finding, Known, State
from worker.ledger.connection import Ledger

LOOK_SECONDS = 0.5
RAMP_SECONDS = 10.0
"""How long an account that is well again is given more and more, until it is given all."""
PROBE_SECONDS = 30.0
"""How long a prober is waited for: longer than a send takes."""
_UNTRIED_SECONDS = 5.0
_LEAD_SECONDS = 0.1
"""How long before its slot a delivery is leased."""
_STALE_SECONDS = 0.1
"""How late a slot may be used. Later ones are lost: used in a bunch, they would break the limit."""
_GAUGE = {"closed": 0, "open": 1, "probing": 2, "ramping": 2}
_log = structlog.get_logger("accounts")


class _Probe(NamedTuple):
    """Ours to try the account with one delivery; `begun`: it is under way."""

    token: int
    since: float
    begun: bool = False


class _Found(NamedTuple):
    """What our probe found."""

    token: int
    finding: Finding
    trouble: Trouble


class Account:
    """One provider's account.

    `name` is its own in the ledger, `provider` its host, `per_second` what it takes of all workers, 0 for any number.
    `on_change` is called whenever more or less may be sent by it than before.
    """

    def __init__(self, ledger: Ledger, name: str, provider: str, per_second: float = 0.0) -> None:
        self.name = name
        self.provider = provider
        self.is_free = not per_second
        """May be used at once, and as often as one likes."""
        self.on_change: Callable[[], None] = _nothing
        self.on_news: Callable[[], None] = _nothing
        self._ledger = ledger
        self._per_second = per_second
        self._state: State = "closed"
        self._since = 0.0
        self._until = 0.0
        self._run = Run()
        self._slots: deque[float] = deque()
        self._reserving = asyncio.Lock()
        self._trouble: Trouble | None = None
        self._is_asked_for = False
        self._probe: _Probe | None = None
        self._found: _Found | None = None
        self._is_ramped = False

    @property
    def is_in_service(self) -> bool:
        """May be used, if not faster than it takes."""
        return self._state in ("closed", "ramping")

    @property
    def may_probe(self) -> bool:
        """It rests, and the next delivery is to try it."""
        return self._probe is not None and not self._probe.begun

    async def room(self, wanted: int) -> int:
        """Answer how many sends by it may begin within the next moments; reserves them where none is at hand."""
        if not self.is_in_service or not (self._fresh() or await self._reserve(wanted)):
            return 0
        return len(self._slots) if self._slots[0] <= time.monotonic() + _LEAD_SECONDS else 0

    async def turn(self, by: float) -> bool:
        """Wait for the moment at which a send may begin. Answers false where it rests, or that is later than `by`."""
        if self.may_probe and self._probe and time.monotonic() <= by:
            self._probe = self._probe._replace(begun=True)
            return True
        if not self.is_in_service or not (self._fresh() or await self._reserve(1)):
            return False
        if self._slots[0] > by:
            return False
        slot = self._slots.popleft()
        if not self._slots:
            self.on_change()  # the next may be leased
        await asyncio.sleep(slot - time.monotonic())
        return self.is_in_service

    def pause(self) -> float:
        """Answer after how many seconds to look again whether it may be used, if nothing is heard of it."""
        now = time.monotonic()
        if not self.is_in_service:
            return self._until - now if self._until > now else LOOK_SECONDS
        lead = self._slots[0] - _LEAD_SECONDS - now if self._slots else 0.0
        return lead if lead > 0 else LOOK_SECONDS

    def ask(self) -> None:
        """Say that there is something to send: where it has rested long enough, it will be tried."""
        if not (self.is_in_service or self._probe or self._is_asked_for) and time.monotonic() >= self._until:
            self._is_asked_for = True
            self.on_news()

    def note(self, outcome: Outcome, delivery: UUID, begun_at: float) -> bool:
        """Learn from a send. What began before the newest rest tells nothing new. Answers whether it was the probe."""
        if begun_at < self._since:
            return False
        trouble = self._run.note(outcome, delivery)
        if self._probe and self._probe.begun:
            ill = probed(outcome)
            self._found = _Found(self._probe.token, "ill" if ill else "well", ill or Trouble(""))
            self._probe = None
            self.on_news()
            return True
        if trouble and self.is_in_service:
            self._trouble = trouble
            self._enter("open", until=time.monotonic() + (_seconds(trouble) or LOOK_SECONDS))
            _log.warning("account.opened", account=self.name, reason=trouble.reason)
            self.on_news()
        return False

    async def tell(self) -> None:
        """Write to the ledger what was learnt here, and ask for what is wanted."""
        if trouble := self._trouble:
            await accounts.open_account(self._ledger, self.name, trouble.reason, _seconds(trouble))
            self._trouble = None
        self._give_up_idle_probe()
        if found := self._found:
            token, finding, ill = found
            await accounts.tell_probe(self._ledger, self.name, token, finding, ill.reason, _seconds(ill))
            self._found = None
        if self._is_ramped:
            await accounts.close_account(self._ledger, self.name, RAMP_SECONDS)
            self._is_ramped = False
        if self._is_asked_for:
            token = secrets.randbits(62)
            if await accounts.claim_probe(self._ledger, self.name, token, PROBE_SECONDS):
                self._probe = _Probe(token, time.monotonic())
                self._enter("probing")
            self._is_asked_for = False

    def learn(self, known: Known) -> None:
        """Take in how it is, unless we know better by now."""
        if self._trouble or self._found or self._probe:
            return
        self._is_ramped = known.state == "ramping" and known.ramp_seconds >= RAMP_SECONDS
        state: State = "closed" if self._is_ramped else known.state
        self._until = time.monotonic() + known.open_seconds
        if state != self._state:
            _log.info("account.changed", account=self.name, state=state, reason=known.reason)
            self._enter(state, until=self._until)

    def give_up_probe(self) -> None:
        """Let another try it."""
        if self._probe and not self._probe.begun:
            self._found = _Found(self._probe.token, "untried", Trouble(""))
            self._probe = None

    def _give_up_idle_probe(self) -> None:
        if self._probe and time.monotonic() - self._probe.since > _UNTRIED_SECONDS:
            self.give_up_probe()

    def _enter(self, state: State, *, until: float = 0.0) -> None:
        self._state, self._until = state, until
        if state != "closed":
            self._since = time.monotonic()
        self._slots.clear()
        self.is_free = state == "closed" and not self._per_second
        metrics.breaker_state.labels(self.name).set(_GAUGE[state])
        self.on_change()

    def _fresh(self) -> bool:
        oldest = time.monotonic() - _STALE_SECONDS
        while self._slots and self._slots[0] < oldest:
            self._slots.popleft()
        return bool(self._slots)

    async def _reserve(self, wanted: int) -> bool:
        """Reserve a block. Answers false where it rests after all: the next look tells."""
        async with self._reserving:
            if self._slots:
                return True
            block = await self._ledger.persist(
                lambda: accounts.reserve(self._ledger, self.name, wanted, self._per_second, RAMP_SECONDS)
            )
            if block is not None and self.is_in_service:
                first = time.monotonic() + block.delay
                self._slots.extend(first + number * block.spacing for number in range(block.slots))
        return bool(self._slots)


class Accounts:
    """The accounts that a process sends by: looks how they are, and tells what they learnt."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._accounts: dict[str, Account] = {}
        self._news = asyncio.Event()
        self._stopping = False

    def of(self, name: str, provider: str, per_second: float) -> Account:
        """Make an account, and look after it from now on; not so where there is no provider to fail."""
        account = Account(self._ledger, name, provider, per_second)
        if provider:
            self._accounts[name] = account
            account.on_news = self._news.set
            metrics.breaker_state.labels(name).set(0)
        return account

    def stop(self) -> None:
        """Tell what is known, then look no more."""
        self._stopping = True
        for account in self._accounts.values():
            account.give_up_probe()
        self._news.set()

    async def run(self) -> None:
        """Look each half second, and at once when there is news, until `stop` was called."""
        if self._accounts:
            await self._ledger.persist(self._make_known)  # rows may be of settings before these
        while self._accounts and not self._stopping:
            self._news.clear()
            await self._ledger.persist(self._look)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                continue
        await self._ledger.persist(self._tell)

    async def _look(self) -> None:
        await self._tell()
        known = await accounts.look(self._ledger, list(self._accounts))
        if len(known) < len(self._accounts):
            await self._make_known()
        for one in known:
            self._accounts[one.name].learn(one)

    async def _make_known(self) -> None:
        await accounts.make_known(self._ledger, [(one.name, one.provider) for one in self._accounts.values()])

    async def _tell(self) -> None:
        for account in self._accounts.values():
            await account.tell()


def _seconds(trouble: Trouble) -> float | None:
    return trouble.rest.total_seconds() if trouble.rest is not None else None


def _nothing() -> None:
    return
