"""What every worker says of itself on its port while a fault lasts, and after it."""

from __future__ import annotations

from time import monotonic

import aiohttp

from tests.faults.scene import Scene

_TOLD_WITHIN_SECONDS = 15.0
_WELL = '"ready"'


async def told(stage: Scene, word: str) -> tuple[str, ...]:
    """Ask every worker for its readiness until each names the trouble; answers what they did not do.

    Whatever it is not ready for, it lives: an orchestrator must not kill it.
    """
    return await _all_say(stage, word, ready=False)


async def well(stage: Scene) -> tuple[str, ...]:
    """Ask every worker for its readiness until each is ready; answers what they did not do."""
    return await _all_say(stage, _WELL, ready=True)


async def _all_say(stage: Scene, word: str, *, ready: bool) -> tuple[str, ...]:
    wrong = []
    async with aiohttp.ClientSession() as client:
        for one in stage.workers:
            port = next(line["http_port"] for line in one.lines if line["event"] == "process.ready")
            until, said = monotonic() + _TOLD_WITHIN_SECONDS, (0, "")
            while not _is_said(said, word, ready=ready) and monotonic() < until:
                said = await _get(client, port, "readyz")
            if not _is_said(said, word, ready=ready):
                wrong.append(f"a worker did not say {word}, but {said}")
            if (alive := await _get(client, port, "healthz"))[0] != 200:
                wrong.append(f"a worker that waits is to be killed: {alive}")
    return tuple(wrong)


def _is_said(said: tuple[int, str], word: str, *, ready: bool) -> bool:
    return said[0] == (200 if ready else 503) and word in said[1]


async def _get(client: aiohttp.ClientSession, port: object, page: str) -> tuple[int, str]:
    async with client.get(f"http://127.0.0.1:{port}/{page}") as answer:
        return answer.status, await answer.text()
