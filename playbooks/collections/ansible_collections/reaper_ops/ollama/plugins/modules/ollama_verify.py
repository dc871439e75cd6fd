#!/usr/bin/python
"""Hashes the blobs of the host's model store again, which Ollama itself never does."""

from __future__ import annotations

import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_contents import (
    behind_others,
    chosen,
    examine,
    file_of,
    models_in,
    store_of,
    unnamed,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_progress import Progress, Stopped
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import Trouble
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_tree import acting_as, owner_of

DOCUMENTATION = r"""
module: ollama_verify
short_description: Compare the blobs of a model store with their names
description:
  - Reads at idle I/O priority and the lowest CPU priority, as the owner of the store. Changes nothing.
  - Reads each blob once, however many models share it. Also reads blobs that no manifest lists, since a pull would
    accept them unchecked.
options:
  models: {description: Only the blobs of these models; the default is all., type: list, elements: str, default: []}
  models_dir: {description: The store, as the server names it., type: path, required: true}
  container: {description: The container in which O(models_dir) is a path., type: str}
  progress_file: {description: Snapshot of the progress while the module runs., type: path}
  heartbeat: {description: File that the caller touches; the module ends when it grows old., type: path}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Verify the blobs
  reaper_ops.ollama.ollama_verify:
    models_dir: /var/lib/ollama/models
"""
RETURN = r"""
models:
  description: One row for each model; name, digest of its manifest, bytes, seconds, damaged or missing blobs, error.
  type: list
  elements: dict
  returned: always
unnamed:
  description: Blobs that no manifest lists; digest, bytes, state, problem.
  type: list
  elements: dict
  returned: always
store: {description: The store as a path of the host., type: str, returned: always}
"""
UNNAMED = "(no model)"


class Reader:
    """Reads each blob once and reports progress."""

    def __init__(self, store, progress):
        self.store, self.progress, self.known, self.bytes = store, progress, {}, 0

    def blob(self, digest, size):
        """A row; cached when another model has the blob too."""
        if digest not in self.known:
            state, problem = examine(file_of(self.store, digest), digest, size, lambda at: self.tell(digest, at, size))
            self.known[digest] = {"digest": digest, "bytes": size or 0, "state": state, "problem": problem}
            self.bytes += size or 0
        self.progress.tally.done.add(digest)
        return self.known[digest]

    def tell(self, digest, position, size):
        if position < (size or 0):
            row = {"status": "verifying", "digest": digest, "completed": position, "total": size}
            self.progress.event(row)

    def model(self, row):
        started, before = time.monotonic(), self.bytes
        self.progress.model_starts(row["name"], row["sizes"], None)
        blobs = [self.blob(digest, size) for digest, size in row["sizes"].items()]
        bad = [blob for blob in blobs if blob["state"] != "ok"]
        said = ["blob %s %s" % (blob["digest"].replace(":", "-")[:19], blob["problem"]) for blob in bad]
        found = {key: row[key] for key in ("name", "digest", "known_as")}
        found.update(bytes=self.bytes - before, blobs=bad)
        found.update(changed=False, error=", ".join(([row["error"]] if row["error"] else []) + said))
        return dict(found, seconds=round(time.monotonic() - started, 2), count=len(blobs))

    def rest(self, sizes):
        self.progress.model_starts(UNNAMED, sizes, None)
        return [self.blob(digest, size) for digest, size in sizes.items()]


def check(params):
    store = store_of(params["models_dir"], params["container"])
    if not os.path.isdir(store):
        raise Trouble("%s: no model store; `reaper-ops models pull` creates it" % store)
    progress = Progress(params)
    progress.event({"status": "starting"}, force=True)
    priority = behind_others()
    try:
        with acting_as(owner_of(store)):
            rows = models_in(store)
            reader = Reader(store, progress)
            models = [reader.model(row) for row in chosen(rows, params["models"])]
            sizes, unfinished = unnamed(store)
            others = [] if params["models"] else reader.rest(sizes)
    finally:
        progress.end()
    answer = {"models": models, "unnamed": others, "store": store, "unfinished": unfinished}
    return dict(answer, bytes=reader.bytes, idle=priority, changed=False)


def main():
    spec = {
        "models": {"type": "list", "elements": "str", "default": []},
        "models_dir": {"type": "path", "required": True},
        "container": {"type": "str"},
        "progress_file": {"type": "path"},
        "heartbeat": {"type": "path"},
    }
    module = AnsibleModule(spec, supports_check_mode=True)
    started = time.monotonic()
    try:
        answer = check(module.params)
    except Stopped:
        module.fail_json(msg="the controller is gone; run again", models=[])
    except (Trouble, OSError) as trouble:
        module.fail_json(msg=str(trouble), models=[])
    module.exit_json(seconds=round(time.monotonic() - started, 2), **answer)


if __name__ == "__main__":
    main()
