"""Which dead letters are the same trouble."""

from __future__ import annotations

import pytest

from worker.core.dead_letter import revive
from worker.core.fingerprint import bug, code_in, fingerprint, own_frame, steady


def test_each_part_tells_one_trouble_from_another() -> None:
    """Stage, subject, reason and place each count, and nothing else does."""
    one = fingerprint("settle", "email", "message_rejected", "554 5.6.0")

    assert one == fingerprint("settle", "email", "message_rejected", "554 5.6.0")
    others = {
        fingerprint("lease", "email", "message_rejected", "554 5.6.0"),
        fingerprint("settle", "slack", "message_rejected", "554 5.6.0"),
        fingerprint("settle", "email", "provider_deferred", "554 5.6.0"),
        fingerprint("settle", "email", "message_rejected", "554 5.7.1"),
    }
    assert len(others - {one}) == 4


@pytest.mark.parametrize(
    ("detail", "code"),
    [
        ("550 5.1.1 no such user: <address>", "550 5.1.1"),
        ("451 try again in 17 seconds", "451"),
        ("400 Bad Request: chat not found", "400"),
        ("200 invalid_blocks", "200 invalid_blocks"),
        ("200", "200"),
        ("TimeoutError: ", "TimeoutError"),
        ("KeyError at render.py:_target", "KeyError at render.py:_target"),
        ("KeyError", "KeyError"),
        ("order.shipped/user/en.txt:12: it uses large values too often (version 3)", "order.shipped/user/en.txt:12"),
        ("", ""),
    ],
)
def test_what_a_provider_or_a_bug_is_called_is_found_in_a_detail(detail: str, code: str) -> None:
    """The words behind it change from message to message, the code does not."""
    assert code_in(detail) == code


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("data.items.3.price", "data.items.*.price"),
        ("data.items.12", "data.items.*"),
        ("data.a.1.2.b", "data.a.*.*.b"),
        ("data.line2", "data.line2"),
        ("", ""),
    ],
)
def test_the_position_in_a_list_is_no_trouble_of_its_own(field: str, path: str) -> None:
    """The third item's missing price is the same mistake as the first one's."""
    assert steady(field) == path


def test_a_bug_is_named_by_its_class_and_our_innermost_function() -> None:
    """Not by its words, which may hold what is private; and not by a library's frames."""
    with pytest.raises(TypeError) as ours:
        revive(b"", "[]", "")
    with pytest.raises(ValueError, match="private") as not_ours:
        int("private")

    assert bug(ours.value) == "TypeError at dead_letter.py:revive"
    assert bug(not_ours.value) == "ValueError"
    assert own_frame(not_ours.value) == ""
