"""Traces of events from the producer's span to the provider. Off unless KABAR_TRACES_URL says where they go.

Off, nothing of OpenTelemetry is imported, and a seam costs one `if traces.is_on`. How spans are made: `worker.spans`.
Attributes are the log's keys: never an address, a text or a token.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from worker.core.message import Event
from worker.core.outcome import Outcome
from worker.errors import SettingsInvalid
from worker.ledger.deliveries import Leased
from worker.metrics import Timed

if TYPE_CHECKING:
    from worker.spans import Item, Spans


class Traces:
    """The process's traces. Ask `is_on` before anything else."""

    def __init__(self) -> None:
        self.is_on = False
        self._spans: Spans | None = None

    def open(self, url: str) -> None:
        """Send spans to `url` by OTLP over HTTP from now on."""
        try:
            from worker.spans import Spans  # noqa: PLC0415 - only where traces are wanted
        except ImportError as error:
            raise SettingsInvalid(
                f"KABAR_TRACES_URL is set, and {error.name} is not installed: pip install 'kabar[traces]'"
            ) from None
        self._spans = Spans(url)
        self.is_on = True

    async def aclose(self) -> None:
        """Hand over what waits, within two seconds, and make no more spans. Safe to call twice."""
        self.is_on = False
        spans, self._spans = self._spans, None
        if spans is not None:
            await spans.aclose()

    def of_events(self, timed: Timed, events: Iterable[Event]) -> None:
        """A stage has worked on these events."""
        self._stage(timed, [(one.traceparent, {"event_id": one.id, "event_type": one.type}) for one in events])

    def of_deliveries(self, timed: Timed, leased: Iterable[Leased]) -> None:
        """A stage has worked on these deliveries."""
        self._stage(timed, [(one.traceparent, _keys(one)) for one in leased])

    def of_send(self, leased: Leased, outcome: Outcome, seconds: float) -> None:
        """A channel has answered for this delivery."""
        if self._spans is not None:
            said = {"outcome": type(outcome).__name__.lower(), "reason": getattr(outcome, "reason", "")}
            self._spans.send((leased.traceparent, _keys(leased) | said), seconds)

    def _stage(self, timed: Timed, items: list[Item]) -> None:
        if self._spans is not None and items:
            self._spans.stage(timed.stage, timed.begun_ago(), timed.seconds, items)


def _keys(leased: Leased) -> dict[str, str | int]:
    return {
        "event_id": leased.event_id,
        "event_type": leased.event_type,
        "notification_id": str(leased.notification_id),
        "delivery_id": str(leased.id),
        "channel": leased.channel,
        "lane": leased.lane,
        "attempt": leased.attempt,
    }


traces = Traces()
"""This process's."""
