"""The one door to other programs: every process of reaper_ops starts here."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

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


def on_terminal(argv: Sequence[str], *, reads: bool = False) -> Result:
    """Runs argv where it can open the terminal and ask a person; what it prints elsewhere is kept from the screen.

    reads: its standard input is the terminal too.
    """
    try:
        with Path("/dev/tty" if reads else os.devnull).open("rb") as stdin:
            done = subprocess.run(
                list(argv), stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
            )
    except FileNotFoundError:
        raise CommandError(argv[0], "program not found", "install it, or check PATH") from None
    return Result(tuple(argv), done.returncode, "", done.stderr)


def companion(argv: Sequence[str]) -> str:
    """Starts a program that runs until its standard input ends, which is at the end of ours; its first line."""
    try:
        program = subprocess.Popen(
            list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
    except FileNotFoundError:
        raise CommandError(argv[0], "program not found", "install it, or check PATH") from None
    assert program.stdin is not None
    assert program.stdout is not None
    atexit.register(program.wait)
    atexit.register(program.stdin.close)
    with program.stdout as first:
        return first.readline().strip()


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


@dataclass(frozen=True)
class Started:
    """A program that runs; its standard output waits in a pipe until it is read to its end."""

    argv: tuple[str, ...]
    process: subprocess.Popen[str]
    stderr: IO[str]

    def lines(self) -> Iterator[str]:
        """Lines of standard output from the first unread one on, as they come."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield line.rstrip("\n")

    def complaints(self) -> str:
        """What it has written to standard error up to now; its own place in that file stays where it is."""
        return os.pread(self.stderr.fileno(), 1 << 20, 0).decode(errors="replace")

    def finish(self, on_line: Callable[[str], None]) -> Result:
        lines: list[str] = []
        for line in self.lines():
            lines.append(line + "\n")
            on_line(line)
        self.process.wait()
        self.stderr.seek(0)
        return Result(self.argv, self.process.returncode, "".join(lines), self.stderr.read())


PATIENCE = {signal.SIGINT: 20, signal.SIGTERM: 10, signal.SIGKILL: 10}
"""Seconds that a program is given after each signal; one that was started with SIGINT ignored needs the next."""


def _stop(process: subprocess.Popen[str]) -> None:
    """Ends the whole process group, politely first."""
    for number, seconds in PATIENCE.items():
        if process.poll() is None:
            os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)


@contextmanager
def started(argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | None = None) -> Iterator[Started]:
    """Runs argv beside the block. A block that ends by an exception ends the program too.

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
        assert process.stdout is not None
        try:
            yield Started(tuple(argv), process, stderr)
        except BaseException:
            _stop(process)
            raise
        finally:
            process.stdout.close()
            process.wait()


def stream(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> Result:
    """Runs argv and hands each line of its standard output to `on_line` as it comes."""
    with started(argv, env=env, cwd=cwd) as program:
        return program.finish(on_line)
