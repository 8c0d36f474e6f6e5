"""The small HTTP port of every process: /healthz (it lives), /readyz (it can work, or why not), /metrics."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from worker.errors import ServiceUnavailable
from worker.metrics import REGISTRY


class HealthServer:
    """Serves the three pages. `reasons` answers why the process is not ready, empty where it is.

    `measure` is called before the metrics are given out, for those that are looked up and not counted.
    """

    def __init__(
        self, host: str, port: int, reasons: Callable[[], list[str]], measure: Callable[[], None] = lambda: None
    ) -> None:
        self._host = host
        self._reasons = reasons
        self._measure = measure
        self.port = port
        app = web.Application(client_max_size=1024)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """Listen; afterwards `port` is the real one."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self.port).start()
        except OSError as error:
            raise ServiceUnavailable(
                f"{self._host}:{self.port} cannot be listened on ({error.strerror}): set KABAR_HTTP_PORT"
                " to another port, or to 0 for any that is free"
            ) from None
        self.port = self._runner.addresses[0][1]

    async def aclose(self) -> None:
        """Listen no more. Safe to call twice."""
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = self._reasons()
        body = {"status": "not ready" if reasons else "ready", "reasons": reasons}
        return web.Response(body=orjson.dumps(body), status=503 if reasons else 200, content_type="application/json")

    async def _metrics(self, _: web.Request) -> web.Response:
        self._measure()
        return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})
