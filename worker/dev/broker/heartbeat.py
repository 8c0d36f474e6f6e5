"""Heartbeats of one connection (AMQP 0-9-1 section 4.2.7): speak often enough, and notice who has fallen silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_TICKS_PER_INTERVAL = 2
_SILENT_TICKS_ALLOWED = 4


class Heartbeat:
    """Beats twice in each interval unless something else was sent, and calls `drop` after two silent intervals.

    The connection sets `heard` and `spoke` when bytes come and go.
    """

    def __init__(self, interval_seconds: int, *, beat: Callable[[], None], drop: Callable[[], None]) -> None:
        """Start; an interval of 0 means none, as on the wire."""
        self.heard = self.spoke = True
        self._seconds = interval_seconds / _TICKS_PER_INTERVAL
        self._beat = beat
        self._drop = drop
        self._silent_ticks = 0
        self._timer: asyncio.TimerHandle | None = None
        if interval_seconds:
            self._wait()

    def stop(self) -> None:
        """Beat no more. Safe to call twice."""
        if self._timer:
            self._timer.cancel()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._tick)

    def _tick(self) -> None:
        self._silent_ticks = 0 if self.heard else self._silent_ticks + 1
        if self._silent_ticks >= _SILENT_TICKS_ALLOWED:
            self._drop()
            return
        if not self.spoke:
            self._beat()
        self.heard = self.spoke = False
        self._wait()
