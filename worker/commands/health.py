"""`kabar health`: ask a process on this machine whether it lives, for health checks of containers.

Asks over HTTP as anybody else would. Liveness only: a process that waits for its database lives, and a restart would
not help it; whether it can work is what /readyz tells.
"""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException

from worker.errors import ServiceUnavailable, SettingsInvalid

_PATIENCE_SECONDS = 3.0
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked there, not bound there


def ask_health(host: str, port: int) -> str:
    """Ask /healthz of the process that listens on this host and port, and give its answer.

    Raises `ServiceUnavailable` where nothing answers 200 within 3 s of silence, and `SettingsInvalid` for port 0, of
    which nobody knows where it leads.
    """
    if port == 0:
        raise SettingsInvalid("KABAR_HTTP_PORT is 0, any that is free: give it a number, so that it can be asked")
    connection = HTTPConnection(_EVERYWHERE.get(host, host), port, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        answer = response.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        raise ServiceUnavailable(
            f"no Kabar process answers on {host}:{port} ({type(error).__name__}: {error}); is `kabar run` at work,"
            " with the same KABAR_HTTP_PORT?"
        ) from None
    finally:
        connection.close()
    if response.status != 200:  # noqa: PLR2004 - the HTTP status OK
        raise ServiceUnavailable(f"{host}:{port} answers /healthz with {response.status}: restart the process")
    return answer
