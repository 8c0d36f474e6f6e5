"""When a broker's connection is taken for lost though it stands, by producers and by Kabar itself.

A channel opened on RabbitMQ 3.10 while a quorum queue elects its leader may turn to the dead one for ever: it stays
open, and refuses or never confirms what is published on it. A new one finds the living.
"""

from __future__ import annotations

from typing import Final

SHORTEST_SECONDS: Final = 1.5
LONGEST_SECONDS: Final = 5.0


class Patience:
    """Short on a connection that has not confirmed anything yet, and longer with each such in a row.

    `seconds`: how long a confirm may take. Times are seconds on the monotonic clock.
    """

    def __init__(self) -> None:
        self.seconds = SHORTEST_SECONDS
        self._next_seconds = SHORTEST_SECONDS
        self._began_at = 0.0

    def begin(self, now: float) -> None:
        """A connection was made."""
        self._began_at = now
        self.seconds = self._next_seconds
        self._next_seconds = min(LONGEST_SECONDS, 2 * self._next_seconds)

    def reward(self) -> None:
        """Something was confirmed: what comes next on this connection may take its time."""
        self.seconds, self._next_seconds = LONGEST_SECONDS, SHORTEST_SECONDS

    def is_over(self, now: float) -> bool:
        """Say whether a refusal may be the connection's fault: on one just made it is not believed to be."""
        return now - self._began_at >= self.seconds
