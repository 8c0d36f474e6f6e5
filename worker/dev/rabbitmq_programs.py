"""Where RabbitMQ's programs come from: this system, or the packages of a Debian release unpacked into a cache.

A version that is not this system's brings its own libraries: its `/usr` is put in the place of ours in a mount
namespace of the one process. Knows nothing of nodes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from asyncio.subprocess import DEVNULL
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.dev import debian
from worker.errors import ServiceUnavailable

SUITES: Final = {"3.10": "bookworm", "4.0": "trixie", "4.3": "forky"}
"""The versions that can be asked for by name, and the Debian release that has each."""
_MADE_AT_INSTALLATION: Final = {"sh": "dash", "awk": "mawk"}
_USR = Path("/usr")


@dataclass(frozen=True, slots=True)
class Programs:
    """Where RabbitMQ's scripts and Erlang's programs are, and the libraries that came with them.

    `prefix` stands before each command: it puts the programs' own `/usr` in the place of the system's.
    """

    scripts: Path
    erlang: Path
    libraries: tuple[Path, ...] = ()
    prefix: tuple[str, ...] = ()


def find_programs(version: str = "") -> Programs:
    """Find RabbitMQ: '' is whichever this system has or its release offers, else one of `SUITES`.

    Fetched into our cache at the first call, which takes seconds. `ServiceUnavailable` says why it cannot be had.
    """
    if version:
        return _of_suite(version)
    installed = _USR / "lib/rabbitmq/bin"
    erl = shutil.which("erl")
    if (installed / "rabbitmq-server").exists() and erl:
        return Programs(installed, Path(erl).resolve().parent)
    bring, cache = "erlang-.*|rabbitmq-server", debian.cache_of("rabbitmq")
    return _programs_in(debian.unpacked("rabbitmq-server", bring=bring, cache=cache, finish=_relocate))


def _of_suite(version: str) -> Programs:
    suite = SUITES.get(version)
    if suite is None:
        raise ServiceUnavailable(f"RabbitMQ {version} is not known here: there are {', '.join(SUITES)}.")
    if suite == debian.release():
        return find_programs()

    def prove(root: Path) -> None:
        brought = sorted(each.name for each in root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*"))
        if not any(each.startswith(f"rabbitmq_server-{version}.") for each in brought):
            raise ServiceUnavailable(f"Debian {suite} has {', '.join(brought) or 'no RabbitMQ'}, not {version}.")
        for name, maker in _MADE_AT_INSTALLATION.items():
            if not (root / "usr/bin" / name).exists():
                (root / "usr/bin" / name).symlink_to(maker)
        _prove(_programs_beside(root))

    cache = debian.cache_of("rabbitmq")
    return _programs_beside(debian.unpacked("rabbitmq-server", bring="", cache=cache, finish=prove, suite=suite))


def _programs_beside(root: Path) -> Programs:
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    exchange = ("sh", "-c", 'mount --bind "$0" /usr && exec "$@"', str(root / "usr"))
    return Programs(
        _USR / "lib/rabbitmq/bin", _USR / "lib/erlang/bin", prefix=("unshare", "--mount", *as_root, "--", *exchange)
    )


def _programs_in(root: Path) -> Programs:
    libraries = sorted({library.parent for library in root.glob("**/lib/*-linux-gnu*/*.so.*")})
    return Programs(root / "usr/lib/rabbitmq/bin", root / "usr/lib/erlang/bin", tuple(libraries))


def _relocate(root: Path) -> None:
    """Let Erlang find itself wherever it lies, and prove that it runs here."""
    programs = _programs_in(root)
    erl = programs.erlang / "erl"
    here = '"$(cd "$(dirname "$0")/.." && pwd -P)"'
    erl.write_text(erl.read_text().replace("ROOTDIR=/usr/lib/erlang", f"ROOTDIR={here}"))
    _prove(programs)


def _prove(programs: Programs) -> None:
    proof = "{ok, _} = application:ensure_all_started(ssl), halt(0)."
    libraries = {"LD_LIBRARY_PATH": ":".join(map(str, programs.libraries))}
    tried = subprocess.run(
        [*programs.prefix, programs.erlang / "erl", "-noinput", "-boot", "start_clean", "-eval", proof],
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
