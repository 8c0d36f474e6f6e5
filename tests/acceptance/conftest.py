"""One whole Kabar for each story."""

from collections.abc import AsyncIterator

import pytest

from tests.acceptance.world import World, a_world


@pytest.fixture
async def world(database_url: str, rabbitmq_url: str) -> AsyncIterator[World]:
    """A Kabar with every role and channel."""
    async with a_world(database_url, rabbitmq_url) as made:
        yield made
