"""The outcome for each model, as the host records it."""

from __future__ import annotations

import json
import os
import time

from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import read_json, write_atomic
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import brief


def keep(path, row):
    """Records how the pull of a model ended, for a later diagnosis; a full disk loses only this record."""
    if not path or not os.path.isdir(os.path.dirname(path)):
        return
    before = read_json(path)
    rows = before if isinstance(before, dict) else {}
    known = rows.get(row["name"])
    digest = known.get("digest", "") if row["error"] and isinstance(known, dict) else row["digest"]
    rows[row["name"]] = {"error": brief(row["error"], 1000), "time": int(time.time()), "digest": digest}
    if not row["error"]:
        rows[row["name"]].update(bytes=row["bytes"], seconds=row["seconds"])
    try:
        write_atomic(path, json.dumps(rows, indent=1, sort_keys=True) + "\n", 0o600)
    except OSError as error:
        row["notes"].append("%s cannot be written: %s" % (path, error))
