"""A plan file on the controller: written in one step and readable by its owner alone; read with a bound."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from reaper_ops import __version__
from reaper_ops.core.provision import plan_file
from reaper_ops.core.provision.plan_file import PlanFile
from reaper_ops.errors import CommandError, ReaperError

MOST_BYTES = 64 << 20


def write(path: Path, plan: PlanFile) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(plan_file.dump(plan))
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CommandError(str(path), f"cannot be written ({error.strerror})", "name another by --out") from None


def read(path: Path) -> PlanFile:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ReaperError(str(path), "is not a regular file", "name the file that `plan --out` wrote")
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ReaperError(str(path), f"cannot be read ({error.strerror})", "check --plan") from None
    if len(data) > MOST_BYTES:
        raise ReaperError(str(path), f"is larger than {MOST_BYTES >> 20} MiB: no plan file", plan_file.AGAIN)
    return plan_file.parse(str(path), data.decode("utf-8", "replace"), __version__)
