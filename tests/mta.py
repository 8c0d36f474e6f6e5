"""A real mail server on loopback, for tests: Debian's Exim, installed nowhere. It takes mails and keeps them.

As strict as a relay may be: headers must be what RFC 5322 says, lines no longer than 998 characters. Delivers nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.dev import debian, process
from worker.errors import ServiceUnavailable

_CONFIGURATION = """\
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
exim_user = {user}
exim_group = {user}
primary_hostname = mx.example.com
queue_only = true
keep_environment =
tls_advertise_hosts =
smtputf8_advertise_hosts = *
acl_smtp_rcpt = take
acl_smtp_data = look
begin acl
take:
  accept
look:
  deny !verify = header_syntax
       message = $acl_verify_message
  deny condition = ${{if >{{$max_received_linelength}}{{998}}}}
       message = a line of $max_received_linelength characters
  accept
"""
_IN_NAMESPACE = 1000


@dataclass(frozen=True, slots=True)
class Mta:
    """A running server. Mails to it end in its queue."""

    url: str
    _folder: Path

    def taken(self) -> dict[str, bytes]:
        """The bodies of the mails in the queue by their Message-ID, with LF lines, as they would be passed on."""
        bodies = {}
        for headers in sorted((self._folder / "spool/input").glob("*-H")):
            said = headers.read_text(encoding="utf-8", errors="replace")
            message_id = said.partition("Message-ID: <")[2].partition(">")[0]
            data = headers.with_name(headers.name.removesuffix("-H") + "-D").read_bytes()
            bodies[message_id] = data.partition(b"\n")[2]  # its first line is the mail's name in the queue
        return bodies


@asynccontextmanager
async def mail_server(folder: Path) -> AsyncIterator[Mta]:
    """Run Exim until the block ends. `ServiceUnavailable` where it can neither be fetched nor run."""
    cache = Path(os.environ.get("KABAR_CACHE") or Path.home() / ".cache/kabar") / "exim"
    exim = debian.unpacked("exim4-daemon-light", bring="exim4-.*", cache=cache, finish=_keep)
    wrapper = debian.unpacked("libnss-wrapper", bring="libnss-wrapper", cache=cache, finish=_keep)
    # Exim will not run as root. In a namespace of our own we are somebody else, and the files stay ours.
    is_root = os.geteuid() == 0
    user = _IN_NAMESPACE if is_root else os.geteuid()
    namespace = ["unshare", "--user", f"--map-user={user}", f"--map-group={user}", "--"] if is_root else []
    port = process.free_port()
    (folder / "exim.conf").write_text(_CONFIGURATION.format(folder=folder, user=user))
    # Exim looks for the user that its package would have made.
    (folder / "passwd").write_text(f"Debian-exim:x:{user}:{user}::/:/bin/false\n")
    (folder / "group").write_text(f"Debian-exim:x:{user}:\n")
    environment = {
        "LD_LIBRARY_PATH": ":".join(sorted({str(one.parent) for one in exim.glob("**/lib/*-linux-gnu*/*.so.*")})),
        "LD_PRELOAD": str(next(wrapper.glob("usr/lib/*/libnss_wrapper.so"))),
        "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
        "NSS_WRAPPER_GROUP": str(folder / "group"),
    }
    settings = [f"{name}={value}" for name, value in environment.items()]
    command = [*namespace, *process.dying_with_us(signal.SIGKILL), "env", *settings]
    log = folder / "exim.out"
    running = await process.spawn(
        [*command, exim / "usr/sbin/exim4", "-C", folder / "exim.conf", "-bdf", "-oX", f"127.0.0.1.{port}"],
        log=log,
        environment=dict(os.environ),
    )
    try:
        await process.wait_until_ready(running, lambda: process.accepts(port), name="Exim", log=log, timeout_seconds=20)
        yield Mta(f"smtp://127.0.0.1:{port}", folder)
    finally:
        await process.end(running, signal.SIGTERM, timeout_seconds=10)


def _keep(root: Path) -> None:
    if not root.is_dir():
        raise ServiceUnavailable(f"{root} was not unpacked. Is the disk full?")
