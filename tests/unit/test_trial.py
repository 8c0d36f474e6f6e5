"""What trying a text promises: whatever it is, the one who asks goes on and is told."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from worker.core.text_source import Source
from worker.trial import Limits, Trial, try_texts


def source(text: str, locale: str = "en") -> Source:
    return Source(f"mine/order.shipped/user/{locale}.txt", "order.shipped", "user", locale, "", text)


def tried(text: str, **values: str | None) -> list[tuple[str, int, str]]:
    one = source(text)
    return [(found.path, found.line, found.what) for found in try_texts([one], [Trial(one, "a.b", values)])]


def test_a_good_text_has_no_problems() -> None:
    """What is right is let through."""
    assert tried("title: {{ code }}\n\n**{{ code }}**\n", code="A1") == []


def test_each_broken_text_is_named_with_its_line() -> None:
    """An author is told of every file at once, where to look, and what to do."""
    found = try_texts([source("titel: a\n"), source("title: a\n\n{% if %}\n", "id")], [])

    assert [(problem.path, problem.line) for problem in found] == [
        ("mine/order.shipped/user/en.txt", 1),
        ("mine/order.shipped/user/id.txt", 3),
    ]


def test_a_text_that_fails_only_when_it_is_rendered_is_found() -> None:
    """A field that the event does not have, or not as the text needs it, is seen before anybody misses a message."""
    (unknown,) = set(tried("title: a\n\nwell\n{{ no_such }}\n", code="A1"))
    (misused,) = set(tried("title: a\n\n{{ code|round }}\n", code="A1"))

    assert unknown[:2] == ("mine/order.shipped/user/en.txt", 4)
    assert "no_such" in unknown[2]
    assert misused[1] == 3


@pytest.mark.parametrize(
    ("body", "line", "what", "remedy"),
    [
        ("{% for a in [1,2,3,4,5,6] %}\n" + "x" * 60_000 + "\n{% endfor %}", 1, "becomes too long", "shorten it"),
        ("{% for a in code %}" * 60 + "x" + "{% endfor %}" * 60, 3, "it takes too many steps", "repeat less"),
        ("{{ code }}", 1, "prints too much", "fewer of the event's large fields"),
        ("well\n{{ 7 // 0 }}", 4, "it fails when it is rendered", "divide"),
    ],
)
def test_what_is_too_much_for_a_message_is_told_once(body: str, line: int, what: str, remedy: str) -> None:
    """Whatever a render ends with, its author gets file, line and remedy; and once, though several trials meet it."""
    one = source(f"title: t\n\n{body}")
    values: dict[str, JsonValue] = {"code": "12345678" * (10_000 if "large" in remedy else 1)}

    (found,) = try_texts([one], [Trial(one, "a.b", values)] * 3)

    assert (found.path, found.line) == (one.path, line)
    assert what in found.what
    assert one.path not in found.what
    assert remedy in found.remedy


def test_texts_that_lack_the_default_locale_are_refused_together() -> None:
    """A set of texts that leaves a reader without words is no good, however good each is."""
    (found,) = try_texts([source("title: a\n", "id")], [])

    assert found.path == "order.shipped/user/en.txt"


@pytest.mark.parametrize("limits", [Limits(memory_bytes=64 * 1024), Limits(cpu_seconds=0)])
def test_a_trial_that_needs_too_much_ends_and_is_told(limits: Limits) -> None:
    """A text that eats memory or time takes neither the operator's command nor a worker with it."""
    many = "".join(f"{{{{ code }}}} {number} **word** and so on\n" for number in range(300))
    sources = [
        source(f"title: a\n\n{many}", locale) for locale in ("en", "id", *(f"l{letter}" for letter in "abcdefgh"))
    ]

    trials = [Trial(one, "a.b", {"code": "A1"}) for one in sources]

    (found,) = try_texts(sources, trials, limits)

    assert try_texts(sources, trials) == []
    assert found.path.startswith("mine/order.shipped/user/")
    assert "more memory or time" in found.what
