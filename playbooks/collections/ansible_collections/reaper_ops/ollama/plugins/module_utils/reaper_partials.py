"""Downloads that a killed server left in a state from which it never resumes by itself."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree

SETTLE = 0.3


def damaged(above, name, path):
    """Whether the progress file of a part is truncated; waits briefly, since a server may be writing it."""
    for _ in range(2):
        try:
            with os.fdopen(tree.open_at(above, name, path), "rb") as file:
                return not isinstance(json.loads(file.read().decode("utf-8")), dict)
        except (ValueError, RecursionError):
            time.sleep(SETTLE)
        except OSError:
            return False
    return True


def discard_damaged(digests, models_dir):
    """Removes unfinished blobs with a damaged progress file, which would make every further pull fail with `EOF`."""
    path, removed = os.path.join(models_dir, "blobs"), []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), tree.directory(path) as fd:
        names = sorted(os.listdir(fd))
        for digest in digests:
            partial = digest.replace(":", "-") + "-partial"
            notes = [name for name in names if re.match(re.escape(partial) + "-", name)]
            if any(damaged(fd, name, os.path.join(path, name)) for name in notes):
                for name in [*notes, partial]:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=fd)
                removed.append(digest)
    return removed
