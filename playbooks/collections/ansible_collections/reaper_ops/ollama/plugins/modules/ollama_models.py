#!/usr/bin/python
"""Removes models from the host's own server, or loads them into its memory."""

from __future__ import annotations

import json
import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_answers
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_alone import alone
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble, read_json, write_atomic
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_models import clear_leases, delete, listed, send
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import digest_of, same_name

DOCUMENTATION = r"""
module: ollama_models
short_description: Remove models from a running Ollama server, or load them
description:
  - Handles each model by itself; one that fails does not stop the others. A missing model counts as removed.
  - A load that has begun continues when the module or its controller is stopped.
options:
  remove: {description: Names to remove., type: list, elements: str, default: []}
  preload: {description: Names to load., type: list, elements: str, default: []}
  keep_alive: {description: How long a loaded model stays; -1 keeps it forever., type: str, default: "-1"}
  load_timeout: {description: Seconds that a load may take., type: int, default: 3600}
  url: {description: The host's own server., type: str, default: "http://127.0.0.1:11434", aliases: [base_url]}
  record: {description: JSON file that records what was pulled., type: path}
  lock_file: {description: Lock file that blocks a pull while models are removed., type: path}
  owner: {description: Who runs this; shown to anyone the lock file blocks., type: str, default: ""}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Keep a model in memory
  reaper_ops.ollama.ollama_models:
    preload: ["llama3:8b"]
"""
RETURN = r"""
models:
  description: One row for each model; name, changed, seconds, error, next_step.
  type: list
  elements: dict
  returned: always
"""
STEPS = {"remove": "check the server's log", "preload": "`reaper-ops doctor` finds out why a model does not load"}


def remove(name, there, module):
    """Whether the model was there."""
    spelled = [one for one in there if same_name(one, name)]
    if spelled and not module.check_mode:
        delete(module.params["url"], spelled[0])
    return bool(spelled)


def resident(url):
    """Names of loaded models."""
    found = reaper_answers.rows(send(url, "GET", "/api/ps", None))
    if found is None:
        raise Trouble("%s/api/ps returns no list of models" % url)
    return {row["name"] for row in found[0]}


def apart(work):
    """Runs the work in a session of its own and waits for it, so that stopping this process does not stop the work."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        try:
            work()
            said = "done"
        except BaseException as error:
            said = str(error) or repr(error)
        os.write(writing, said.encode("utf-8", "replace"))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        said = file.read().decode("utf-8", "replace")
    os.waitpid(child, 0)
    if said != "done":
        raise Trouble(said or "the process that waited for it was killed")


def preload(name, there, module):
    """Whether the model had to be loaded. A client that disconnects ends the load, so ours outlives its controller."""
    params = module.params
    if digest_of(name, there) is None:
        raise Trouble("%s is not on the host" % name)
    loaded = any(same_name(name, one) for one in resident(params["url"]))
    if not module.check_mode:
        keep = params["keep_alive"]
        body = {"model": name, "keep_alive": int(keep) if keep.lstrip("-").isdigit() else keep, "stream": False}
        apart(lambda: send(params["url"], "POST", "/api/generate", body, params["load_timeout"]))
    return not loaded


def each(names, action, verb, there, module):
    rows = []
    for name in names:
        row, started = {"name": name, "changed": False, "error": "", "next_step": ""}, time.monotonic()
        try:
            row["changed"] = action(name, there, module)
        except (Trouble, ValueError, KeyError, TypeError) as error:
            row.update(error=str(error), next_step=STEPS[verb])
        rows.append(dict(row, seconds=round(time.monotonic() - started, 2)))
    return rows


def forget(path, names):
    """Removed models are no longer ours."""
    before = read_json(path) if path else None
    if not isinstance(before, dict):
        return
    after = {known: row for known, row in before.items() if not any(same_name(known, name) for name in names)}
    if after != before:
        write_atomic(path, json.dumps(after, indent=1, sort_keys=True) + "\n", 0o600)


def main():
    words = {"type": "list", "elements": "str", "default": []}
    spec = {
        "remove": words,
        "preload": words,
        "keep_alive": {"type": "str", "default": "-1"},
        "load_timeout": {"type": "int", "default": 3600},
        "url": {"type": "str", "default": "http://127.0.0.1:11434", "aliases": ["base_url"]},
        "record": {"type": "path"},
        "lock_file": {"type": "path"},
        "owner": {"type": "str", "default": ""},
    }
    module = AnsibleModule(spec, supports_check_mode=True)
    params = module.params
    params["url"] = params["url"].rstrip("/")
    try:
        there = listed(params["url"])
        with alone(params["lock_file"] if params["remove"] and not module.check_mode else None, params["owner"]):
            rows = each(params["remove"], remove, "remove", there, module)
        rows += each(params["preload"], preload, "preload", there, module)
        if not module.check_mode:
            clear_leases(params["url"], there)
            forget(params["record"], [row["name"] for row in rows[: len(params["remove"])] if not row["error"]])
    except (Trouble, OSError) as trouble:
        module.fail_json(msg="%s; `reaper-ops probe` shows how the server answers" % trouble, models=[])
    failed = ["%s: %s; %s" % (row["name"], row["error"], row["next_step"]) for row in rows if row["error"]]
    answer = {"models": rows, "changed": any(row["changed"] for row in rows)}
    if failed:
        module.fail_json(msg="%d of %d models failed: %s" % (len(failed), len(rows), " | ".join(failed)), **answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
