"""What commands show of an address."""

from __future__ import annotations

import pytest

from worker.commands.screen import masked


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ada@example.org", "a…@example.org"),
        ("https://hooks.slack.com/services/T0/B0/secret", "https://hooks.slack.com/…"),
        ("https://ada:hunter2@hooks.slack.com/services/T0", "https://hooks.slack.com/…"),
        ("https://hooks.slack.com", "https://hooks.slack.com/…"),
        ("https://hooks.example?token=hunter2", "https://hooks.example/…"),
        ("https://hooks.example#hunter2@x", "https://hooks.example/…"),
        ("777000123456", "77…"),
        ("@ada_lovelace", "@a…"),
        ("C0123456789", "C0…"),
    ],
)
def test_an_address_shows_no_more_than_tells_it_from_others(address: str, shown: str) -> None:
    """One sees which of a person's addresses is meant, and cannot write to it."""
    assert masked(address) == shown
