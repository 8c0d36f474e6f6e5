"""What the folders of texts promise."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from worker.core.content import Content, Markup
from worker.core.template import EventView, PersonView, TextKey
from worker.errors import TemplateInvalid
from worker.texts import BUILT_IN, load_texts, read_sources


def write(folder: Path, path: str, content: bytes) -> None:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def test_a_file_s_path_says_type_audience_locale_and_channel(tmp_path: Path) -> None:
    """Adding a text is adding a file."""
    write(tmp_path, "order.shipped/user/en.txt", b"title: a\n")
    write(tmp_path, "order.shipped/user/pt-BR.slack.txt", b"title: b\n")
    write(tmp_path, "order.shipped/user/.en.txt.swp", b"an editor's own")

    found = [
        (source.event_type, source.audience, source.locale, source.channel, source.text)
        for source in read_sources(tmp_path)
    ]

    assert found == [
        ("order.shipped", "user", "en", "", "title: a\n"),
        ("order.shipped", "user", "pt-BR", "slack", "title: b\n"),
    ]


def test_a_deployment_s_folder_replaces_single_built_in_texts(tmp_path: Path) -> None:
    """A product can say one thing in its own words and keep the rest."""
    write(tmp_path, "order.shipped/user/en.txt", b"title: On its way\n")

    texts = load_texts(BUILT_IN, tmp_path)

    found = texts.render(
        TextKey("order.shipped", "user", "en"),
        Markup.PLAIN,
        "email",
        values={},
        person=PersonView("Ani", "en", "UTC"),
        event=EventView("order.shipped", datetime(2026, 1, 1, tzinfo=UTC)),
    )
    assert found == Content("On its way", "")
    assert texts.has("payment.failed", "user")


@pytest.mark.parametrize(
    ("path", "content", "line"),
    [
        ("order.shipped/en.txt", b"title: a\n", 1),
        ("order.shipped/user/deep/en.txt", b"title: a\n", 1),
        ("order.shipped/user/en.md", b"title: a\n", 1),
        ("order.shipped/user/en.Slack.txt", b"title: a\n", 1),
        ("order.shipped/user/english.txt", b"title: a\n", 1),
        ("order.shipped/user/en.txt", b"title: a\n\n\xff", 3),
        ("order.shipped/user/en.txt", b"title: " + b"a" * 70_000, 1),
        ("order.shipped/user/en.txt", b"titel: a\n", 1),
    ],
)
def test_a_file_that_is_no_text_is_named_with_its_remedy(tmp_path: Path, path: str, content: bytes, line: int) -> None:
    """A misplaced or broken file stops the start instead of being silently left out."""
    write(tmp_path, path, content)

    with pytest.raises(TemplateInvalid) as caught:
        load_texts(tmp_path)

    assert caught.value.path == str(tmp_path / path)
    assert caught.value.line == line
    assert caught.value.remedy


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """A typing error in the folder's name does not pass for a folder without texts."""
    with pytest.raises(TemplateInvalid, match="no such folder"):
        load_texts(tmp_path / "missing")
