"""`kabar test`, `lint`, `bench` and `chaos`: what stands between a change and a commit. Works only in a checkout.

Runs the tools as programs and knows nothing of what they look at; their rules are in pyproject.toml.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from worker.dev import process
from worker.errors import KabarError

_ROOT = Path(__file__).parents[2]
_TOOLS = Path(sys.executable).parent
_LINT = {
    "format": ["ruff", "format", "--check", "."],
    "rules": ["ruff", "check", "--quiet", "--output-format=concise", "."],
    "types": ["mypy"],
    "imports": ["lint-imports"],
    "texts": ["python", "-m", "worker.cli", "check"],
}
# One process a core, and one file in one process: what a module's tests share is then made once.
_PYTEST = ["pytest", "--numprocesses=2", "--dist=loadfile"]
_FAULTS = "tests/faults"
_FAST = ["-m", "not faults or fast"]
_LONGER = ["--hypothesis-profile=long"]


class NotACheckout(KabarError):
    """One of them was called on an installed package, where there are no tests and no tools."""


def run_tests(arguments: list[str]) -> int:
    """Lint, then run pytest with these arguments, and give an exit code: 0 only if both are content.

    Of the tests that kill, restart and deceive, only the fast ones run; `--faults`, or naming one of their files, adds
    the others. `--faults` also lets the tests of properties look for longer.
    """
    lint = run_lint()
    chosen = [each for each in arguments if each != "--faults"]
    wants_faults = "--faults" in arguments or any(each.startswith(_FAULTS) for each in chosen)
    longer = _LONGER if "--faults" in arguments else []
    return _wait_for([*_PYTEST, *([] if wants_faults else _FAST), *longer, *chosen]) or lint


def run_lint() -> int:
    """Check format, rules, types, imports and our texts, tell of each, and give an exit code: 0 if all are kept."""
    _require_checkout()
    console = Console(highlight=False)
    with ThreadPoolExecutor() as threads:
        results = list(threads.map(_check, _LINT.values()))
    for name, result in zip(_LINT, results, strict=True):
        console.print(f"[green]✓[/] {name}" if result.returncode == 0 else f"[red]✗ {name}[/]")
        if result.returncode != 0:
            console.print((result.stdout + result.stderr).strip(), markup=False, emoji=False, soft_wrap=True)
    return max(result.returncode for result in results)


def run_bench(arguments: list[str]) -> int:
    """Run the bench with these arguments, and give its exit code: 0 where every bound holds."""
    _require_checkout()
    return _wait_for(["python", "-m", "tests.bench.run", *arguments])


def run_chaos(arguments: list[str]) -> int:
    """Play every fault with these arguments, and give an exit code: 0 where every promise was kept."""
    _require_checkout()
    return _wait_for(["python", "-m", "tests.faults.chaos", *arguments])


def _require_checkout() -> None:
    if not (_ROOT / "pyproject.toml").exists() or not (_ROOT / "tests").is_dir():
        raise NotACheckout(
            "`kabar test`, `lint`, `bench` and `chaos` work on the source. Clone Kabar and run `./kabar test` there."
        )
    if importlib.util.find_spec("pytest") is None:
        raise NotACheckout(
            "The tools for tests are not installed here. Run `./kabar test` (or `uv sync --all-extras`)."
        )


def _wait_for(command: list[str]) -> int:
    """Run a command that cleans up after itself, and stay until it has done so, whatever signal ends us.

    Ctrl-C reaches it directly, for it is in our terminal's foreground too; a polite kill is passed on.
    """
    with subprocess.Popen(_command(command), cwd=_ROOT, env=_environment()) as running:
        signal.signal(signal.SIGTERM, lambda *_: running.terminate())
        while True:
            with suppress(KeyboardInterrupt):
                return running.wait()


def _check(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(command), cwd=_ROOT, env=_environment(), check=False, capture_output=True, text=True)


def _command(command: list[str]) -> list[str | Path]:
    return [*process.dying_with_us(signal.SIGTERM), _TOOLS / command[0], *command[1:]]


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{_TOOLS}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
