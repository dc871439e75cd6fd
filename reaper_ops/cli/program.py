"""The click program around the verbs."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import tempfile
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from reaper_ops import __version__
from reaper_ops.cli import terminal
from reaper_ops.cli.lazy import LazyGroup
from reaper_ops.cli.verbs import HELP, VERBS
from reaper_ops.core.secrets import redact
from reaper_ops.errors import DEFECTS, CommandError, ReaperError
from reaper_ops.formats.visible import one_line


@click.command(
    cls=LazyGroup,
    verbs=VERBS,
    summaries=HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="reaper-ops", message="%(prog)s %(version)s")
def program() -> None:
    """Provision Ollama hosts, keep them healthy, and name the cause when they are not.

    Exit codes: 0 healthy, 1 the run broke, 2 fix the input, 3 a finding is an error, 4 only warnings,
    5 too little could be checked.
    """


def run(argv: list[str]) -> int:
    """Runs the program; all that it prints passes the one place of output."""
    with terminal.guarded(), defects_kept():
        return _run(argv)


def _run(argv: list[str]) -> int:
    """Every error ends here as one message and an exit code."""
    try:
        return _printed(argv)
    except terminal.NotWritten as lost:
        if not lost.is_closed:
            click.echo(f"error: {_sentence(lost)}", err=True)
        return lost.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; nothing is lost: the next run completes what this one began", err=True)
        return 1
    except ReaperError as error:
        for one in getattr(error, "errors", (error,)):
            click.echo(f"error: {_sentence(one)}", err=True)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, it leaves without secrets
        if os.environ.get("REAPER_OPS_DEBUG"):
            click.echo(traceback.format_exc(), err=True)
            return CommandError.exit_code
        return _unexpected(error)


def _printed(argv: list[str]) -> int:
    """Exit code of the verb, once all that it prints is written."""
    try:
        code = int(program.main(args=argv, prog_name="reaper-ops", standalone_mode=False) or 0)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    if sys.stdout is not None:
        sys.stdout.flush()
    return code


@contextmanager
def defects_kept() -> Iterator[None]:
    """What broke in one host's work is told with that host; where it broke goes to a file that is named at the end."""
    kept = _Defects()
    DEFECTS.addHandler(kept)
    try:
        yield
    finally:
        DEFECTS.removeHandler(kept)
        if kept.texts:
            place = _kept("\n\n".join(kept.texts))
            click.echo(f"error: a defect of reaper_ops concerned some hosts; the details are in {place}", err=True)


class _Defects(logging.Handler):
    """The last of them, as text; REAPER_OPS_DEBUG shows each at once."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: deque[str] = deque(maxlen=20)

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))
        if os.environ.get("REAPER_OPS_DEBUG"):
            click.echo(self.texts[-1], err=True)


def stop_like_ctrl_c() -> None:
    """A closed terminal or a kill ends like Ctrl-C: Ansible is stopped too, and nothing runs on unseen."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _sentence(error: object) -> str:
    """A message of several lines, as of Ansible, on one."""
    return one_line(re.sub(r"[ \t]{0,64}\n\s{0,64}", " ", str(error)))


def _unexpected(error: Exception) -> int:
    place = _kept(traceback.format_exc())
    problem = _sentence(f"{type(error).__name__}: {error}")
    click.echo(f"error: this is a defect of reaper_ops: {problem}; the details are in {place}", err=True)
    return CommandError.exit_code


def _kept(text: str) -> str:
    with tempfile.NamedTemporaryFile(prefix="reaper-ops-", suffix=".log", delete=False) as log:
        log.write(redact(text).encode("utf-8", "backslashreplace"))
    return log.name
