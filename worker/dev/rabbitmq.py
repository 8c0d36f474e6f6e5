"""A private RabbitMQ node for tests and measurements: the real broker, installed nowhere.

Runs the system's RabbitMQ if there is one, else Debian's packages unpacked into a cache. The node has its own ports,
name, cookie and folder, listens on loopback only, and reads or touches nothing of a system-wide RabbitMQ. Knows
nothing of Kabar's queues.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from worker.dev import debian, process
from worker.errors import ServiceUnavailable

_NODE = "kabar@localhost"
_USER = "kabar"
# Small and quiet: no schedulers that spin while they wait, room for a quarter of the usual number of processes.
_EMULATOR = "+P 262144 +t 1048576 +stbt u +sbwt none +sbwtdcpu none +sbwtdio none"

_HANDSHAKES = 20


@dataclass(frozen=True, slots=True)
class Programs:
    """Where RabbitMQ's scripts and Erlang's programs are, and the libraries that came with them."""

    scripts: Path
    erlang: Path
    libraries: tuple[Path, ...] = ()


@dataclass(slots=True)
class RabbitMQ:
    """One node. It can be stopped, killed and started again on the same data; ports and URL stay."""

    base_dir: Path
    programs: Programs
    schedulers: int
    port: int = field(default_factory=process.free_port)
    password: str = field(default_factory=lambda: secrets.token_hex(16))
    _cookie: str = field(default_factory=lambda: secrets.token_hex(16))
    _distribution_port: int = field(default_factory=process.free_port)
    _epmd_port: int = field(default_factory=process.free_port)
    _node: Process | None = None

    @staticmethod
    @asynccontextmanager
    async def start(base_dir: Path, *, schedulers: int = 1) -> AsyncIterator[RabbitMQ]:
        """Run a node until the block ends; its data under `base_dir` are meant for this run alone.

        `schedulers`: how many cores it may use. `ServiceUnavailable` where RabbitMQ is neither installed nor can be
        fetched. At the end the node is killed, for a clean stop takes seconds and nobody reads its data again.
        """
        programs = await asyncio.to_thread(find_programs)
        node = RabbitMQ(base_dir, programs, schedulers)
        await asyncio.to_thread(node._configure)
        epmd = await node._spawn_epmd()
        try:
            await node.resume()
            yield node
        finally:
            node._signal_kill()
            process.kill_group(epmd.pid)
            await node.kill()
            await epmd.wait()

    @property
    def url(self) -> str:
        """The address of the default vhost."""
        return self.url_of("/")

    def url_of(self, vhost: str) -> str:
        """Give the address of a vhost."""
        path = "%2F" if vhost == "/" else vhost
        return f"amqp://{_USER}:{self.password}@127.0.0.1:{self.port}/{path}"

    @property
    def pid(self) -> int:
        """The process id of the running node; `ServiceUnavailable` while it is stopped."""
        if self._node is None:
            raise ServiceUnavailable("The private RabbitMQ node is stopped. Call resume() first.")
        return self._node.pid

    async def resume(self) -> None:
        """Start a stopped node on its data and return once it accepts connections."""
        log = self.base_dir / "node.log"
        command = [*process.dying_with_us(signal.SIGKILL), self.programs.scripts / "rabbitmq-server"]
        self._node = await process.spawn(command, log=log, environment=self._environment())
        await process.wait_until_ready(
            self._node, lambda: process.accepts(self.port), name="RabbitMQ", log=log, timeout_seconds=90
        )

    async def stop(self) -> None:
        """Stop the node as an operator would, within 30 s: clients are told. Safe to call twice."""
        if self._node is not None:
            await process.end(self._node, signal.SIGTERM, timeout_seconds=30)
            self._node = None

    async def kill(self) -> None:
        """Kill the node without a warning, as a power cut would. Safe to call twice."""
        self._signal_kill()
        if self._node is not None:
            await self._node.wait()
            self._node = None

    async def restart(self) -> None:
        """Stop the node cleanly and start it again: what is durable is still there."""
        await self.stop()
        await self.resume()

    async def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` against this node and give what it printed; `ServiceUnavailable` if it failed."""
        return await self._run(self.programs.scripts / "rabbitmqctl", "-n", _NODE, *arguments)

    async def add_vhost(self, name: str) -> str:
        """Make an empty vhost that our user may do everything in, and give its URL."""
        user, vhost, every = f'<<"{_USER}">>', f'<<"{name}">>', '<<".*">>'
        await self._evaluate(
            f"ok = rabbit_vhost:add({vhost}, {user}), "
            f"rabbit_auth_backend_internal:set_permissions({user}, {vhost}, {every}, {every}, {every}, {user})"
        )
        return self.url_of(name)

    async def delete_vhost(self, name: str) -> None:
        """Delete a vhost with everything in it; its clients are disconnected."""
        await self._evaluate(f'rabbit_vhost:delete(<<"{name}">>, <<"kabar">>)')

    async def _evaluate(self, expression: str) -> None:
        # erl_call does in 10 ms what rabbitmqctl, which boots a virtual machine of its own, does in 600. One call in
        # ten is refused at the handshake, whatever the node is doing; the next is not.
        address = f"localhost:{self._distribution_port}"
        call = self.programs.erlang / "erl_call"
        command = (call, "-r", "-address", address, "-c", self._cookie, "-e")
        for patience in range(_HANDSHAKES, -1, -1):
            try:
                answer = await self._run(*command, given=f"{expression}.\n")
                break
            except ServiceUnavailable as error:
                if patience == 0 or "failed to connect" not in str(error):
                    raise
                await asyncio.sleep(0.1)
        if answer.strip() != "{ok, ok}":
            raise ServiceUnavailable(f"RabbitMQ answered {answer} to {expression}")

    async def _run(self, *command: str | Path, given: str = "") -> str:
        running = await asyncio.create_subprocess_exec(
            *map(str, command), stdin=PIPE, stdout=PIPE, stderr=PIPE, env=self._environment()
        )
        printed, complaint = await running.communicate(given.encode())
        if running.returncode != 0:
            told = (printed + complaint).decode(errors="replace").strip()
            raise ServiceUnavailable(f"{Path(command[0]).name} failed on the private RabbitMQ node: {told}")
        return printed.decode()

    async def _spawn_epmd(self) -> Process:
        # Started by us and not by the node, so that it is ours to stop: the node's own would outlive it.
        command = [*process.dying_with_us(signal.SIGKILL), self.programs.erlang / "epmd"]
        log = self.base_dir / "epmd.log"
        epmd = await process.spawn(command, log=log, environment=self._environment())
        await process.wait_until_ready(
            epmd, lambda: process.accepts(self._epmd_port), name="epmd", log=log, timeout_seconds=10
        )
        return epmd

    def _signal_kill(self) -> None:
        if self._node is not None and self._node.returncode is None:
            process.kill_group(self._node.pid)

    def _configure(self) -> None:
        home = self.base_dir / "home"
        home.mkdir(parents=True, exist_ok=True)
        cookie = home / ".erlang.cookie"
        cookie.unlink(missing_ok=True)
        cookie.write_text(self._cookie)
        cookie.chmod(0o400)
        (self.base_dir / "enabled_plugins").write_text("[].\n")
        (self.base_dir / "advanced.config").write_text("[].\n")
        (self.base_dir / "conf.d").mkdir(exist_ok=True)
        config = self.base_dir / "rabbitmq.conf"
        config.touch(mode=0o600)
        config.write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"default_user = {_USER}\n"
            f"default_pass = {self.password}\n"
            "log.file = false\n"
            "log.console = true\n"
            "disk_free_limit.absolute = 50MB\n"
            "raft.wal_max_size_bytes = 67108864\n"
        )

    def _environment(self) -> dict[str, str]:
        base = self.base_dir
        return {
            "PATH": f"{self.programs.erlang}:{os.environ.get('PATH', os.defpath)}",
            "LD_LIBRARY_PATH": ":".join(map(str, self.programs.libraries)),
            "LANG": "C.UTF-8",
            "HOME": str(base / "home"),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": _NODE,
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_BASE": str(base),
            "RABBITMQ_MNESIA_BASE": str(base / "data"),
            "RABBITMQ_LOG_BASE": str(base / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(base / "pid"),
            "RABBITMQ_CONFIG_FILE": str(base / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(base / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(base / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(base / "enabled_plugins"),
            "RABBITMQ_SERVER_ERL_ARGS": f"{_EMULATOR} +S {self.schedulers}:{self.schedulers}",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # The script then becomes the node instead of standing before it: our signals reach the node itself.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


def find_programs() -> Programs:
    """Find RabbitMQ on this system, else in our cache, else fetch it into the cache. Takes seconds the first time."""
    installed = Path("/usr/lib/rabbitmq/bin")
    erl = shutil.which("erl")
    if (installed / "rabbitmq-server").exists() and erl:
        return Programs(installed, Path(erl).resolve().parent)
    root = debian.unpacked("rabbitmq-server", bring="erlang-.*|rabbitmq-server", cache=_cache(), finish=_relocate)
    return _programs_in(root)


def _cache() -> Path:
    chosen = os.environ.get("KABAR_CACHE")
    return (Path(chosen) if chosen else Path.home() / ".cache/kabar") / "rabbitmq"


def _programs_in(root: Path) -> Programs:
    libraries = sorted({library.parent for library in root.glob("**/lib/*-linux-gnu*/*.so.*")})
    return Programs(root / "usr/lib/rabbitmq/bin", root / "usr/lib/erlang/bin", tuple(libraries))


def _relocate(root: Path) -> None:
    """Let Erlang find itself wherever it lies, and prove that it runs here."""
    programs = _programs_in(root)
    erl = programs.erlang / "erl"
    here = '"$(cd "$(dirname "$0")/.." && pwd -P)"'
    erl.write_text(erl.read_text().replace("ROOTDIR=/usr/lib/erlang", f"ROOTDIR={here}"))
    proof = "{ok, _} = application:ensure_all_started(ssl), halt(0)."
    libraries = {"LD_LIBRARY_PATH": ":".join(map(str, programs.libraries))}
    tried = subprocess.run(
        [erl, "-noinput", "-boot", "start_clean", "-eval", proof],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **libraries},
        stdin=DEVNULL,
    )
    if tried.returncode != 0:
        raise ServiceUnavailable(
            f"Erlang from Debian's packages does not run here: {(tried.stdout + tried.stderr).strip()[:500]}. "
            "Install rabbitmq-server on this system."
        )
