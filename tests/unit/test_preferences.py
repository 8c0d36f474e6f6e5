"""Which of a person's preferences decides."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.preferences import UNASKED, Wish, wish

SCOPES = ("type:order.shipped", "category:order", "*")
CHANNELS = ("email", "*")
# From the narrowest to the widest: the scope counts before the channel.
ORDER = list(itertools.product(SCOPES, CHANNELS))


def ask(preferences: dict[tuple[str, str], bool]) -> Wish:
    return wish(preferences, "order.shipped", "order", "email")


def test_without_a_preference_the_answer_is_yes() -> None:
    """Nobody is opted out unasked."""
    assert ask({}) == UNASKED == (True, "default")


@pytest.mark.parametrize("narrow", range(len(ORDER)))
def test_the_narrowest_preference_decides(narrow: int) -> None:
    """Whatever all wider ones say: the scope counts first, then the channel."""
    scope, channel = ORDER[narrow]
    no = dict.fromkeys(ORDER[narrow + 1 :], True) | {ORDER[narrow]: False}
    yes = dict.fromkeys(ORDER[narrow + 1 :], False) | {ORDER[narrow]: True}

    assert ask(no) == (False, f"{scope} on {channel}")
    assert ask(yes) == (True, f"{scope} on {channel}")


def test_what_is_about_something_else_does_not_count() -> None:
    """Other types, categories and channels are another matter."""
    others = {("type:order.lost", "*"): False, ("category:billing", "email"): False, ("*", "telegram"): False}

    assert ask(others) == UNASKED


@given(st.dictionaries(st.sampled_from(ORDER), st.booleans()))
def test_exactly_the_first_in_order_decides(preferences: dict[tuple[str, str], bool]) -> None:
    """For every combination of what a person may have set."""
    deciding = next((key for key in ORDER if key in preferences), None)

    wanted = preferences[deciding] if deciding else True
    assert ask(preferences) == (wanted, " on ".join(deciding) if deciding else "default")
