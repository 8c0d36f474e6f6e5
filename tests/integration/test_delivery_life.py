"""The delivery state machine keeps its invariants whatever happens at once. The acts and the model: `delivery_life`."""

from __future__ import annotations

import asyncio
from functools import partial

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.delivery_life import AT_ONCE, DeliveryLife
from worker.ledger.connection import Ledger

_SHORT = settings(max_examples=40, stateful_step_count=15)
"""For every run; `--hypothesis-profile=long` has bounds of its own."""


def test_no_delivery_is_lost_doubled_or_stuck_whatever_happens_at_once(database_url: str) -> None:
    """Many lease, settle, reap, wake, heal, cancel, expire, opt out, replay and publish again, early, late or never."""
    bounds = _SHORT if settings.get_current_profile_name() == "default" else settings()
    quiet = settings(bounds, deadline=None, suppress_health_check=list(HealthCheck))
    ledger = Ledger(database_url, connections=2 * AT_ONCE)
    with asyncio.Runner() as runner:
        runner.run(ledger.open())
        try:
            run_state_machine_as_test(partial(DeliveryLife, runner, ledger), settings=quiet)  # type: ignore[arg-type]  # its documentation takes any factory
        finally:
            runner.run(ledger.aclose())
