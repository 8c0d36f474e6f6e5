"""Programs from Debian's packages without installing them: fetched by apt, unpacked into a folder of our own.

Touches nothing of the system, needs no root, and starts nothing. Works wherever apt can reach its sources. Knows
nothing of what the packages are for.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from worker.errors import ServiceUnavailable

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# What every Debian system has, so that packages need it without saying so; `setpriv` is in util-linux.
_ESSENTIAL = ("coreutils", "dash", "grep", "hostname", "mawk", "sed", "util-linux")
_UNTRANSLATED = {**os.environ, "LC_ALL": "C"}


def unpacked(package: str, *, bring: str, cache: Path, finish: Callable[[Path], None], suite: str = "") -> Path:
    """Give a folder that holds `package` and what it needs beyond this system, as if `/` were there.

    Fetched into `cache` at the first call; `bring` is a pattern for the names of packages that must come along even if
    the system has them. With `suite`, a Debian release that need not be this system's, all comes along, down to the C
    library. `finish` may change the folder before anybody sees it, and raises if it is of no use. Safe to call at the
    same time from many processes: one fetches, the others wait for it.
    """
    root = cache / f"{package}-{suite or release()}-{platform.machine()}"
    if root.is_dir():
        return root
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "unpacking.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.is_dir():
            with tempfile.TemporaryDirectory(dir=cache, prefix="unfinished-") as scratch:
                unfinished = Path(scratch) / "root"
                packages = _fetch_of(suite, package, Path(scratch)) if suite else _fetch(package, bring, Path(scratch))
                _unpack(packages, unfinished)
                finish(unfinished)
                unfinished.rename(root)
    return root


def cache_of(name: str) -> Path:
    """Give a folder for what is unpacked, in $KABAR_CACHE or in the user's cache."""
    chosen = os.environ.get("KABAR_CACHE")
    return (Path(chosen) if chosen else Path.home() / ".cache/kabar") / name


def release() -> str:
    """Name this system's release, as Debian's archive does."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "unknown")


def _require_apt(package: str) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise ServiceUnavailable(f"This system has no apt to fetch {package} with. Install {package} by its own means.")


def _fetch(package: str, bring: str, scratch: Path) -> list[Path]:
    _require_apt(package)
    told = _download(package, bring, scratch, [])
    if told.returncode != 0:
        # Lists that were never fetched, or are older than the newest packages: fetch some of our own.
        own_lists = _own_lists(scratch)
        _run([*_apt(scratch), *own_lists, "update"])
        told = _download(package, bring, scratch, own_lists)
    if told.returncode != 0:
        raise ServiceUnavailable(
            f"apt could not fetch {package}: {told.stderr.strip()}. Install it, or mend apt's sources."
        )
    return sorted(scratch.glob("*.deb"))


def _fetch_of(suite: str, package: str, scratch: Path) -> list[Path]:
    """Fetch a package and all that it needs from a release that this system's own mirror has too."""
    _require_apt(package)
    sources, nothing = scratch / "sources", scratch / "nothing"
    sources.mkdir()
    nothing.touch()
    (sources / "suite.sources").write_text(
        f"Types: deb\nURIs: {_mirror()}\nSuites: {suite}\nComponents: main\nSigned-By: {_KEYRING}\n"
    )
    alone = ["-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={sources}"]
    options = [*_own_lists(scratch), *alone, "-o", f"Dir::State::status={nothing}"]
    told = _run([*_apt(scratch), *options, "update"])
    if told.returncode == 0:
        download = ["--download-only", "--no-install-recommends", "install", package, *_ESSENTIAL]
        told = _run([*_apt(scratch), *options, *download])
    if told.returncode != 0:
        raise ServiceUnavailable(f"apt could not fetch {package} of Debian {suite}: {told.stderr.strip()}.")
    return sorted((scratch / "archives").glob("*.deb"))


def _mirror() -> str:
    """Give the address of the mirror that this system takes its own release from."""
    told = _run(["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"])
    found = re.search(rf"^{re.escape(release())} (\S+)$", told.stdout, re.MULTILINE)
    if found is None or not _KEYRING.exists():
        raise ServiceUnavailable(
            "apt here has no source of a Debian release, or lacks its keyring, to fetch other releases from."
        )
    return found[1]


def _own_lists(scratch: Path) -> list[str]:
    lists = scratch / "lists"
    (lists / "partial").mkdir(parents=True)
    return ["-o", f"Dir::State::lists={lists}"]


def _download(package: str, bring: str, scratch: Path, options: list[str]) -> subprocess.CompletedProcess[str]:
    """Fetch what a system without any package would need for this one, but for what this system has."""
    nothing = scratch / "nothing"
    nothing.touch()
    bare = ["-o", f"Dir::State::status={nothing}"]
    planned = _run([*_apt(scratch), *options, *bare, "--simulate", "--no-install-recommends", "install", package])
    if planned.returncode != 0:
        return planned
    needed = set(re.findall(r"^Inst (\S+)", planned.stdout, re.MULTILINE))
    present = {each for each in _installed() if not re.fullmatch(bring, each)}
    return _run([*_apt(scratch), *options, "download", *sorted(needed - present)], folder=scratch)


def _apt(scratch: Path) -> list[str]:
    unprivileged = ["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="]
    return ["apt-get", "--yes", *unprivileged, "-o", f"Dir::Cache={scratch}"]


def _installed() -> set[str]:
    # dpkg-query rather than dpkg's file: its order of fields is nobody's promise.
    listed = _run(["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\\n"]).stdout
    return set(re.findall(r"^installed (\S+)$", listed, re.MULTILINE))


def _unpack(packages: list[Path], root: Path) -> None:
    root.mkdir()
    for package in packages:
        told = _run(["dpkg-deb", "--extract", str(package), str(root)])
        if told.returncode != 0:
            raise ServiceUnavailable(f"{package.name} cannot be unpacked: {told.stderr.strip()}. Is the disk full?")


def _run(command: list[str], *, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=_UNTRANSLATED)
