#!/usr/bin/python
"""Pulls the wanted models into the host's own server, one after the other, and checks each digest."""

from __future__ import annotations

import functools
import http.client
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_rules as rules
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_alone import alone
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_manifests import identities
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_models import asked, listed, request, whole
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_partials import discard_damaged
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_progress import Progress, Stopped
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_registry import free_space, manifest, missing
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rows import keep
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import logins

DOCUMENTATION = r"""
module: ollama_pull
short_description: Pull models into a running Ollama server
description:
  - Skips models that the server lists. For each other model, compares the free space with the registry's manifest
    first, then pulls with retries and compares the digest with the manifest.
  - A model in O(locked) must have that digest. If the tag has moved, the module fails before it downloads anything; a
    listed model with another digest is pulled again.
  - A model in O(sources) is pulled under that name, copied to its own name, and the other name is removed.
options:
  models: {description: Names with tags., type: list, elements: str, required: true}
  again: {description: Pull listed models too; complete blobs are not downloaded again., type: bool, default: false}
  locked: {description: Digest and blobs (with their sizes) of models by name., type: dict, default: {}}
  sources: {description: The name that a model has at a mirror, by its own name., type: dict, default: {}}
  lock_file: {description: Lock file that blocks a second pull while this one runs., type: path}
  owner: {description: Who runs this; shown to anyone the lock file blocks., type: str, default: ""}
  url: {description: The host's own server., type: str, default: "http://127.0.0.1:11434", aliases: [base_url]}
  models_dir: {description: The server's model store; without it, free space is not checked., type: path}
  insecure_registries: {description: Registries used over plain HTTP., type: list, elements: str, default: []}
  proxy: {description: Proxy to the registry., type: str, aliases: [https_proxy]}
  no_proxy: {description: Hosts reached without the proxy., type: list, elements: str, default: []}
  progress_file: {description: Snapshot of the progress while the module runs., type: path}
  record: {description: JSON file that records how the last pull of each model ended., type: path}
  heartbeat: {description: File that the caller touches; the pull ends when it grows old., type: path}
  abandoned: {description: Seconds after which that file is old., type: int, default: 120}
  retries: {description: Further attempts for each model., type: int, default: 4}
  stall_timeout: {description: Seconds without new bytes before a new attempt., type: int, default: 75}
  verify_timeout: {description: Seconds the server may take to hash a download., type: int, default: 3600}
  min_free: {description: Bytes of disk space that must stay free., type: int, default: 1073741824}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Pull the models
  reaper_ops.ollama.ollama_pull:
    models: ["llama3:8b"]
    models_dir: /var/lib/ollama/models
"""
RETURN = r"""
models:
  description: One row for each wanted model; name, changed, digest, bytes, attempts, error, next_step, notes.
  type: list
  elements: dict
  returned: always
"""

LINE = 64 << 10
"""Longer lines are cut; the rest is not a line of a pull."""


def pull_once(step, progress):
    """Empty on success, otherwise what went wrong."""
    params = step.params
    stream = rules.Stream(params, time.monotonic(), step.sizes)
    body = rules.pull_body(step.name, params)
    try:
        with request(params["url"], "POST", "/api/pull", body, params["stall_timeout"]) as (answer, socket):
            if answer.status != 200:
                return rules.said(whole(answer))
            for raw in iter(lambda: answer.readline(LINE), b""):
                if raw.strip():
                    progress.event(stream.line(raw.decode("utf-8", "replace"), time.monotonic()))
                if stream.over:
                    return stream.error
                socket.settimeout(stream.patience())
    except TimeoutError:
        return stream.stalled()
    except (OSError, http.client.HTTPException) as error:
        return stream.stalled() if "timed out" in str(error) else rules.gone(params["url"], repr(error))
    return rules.ENDED


def gigabytes(count):
    return "%.1f GB" % (count / 1e9)


def make_room(step, params):
    """Removes what a kill damaged, and fails the row if the missing bytes do not fit."""
    store, sizes = params["models_dir"], step.sizes
    if not store:
        return {"bytes": sum(sizes.values())}
    again = discard_damaged(sizes, store)
    row = {"notes": ["%s is downloaded from the start: a kill damaged its progress file" % one[:19] for one in again]}
    row["bytes"], free = missing(sizes, store), free_space(store)
    if sizes and row["bytes"] + params["min_free"] > free:
        numbers = (gigabytes(row["bytes"]), gigabytes(params["min_free"]), store, gigabytes(free))
        row["error"] = "%s needs %s and %s must stay free, but %s has only %s" % (step.name, *numbers)
        row["next_step"] = rules.ROOM
    return row


def way(params, progress):
    """How each step of the rules runs on this host."""
    registry = (params["insecure_registries"], params["proxy"], params["no_proxy"])
    return {
        rules.Ask: functools.partial(asked, params["url"]),
        rules.Pull: lambda step: pull_once(step, progress),
        rules.Look: lambda step: manifest(step.name, *registry),
        rules.Known: lambda step: identities(params["models_dir"]).get(step.digest, ()),
        rules.Room: lambda step: make_room(step, params),
        rules.Start: lambda step: progress.model_starts(step.name, step.sizes, params["models_dir"]),
        rules.Tell: lambda step: progress.event({"status": step.status}, force=True),
        rules.Wait: lambda step: time.sleep(step.seconds),
        rules.Now: lambda step: time.monotonic(),
        rules.Keep: lambda step: keep(params["record"], step.row),
    }


def is_promised(name, digest, params, known):
    """The rule's answer, with what is known of the store."""
    return rules.walk(rules.is_promised(name, digest, params), lambda step: known.get(step.digest, ()))


def foreseen(params):
    """What a pull would do, for check mode."""
    try:
        have = listed(params["url"])
    except Trouble:
        have = {}
    found = [(name, rules.digest_of(name, have)) for name in dict.fromkeys(params["models"])]
    known = identities(params["models_dir"])
    right = [(name, digest, is_promised(name, digest, params, known)) for name, digest in found]
    return [dict(rules.unchanged(name, digest if good else ""), changed=not good) for name, digest, good in right]


def bring(module):
    """Rows of all wanted models, in order."""
    if module.check_mode:
        return foreseen(module.params)
    progress, rows = Progress(module.params), []
    do = way(module.params, progress)
    try:
        rules.walk(rules.bring(module.params, rows), lambda step: do[type(step)](step))
    finally:
        progress.end()
    return rows


def prepared(spec):
    module = AnsibleModule(spec, supports_check_mode=True)
    module.no_log_values |= logins([module.params["proxy"]])
    module.params["url"] = module.params["url"].rstrip("/")
    return module


def main():
    words = {"type": "list", "elements": "str", "default": []}
    spec = {
        "models": {"type": "list", "elements": "str", "required": True},
        "again": {"type": "bool", "default": False},
        "url": {"type": "str", "default": "http://127.0.0.1:11434", "aliases": ["base_url"]},
        "models_dir": {"type": "path"},
        "locked": {"type": "dict", "default": {}},
        "sources": {"type": "dict", "default": {}},
        "lock_file": {"type": "path"},
        "owner": {"type": "str", "default": ""},
        "insecure_registries": words,
        "proxy": {"type": "str", "aliases": ["https_proxy"]},
        "no_proxy": words,
        "progress_file": {"type": "path"},
        "record": {"type": "path"},
        "heartbeat": {"type": "path"},
        "abandoned": {"type": "int", "default": 120},
        "retries": {"type": "int", "default": 4},
        "stall_timeout": {"type": "int", "default": 75},
        "verify_timeout": {"type": "int", "default": 3600},
        "min_free": {"type": "int", "default": 1 << 30},
    }
    module = prepared(spec)
    try:
        with alone(None if module.check_mode else module.params["lock_file"], module.params["owner"]):
            rows = bring(module)
    except Trouble as trouble:
        step = "" if "another pull" in str(trouble) else "; " + rules.SERVER
        module.fail_json(msg="%s%s" % (trouble, step), models=[])
    except Stopped:
        module.fail_json(msg="the controller is gone; run again, downloaded data is kept", models=[])
    failed = [row for row in rows if row["error"]]
    pulled = [row["name"] for row in rows if row["changed"]]
    known = [row["name"] for row in rows if not row["changed"] and not row["error"]]
    answer = {"models": rows, "changed": bool(pulled)}
    after = "".join(name + "\n" for name in sorted(known + pulled))
    answer["diff"] = {"before": "".join(name + "\n" for name in sorted(known)), "after": after}
    if failed:
        lines = ["%s: %s; %s" % (row["name"], row["error"], row["next_step"]) for row in failed]
        module.fail_json(msg="%d of %d models failed: %s" % (len(failed), len(rows), " | ".join(lines)), **answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
