"""The entry of the program: as little as possible before it is known what is asked."""

from __future__ import annotations

import sys

from reaper_ops import __version__


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        print(f"reaper-ops {__version__}")  # noqa: T201 - before click is imported, for speed
        return
    _calm()
    from reaper_ops.cli.program import run, stop_like_ctrl_c

    stop_like_ctrl_c()
    sys.exit(run(sys.argv[1:]))


def _calm() -> None:
    """Saves a tenth of a second: few rounds of garbage collection, none at the end, and no search for plugins."""
    import atexit
    import gc
    import os

    gc.set_threshold(100_000, 50, 50)
    atexit.register(gc.freeze)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
