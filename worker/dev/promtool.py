"""Prometheus' own checker for rules, out of Debian's package: fetched once, installed nowhere."""

from __future__ import annotations

import shutil
from pathlib import Path

from worker.dev import debian
from worker.errors import ServiceUnavailable


def find_promtool() -> Path:
    """Find promtool on this system, else in our cache, else fetch it into the cache, which takes some seconds.

    `ServiceUnavailable` where it can be had in none of these ways.
    """
    if installed := shutil.which("promtool"):
        return Path(installed)
    root = debian.unpacked("prometheus", bring="prometheus", cache=debian.cache_of("prometheus"), finish=_keep_promtool)
    return root / "usr/bin/promtool"


def _keep_promtool(root: Path) -> None:
    """Of a hundred megabytes we need one program, which stands on nothing but the C library."""
    program = root / "usr/bin/promtool"
    if not program.exists():
        raise ServiceUnavailable("Debian's package prometheus has no promtool any more. Install promtool.")
    kept = root.parent / "promtool"
    program.rename(kept)
    shutil.rmtree(root)
    program.parent.mkdir(parents=True)
    kept.rename(program)
