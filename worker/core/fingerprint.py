"""What makes two dead letters the same trouble: stage, event type or channel, class of error, place or code. Pure."""

from __future__ import annotations

import hashlib
import re

_POSITION = re.compile(r"(?<=\.)\d+(?=\.|$)")
# `550 5.1.1`, `400`, `200 invalid_blocks`; else the first word: an exception's class, or a text's file and line.
_CODE = re.compile(r"\d{3}(?: (?:\d\.\d{1,3}\.\d{1,3}|[a-z]+(?:_[a-z]+)+))?(?!\S)|\w+ at \S+|\S+")


def fingerprint(stage: str, subject: str, reason: str, place: str = "") -> str:
    """Answer a short stable digest; no value of a single message may go into it."""
    return hashlib.sha1(f"{stage}\n{subject}\n{reason}\n{place}".encode(), usedforsecurity=False).hexdigest()[:16]


def code_in(detail: str) -> str:
    """Answer what an outcome's detail begins with: a provider's code, or the class and place of a bug."""
    found = _CODE.match(detail)
    return found[0].rstrip(":") if found else ""


def steady(field: str) -> str:
    """Answer the path of a field without the positions in lists, which differ from message to message."""
    return _POSITION.sub("*", field)


def bug(error: Exception) -> str:
    """Name a defect: the error's class, and `file:function` of the innermost of our own frames. Never its words."""
    place = own_frame(error)
    return f"{type(error).__name__} at {place}" if place else type(error).__name__


def own_frame(error: Exception) -> str:
    """Answer `file:function` of the innermost of our own frames; '' where none is ours."""
    place, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "/worker/" in code.co_filename or "/schemas/" in code.co_filename:
            place = f"{code.co_filename.rpartition('/')[2]}:{code.co_name}"
        trace = trace.tb_next
    return place
