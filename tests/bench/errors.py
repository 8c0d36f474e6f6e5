"""The one way a measurement ends without figures."""

from __future__ import annotations

from worker.errors import KabarError


class RunFailed(KabarError):
    """A run did not come to its end: the message says which, how far it came, and where to look."""
