"""A private RabbitMQ node for tests and measurements: the real broker, installed nowhere.

The node has its own ports, name, cookie and folder, listens on loopback only, and reads or touches nothing of a
system-wide RabbitMQ. Several of them can be a cluster. Knows nothing of Kabar's queues.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from worker.dev import process
from worker.dev.rabbitmq_programs import Programs, find_programs
from worker.errors import ServiceUnavailable

_USER = "kabar"
# Small and quiet: no schedulers that spin while they wait, room for a quarter of the usual number of processes.
_EMULATOR = "+P 262144 +t 1048576 +stbt u +sbwt none +sbwtdcpu none +sbwtdio none"

_HANDSHAKES = 20
_TICK_SECONDS = 10
"""As in deploy/rabbitmq/rabbitmq.conf: nodes wait four times as long for one that hangs, by default a minute."""


@dataclass(frozen=True, slots=True)
class Realm:
    """What the nodes of one cluster share. `schedulers`: how many cores each may use."""

    base_dir: Path
    programs: Programs
    schedulers: int = 1
    password: str = field(default_factory=lambda: secrets.token_hex(16))
    cookie: str = field(default_factory=lambda: secrets.token_hex(16))
    epmd_port: int = field(default_factory=process.free_port)

    @staticmethod
    @asynccontextmanager
    async def open(base_dir: Path, *, schedulers: int, version: str) -> AsyncIterator[Realm]:
        """Find the programs, and run the port mapper by which nodes find one another until the block ends."""
        realm = Realm(base_dir, await asyncio.to_thread(find_programs, version), schedulers)
        await asyncio.to_thread(base_dir.mkdir, parents=True, exist_ok=True)
        log = base_dir / "epmd.log"
        # Started by us and not by a node, so that it is ours to stop: a node's own would outlive it.
        epmd = await process.spawn(realm.dying(realm.programs.erlang / "epmd"), log=log, environment=realm.environment)
        try:
            await process.wait_until_ready(
                epmd, lambda: process.accepts(realm.epmd_port), name="epmd", log=log, timeout_seconds=10
            )
            yield realm
        finally:
            process.kill_group(epmd.pid)
            await epmd.wait()

    @property
    def environment(self) -> dict[str, str]:
        """What every program of the realm is told."""
        return {
            "PATH": f"{self.programs.erlang}:{os.environ.get('PATH', os.defpath)}",
            "LD_LIBRARY_PATH": ":".join(map(str, self.programs.libraries)),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def dying(self, *command: str | Path) -> list[str | Path]:
        """Give the command line of a program that dies with us."""
        # setpriv comes last: the kernel forgets its wish where the prefix makes a user namespace.
        return [*self.programs.prefix, *process.dying_with_us(signal.SIGKILL), *command]


@dataclass(slots=True)
class RabbitMQ:
    """One node. It can be stopped, killed, frozen and started again on the same data; ports and URL stay."""

    realm: Realm
    name: str = "kabar"
    peers: tuple[str, ...] = ()
    """The names of all nodes of its cluster; none where it is alone."""
    port: int = field(default_factory=process.free_port)
    _distribution_port: int = field(default_factory=process.free_port)
    _node: Process | None = None

    @staticmethod
    @asynccontextmanager
    async def start(base_dir: Path, *, schedulers: int = 1, version: str = "") -> AsyncIterator[RabbitMQ]:
        """Run a node until the block ends; its data under `base_dir` are meant for this run alone.

        `schedulers`: how many cores it may use. `version` as for `find_programs`. `ServiceUnavailable` where RabbitMQ
        is neither installed nor can be fetched. At the end the node is killed, for a clean stop takes seconds and
        nobody reads its data again.
        """
        async with Realm.open(base_dir, schedulers=schedulers, version=version) as realm:
            node = RabbitMQ(realm)
            try:
                await node.resume()
                yield node
            finally:
                await node.kill()

    @property
    def base_dir(self) -> Path:
        """The folder of its data, configuration and log."""
        return self.realm.base_dir / self.name

    @property
    def url(self) -> str:
        """The address of the default vhost."""
        return self.url_of("/")

    def url_of(self, vhost: str) -> str:
        """Give the address of a vhost."""
        path = "%2F" if vhost == "/" else vhost
        return f"amqp://{_USER}:{self.realm.password}@127.0.0.1:{self.port}/{path}"

    @property
    def pid(self) -> int:
        """The process id of the running node; `ServiceUnavailable` while it is stopped."""
        if self._node is None:
            raise ServiceUnavailable("The private RabbitMQ node is stopped. Call resume() first.")
        return self._node.pid

    @property
    def is_running(self) -> bool:
        """It was started, and neither stopped nor killed."""
        return self._node is not None

    async def resume(self) -> None:
        """Start a stopped node on its data and return once it accepts connections."""
        await asyncio.to_thread(self._configure)
        log = self.base_dir / "node.log"
        command = self.realm.dying(self.realm.programs.scripts / "rabbitmq-server")
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

    def freeze(self) -> None:
        """Let the node hang: its connections stay open and say nothing. `thaw` wakes it; so does `kill`, for good."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen node go on. Safe to call twice."""
        os.kill(self.pid, signal.SIGCONT)

    async def restart(self) -> None:
        """Stop the node cleanly and start it again: what is durable is still there."""
        await self.stop()
        await self.resume()

    async def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` against this node and give what it printed; `ServiceUnavailable` if it failed."""
        return await self._run(self.realm.programs.scripts / "rabbitmqctl", "-n", f"{self.name}@localhost", *arguments)

    async def raise_alarm(self) -> None:
        """Let the node think that its memory is full: it stops reading from whoever publishes."""
        await self.ctl("set_vm_memory_high_watermark", "0")

    async def clear_alarm(self) -> None:
        """Let the node have its memory back."""
        await self.ctl("set_vm_memory_high_watermark", "0.6")

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
        call = self.realm.programs.erlang / "erl_call"
        command = (call, "-r", "-address", address, "-c", self.realm.cookie, "-e")
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
            *map(str, (*self.realm.programs.prefix, *command)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._environment(),
        )
        printed, complaint = await running.communicate(given.encode())
        if running.returncode != 0:
            told = (printed + complaint).decode(errors="replace").strip()
            raise ServiceUnavailable(f"{Path(command[0]).name} failed on the private RabbitMQ node: {told}")
        return printed.decode()

    def _signal_kill(self) -> None:
        if self._node is not None and self._node.returncode is None:
            process.kill_group(self._node.pid)

    def _configure(self) -> None:
        home = self.base_dir / "home"
        home.mkdir(parents=True, exist_ok=True)
        cookie = home / ".erlang.cookie"
        cookie.unlink(missing_ok=True)
        cookie.write_text(self.realm.cookie)
        cookie.chmod(0o400)
        (self.base_dir / "enabled_plugins").write_text("[].\n")
        (self.base_dir / "advanced.config").write_text("[].\n")
        (self.base_dir / "conf.d").mkdir(exist_ok=True)
        config = self.base_dir / "rabbitmq.conf"
        config.touch(mode=0o600)
        config.write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"default_user = {_USER}\n"
            f"default_pass = {self.realm.password}\n"
            "log.file = false\n"
            "log.console = true\n"
            "disk_free_limit.absolute = 50MB\n"
            "raft.wal_max_size_bytes = 67108864\n" + self._formation()
        )

    def _formation(self) -> str:
        nodes = "".join(
            f"cluster_formation.classic_config.nodes.{number} = {name}@localhost\n"
            for number, name in enumerate(self.peers, 1)
        )
        backend = "cluster_formation.peer_discovery_backend = classic_config\n"
        return f"{backend}{nodes}net_ticktime = {_TICK_SECONDS}\n" if nodes else ""

    def _environment(self) -> dict[str, str]:
        base = self.base_dir
        return self.realm.environment | {
            "HOME": str(base / "home"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": f"{self.name}@localhost",
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
            "RABBITMQ_SERVER_ERL_ARGS": f"{_EMULATOR} +S {self.realm.schedulers}:{self.realm.schedulers}",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # The script then becomes the node instead of standing before it: our signals reach the node itself.
            "RUNNING_UNDER_SYSTEMD": "true",
        }
