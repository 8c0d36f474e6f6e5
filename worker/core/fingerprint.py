"""What makes two dead letters the same trouble: stage, event type or channel, class of error, place or code."""

from __future__ import annotations

import hashlib


def fingerprint(stage: str, subject: str, reason: str, place: str = "") -> str:
    """Answer a short stable digest; no value of a single message may go into it."""
    return hashlib.sha1(f"{stage}\n{subject}\n{reason}\n{place}".encode(), usedforsecurity=False).hexdigest()[:16]
