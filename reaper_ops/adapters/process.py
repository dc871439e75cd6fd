"""The one door to other programs: every process of reaper_ops starts here."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reaper_ops.errors import CommandError


@dataclass(frozen=True)
class Result:
    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> Result:
    """Runs argv to its end. A program that is not there, or outlasts `timeout` seconds, raises CommandError."""
    try:
        done = subprocess.run(
            list(argv),
            env={**os.environ, **(env or {})},
            cwd=cwd,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise CommandError(argv[0], "program not found", "install it, or check PATH") from None
    except subprocess.TimeoutExpired:
        raise CommandError(argv[0], f"did not end within {timeout:g} s") from None
    return Result(tuple(argv), done.returncode, done.stdout, done.stderr)


def spawn(argv: Sequence[str], log: str, *, env: Mapping[str, str] | None = None) -> int:
    """Starts argv as a background program in a session of its own, with both outputs in `log`; its pid."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = (
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    )
    try:
        return os.posix_spawnp(argv[0], list(argv), {**os.environ, **(env or {})}, file_actions=actions, setsid=True)
    except FileNotFoundError:
        raise CommandError(argv[0], "program not found", "install it, or check PATH") from None


def stream(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> Result:
    """Runs argv and hands each line of its standard output to `on_line` as it comes.

    Ctrl-C is passed on to the whole process group, which is then waited for, so nothing is left running.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as stderr:
        try:
            process = subprocess.Popen(
                list(argv),
                env={**os.environ, **(env or {})},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except FileNotFoundError:
            raise CommandError(argv[0], "program not found", "install it, or check PATH") from None
        lines = _pump(process, on_line)
        stderr.seek(0)
        return Result(tuple(argv), process.returncode, "".join(lines), stderr.read())


def _pump(process: subprocess.Popen[str], on_line: Callable[[str], None]) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line)
            on_line(line.rstrip("\n"))
    except BaseException:
        os.killpg(process.pid, signal.SIGINT)
        raise
    finally:
        process.stdout.close()
        process.wait()
    return lines
