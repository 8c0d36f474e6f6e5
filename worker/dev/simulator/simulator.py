"""The simulator as a whole: three fake providers and their pages on two ports of loopback."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from worker.dev.simulator.arrivals import Arrival, Arrivals, ChannelName
from worker.dev.simulator.behaviour import Gate
from worker.dev.simulator.silence import Silence
from worker.dev.simulator.site import Links, Site
from worker.dev.simulator.slack import Slack
from worker.dev.simulator.smtp import SmtpServer
from worker.dev.simulator.telegram import Telegram

_MAX_BODY_BYTES = 1024 * 1024


class Simulator:
    """Fake providers that take every message, show it on pages, and fail on demand. One start, one end."""

    def __init__(self, *, host: str = "127.0.0.1", http_port: int = 0, smtp_port: int = 0) -> None:
        """Take port 0 as: any that is free. Nothing listens before `start`."""
        self._host = host
        self._http_port = http_port
        self._smtp_port = smtp_port
        self._arrivals = Arrivals()
        self._silence = Silence()
        gate = Gate()
        self._smtp = SmtpServer(self._arrivals, gate)
        self._runner = web.AppRunner(self._app(gate), handler_cancellation=True, access_log=None)

    async def start(self) -> None:
        """Listen on both ports. Raises OSError where one is taken, with nothing left open."""
        try:
            self._smtp_port = await self._smtp.start(self._host, self._smtp_port)
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._http_port).start()
        except OSError:
            await self.aclose()
            raise
        self._http_port = self._runner.addresses[0][1]

    async def aclose(self) -> None:
        """Hang up on everybody and stop listening. Safe to call twice; what arrived can still be read."""
        self._silence.end()
        await self._smtp.aclose()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """The pages, without a slash at the end."""
        return f"http://{self._authority(self._http_port)}"

    @property
    def smtp_url(self) -> str:
        """Where mail goes: no TLS, any credentials or none."""
        return f"smtp://{self._authority(self._smtp_port)}"

    @property
    def telegram_api_url(self) -> str:
        """What stands for `https://api.telegram.org`: `/bot<token>/<method>` follows."""
        return f"{self.url}/telegram"

    @property
    def slack_api_url(self) -> str:
        """What stands for `https://slack.com/api`: `/<method>` follows."""
        return f"{self.url}/slack/api"

    def slack_webhook_url(self, name: str) -> str:
        """Answer the incoming webhook of that name; every name has one."""
        return f"{self.url}/slack/services/T000/B000/{quote(name, safe='')}"

    @property
    def arrivals(self) -> list[Arrival]:
        """The newest arrivals of all channels (at most 2,000 each), oldest first."""
        return self._arrivals.kept()

    def arrived(self, channel: ChannelName) -> list[Arrival]:
        """Answer the newest arrivals of one channel (at most 2,000), oldest first."""
        return self._arrivals.kept(channel)

    async def wait_for(self, count: int, timeout_seconds: float, channel: ChannelName | None = None) -> list[Arrival]:
        """Wait until `count` messages have arrived since the start, and answer those kept, oldest first.

        Raises TimeoutError, which says how many did arrive.
        """
        await self._arrivals.wait_for(count, timeout_seconds=timeout_seconds, channel=channel)
        return self._arrivals.kept(channel)

    def _authority(self, port: int) -> str:
        return f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"

    def _app(self, gate: Gate) -> web.Application:
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.add_routes(Telegram(self._arrivals, gate, self._silence).routes())
        app.add_routes(Slack(self._arrivals, gate, self._silence, self.slack_webhook_url).routes())
        app.add_routes(Site(self._arrivals, self._links).routes())
        return app

    def _links(self) -> Links:
        return Links(
            smtp=self.smtp_url,
            telegram_api=self.telegram_api_url,
            slack_api=self.slack_api_url,
            slack_webhook=self.slack_webhook_url("NAME"),
        )
