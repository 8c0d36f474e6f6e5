"""What holds on RabbitMQ and on the development broker is tested on both."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from worker.dev.broker import DevelopmentBroker


@pytest.fixture(params=["development", "rabbitmq"])
async def amqp_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Each broker in turn, empty."""
    if request.param == "rabbitmq":
        yield request.getfixturevalue("rabbitmq_url")
        return
    broker = DevelopmentBroker()
    await broker.start()
    yield broker.url
    await broker.aclose()
