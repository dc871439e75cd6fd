"""Downloads that a killed server left in a state from which it never goes on by itself."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import time

SETTLE = 0.3


def damaged(path):
    """Whether the note of a part is cut off; a server that writes it just now is given a moment."""
    for _ in range(2):
        try:
            with open(path, encoding="utf-8") as file:
                return not isinstance(json.load(file), dict)
        except ValueError:
            time.sleep(SETTLE)
        except OSError:
            return False
    return True


def discard_damaged(digests, models_dir):
    """Removes unfinished blobs with a damaged note, over which every further pull would fail with `EOF`."""
    removed = []
    for digest in digests:
        partial = os.path.join(models_dir, "blobs", digest.replace(":", "-") + "-partial")
        notes = glob.glob(glob.escape(partial) + "-*")
        if any(damaged(path) for path in notes):
            for path in [*notes, partial]:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            removed.append(digest)
    return removed
