"""What holds on RabbitMQ and on the development broker is tested on both, and on every RabbitMQ that is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import lend_vhost, rabbitmq_versions
from worker.dev.broker import DevelopmentBroker

_DEVELOPMENT = "development"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "amqp_url" in metafunc.fixturenames:
        names = [f"rabbitmq{version}" for version in rabbitmq_versions(metafunc.config)]
        metafunc.parametrize("amqp_url", [_DEVELOPMENT, *names], indirect=True)


@pytest.fixture
async def amqp_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Each broker in turn, empty."""
    if request.param != _DEVELOPMENT:
        for url in lend_vhost(request.param.removeprefix("rabbitmq")):
            yield url
        return
    broker = DevelopmentBroker()
    await broker.start()
    yield broker.url
    await broker.aclose()
