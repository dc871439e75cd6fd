#!/usr/bin/python
"""Downloads the wanted models from a swarm of hosts into the host's store, the manifest last."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_alone import alone
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_aria2 import Keeper, end, program
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_contents import store_of
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_manifests import is_known
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_models import copy, delete, listed
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_progress import Progress, Stopped
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_registry import blobs as blobs_of
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_registry import free_space
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rows import keep
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import (
    digest_of,
    retired,
    same_name,
    unchanged,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_staging import Staging
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_torrent import blob, named
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_tree import acting_as, writer_of

DOCUMENTATION = r"""
module: ollama_swarm
short_description: Pull models through a swarm
description:
  - C(asked) lists the missing models, C(present) downloads them, C(ended) stops sending to peers.
  - aria2 downloads blobs next to the store, only from peers of the one tracker. A blob with the right SHA-256 is linked
    into the store; the manifest follows when all blobs are there.
  - After C(present), the host keeps sending until C(ended), or until no peer has needed anything for five minutes.
options:
  state: {description: What to do., type: str, choices: [asked, present, ended], default: present}
  models: {description: Names with tags., type: list, elements: str, default: []}
  locked: {description: Digest and blobs (with their sizes) of models by name., type: dict, default: {}}
  swarm: {description: "The result of ollama_seed: models, torrents and small blobs.", type: dict, default: {}}
  url: {description: The host's own server., type: str, default: "http://127.0.0.1:11434"}
  models_dir: {description: The server's model store., type: path, required: true}
  container: {description: Container of the server; its store is looked up among its mounts., type: str, default: ""}
  lock_file: {description: Lock file that blocks a second pull while this one runs., type: path}
  owner: {description: Who runs this., type: str, default: ""}
  progress_file: {description: Snapshot of the progress while the module runs., type: path}
  record: {description: JSON file that records how the last pull of each model ended., type: path}
  heartbeat: {description: File that the caller touches; the pull ends when it grows old., type: path}
  abandoned: {description: Seconds after which that file is old., type: int, default: 120}
  retries: {description: Further attempts for each model., type: int, default: 4}
  stall_timeout: {description: Seconds without new bytes before a new attempt., type: int, default: 75}
  min_free: {description: Bytes of disk space that must stay free., type: int, default: 1073741824}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Pull the models
  reaper_ops.ollama.ollama_swarm:
    models: ["llama3:8b"]
    models_dir: /var/lib/ollama/models
    swarm: "{{ hostvars['mirror'].seed.swarm }}"
"""
RETURN = r"""
lacking: {description: Missing models., type: list, elements: str, returned: when asked}
installed: {description: Whether aria2 is installed., type: bool, returned: when asked}
models:
  description: One row for each wanted model; name, changed, digest, bytes, attempts, error, next_step, notes.
  type: list
  elements: dict
  returned: when present
"""
PAUSE = 0.25
STEPS = (
    ("stalled", "check that this host reaches the tracker and ports 6881-6999 of the seed and the other peers"),
    ("space", "free space in the model store, or set ollama_models_dir"),
    ("mismatch", "the disk of this host or of the seed returns wrong bytes; check the kernel log, then run again"),
)
AGAIN = "run again: downloaded data is kept"


def lacking(params, have):
    store, rows = params["models_dir"], [(name, digest_of(name, have)) for name in dict.fromkeys(params["models"])]
    wanted = {name: row["digest"] for name, row in params["locked"].items()}
    return [name for name, has in rows if has is None or (name in wanted and not is_known(store, has, wanted[name]))]


class Stalled(Exception):
    """No new bytes for too long, or aria2 gave up on a blob."""


class Swarm:
    """One host's part of a swarm."""

    def __init__(self, params, progress):
        self.params, self.progress, self.swarm = params, progress, params["swarm"]
        self.staging = Staging(params["models_dir"])
        self.client, self.gids = None, {}
        user = self.staging.guest or writer_of(params["models_dir"])
        options = {"interface": towards(params["swarm"])}
        self.keeper = Keeper(self.staging.path, params["owner"], user=user, tidy=self.staging.tidy, options=options)

    def bring(self, names):
        """Rows of the models; what was downloaded is seeded from then on."""
        self.staging.make()
        with acting_as(self.staging.guest):
            end(self.staging.path)
            self.client = self.keeper.start()
        rows = []
        for name in names:
            row = dict(unchanged(name, ""), bytes=0)
            started = time.monotonic()
            try:
                self.model(name, row)
            except OSError as error:
                row.update(error="%s: %s" % (error.filename or self.staging.path, error.strerror), next_step=AGAIN)
            except Trouble as trouble:
                row.update(error=str(trouble), next_step=AGAIN)
            row["seconds"] = round(time.monotonic() - started, 2)
            rows.append(row)
        if any(row["changed"] for row in rows):
            with acting_as(self.staging.guest):
                self.keeper.delivered()
        return rows

    def model(self, name, row):
        told = self.swarm["models"].get(name) or {"error": "the seed does not have it", "next_step": AGAIN}
        if told.get("error"):
            row.update(error=told["error"], next_step=told["next_step"])
            return
        data = promised(name, told, self.params["locked"])
        blobs = blobs_of("the seed", data)
        sizes = {one: size for one, size in blobs.items() if not os.path.exists(self.blob(one))}
        self.progress.model_starts(name, blobs, self.params["models_dir"])
        row["bytes"] = sum(sizes.values())
        self.need_room(name, sizes)
        for digest in sizes:
            if digest in self.swarm["small"]:
                self.staging.put_small(digest, base64.b64decode(self.swarm["small"][digest]))
        self.attempts([digest for digest in sizes if digest not in self.swarm["small"]], sizes, row)
        if not row["error"]:
            self.name(name, data, row)

    def blob(self, digest):
        return blob(self.params["models_dir"], digest)

    def need_room(self, name, sizes):
        have = sum(os.lstat(path).st_blocks * 512 for path in map(self.staging.at, sizes) if os.path.exists(path))
        copies = 2 if self.staging.guest else 1
        need = max(copies * sum(sizes.values()) - have, 0)
        free = free_space(self.params["models_dir"])
        if need + self.params["min_free"] > free:
            numbers = (need / 1e9, self.params["min_free"] / 1e9, self.params["models_dir"], free / 1e9)
            text = "%s needs %.1f GB and %.1f GB must stay free, but %s has only %.1f GB"
            raise Trouble(text % (name, *numbers))

    def attempts(self, digests, sizes, row):
        """Downloads and verifies the blobs; a damaged blob is repaired from peers, piece by piece."""
        row["attempts"] = 1
        left = list(digests)
        while left:
            try:
                self.download(left, sizes)
                left = [digest for digest in left if not self.prove(digest, row)]
                row["error"] = "%s: digest mismatch" % left[0][:19] if left else ""
            except Stalled as stalled:
                row["error"] = str(stalled)
            if not row["error"]:
                return
            mismatch = "digest mismatch" in row["error"]
            last = row["attempts"] > self.params["retries"]
            for digest in left:
                self.drop(digest, wholly=mismatch and last)
            if last:
                row["next_step"] = next((step for word, step in STEPS if word in row["error"].lower()), AGAIN)
                return
            row["attempts"] += 1
            time.sleep(0 if mismatch else min(2 ** (row["attempts"] - 1), 60))

    def drop(self, digest, wholly):
        """The next attempt reads what is there piece by piece; wholly: it starts over."""
        if digest in self.gids:
            self.client.forget(self.gids.pop(digest))
        if wholly:
            os.unlink(self.staging.at(digest))

    def download(self, digests, sizes):
        for digest in digests:
            if digest not in self.gids:
                torrent = base64.b64decode(self.swarm["torrents"][digest])
                self.gids[digest] = self.client.add_torrent(torrent, self.staging.path, named(digest))
        before, since = -1, time.monotonic()
        while True:
            rows = {digest: self.client.state(self.gids[digest]) for digest in digests}
            for digest, one in rows.items():
                if one["status"] == "error":
                    raise Stalled("%s: %s" % (digest[:19], one.get("errorMessage") or "aria2 gave up"))
            done = sum(int(one["completedLength"]) for one in rows.values())
            if done != before:
                before, since = done, time.monotonic()
            self.show(rows, sizes)
            if all(one.get("seeder") == "true" for one in rows.values()):
                return
            if time.monotonic() - since > self.params["stall_timeout"]:
                peers = sum(int(one.get("connections") or 0) for one in rows.values())
                raise Stalled("stalled: no new byte for %d s, %d peers" % (self.params["stall_timeout"], peers))
            time.sleep(PAUSE)

    def show(self, rows, sizes):
        """Complete blobs count as done; the others as one sum."""
        for digest, one in rows.items():
            if one.get("seeder") == "true":
                self.progress.tally.done.add(digest)
        open_ones = {digest: one for digest, one in rows.items() if digest not in self.progress.tally.done}
        completed = sum(int(one["completedLength"]) for one in open_ones.values())
        total = sum(sizes[digest] for digest in open_ones)
        self.progress.event({"status": "pulling from the swarm", "completed": completed, "total": total})

    def prove(self, digest, row):
        """Pieces were checked by SHA-1 on arrival; what counts is the SHA-256 of the bytes on disk."""
        self.progress.event({"status": "verifying sha256 digest"}, force=True)
        if self.staging.take(digest):
            return True
        row["notes"].append("%s was damaged on this disk and was repaired" % digest[:19])
        return False

    def name(self, name, data, row):
        """The model that had the name keeps another name until its blobs can be removed."""
        self.progress.event({"status": "naming"}, force=True)
        url, old = self.params["url"], retired(name)
        if digest_of(name, listed(url)) is not None:
            copy(url, name, old)
        self.staging.put_manifest(name, data)
        row["digest"], wanted = digest_of(name, listed(url)) or "", hashlib.sha256(data).hexdigest()
        if row["digest"] != wanted:
            row["error"] = "the digest is %s, expected %s" % (row["digest"][:12] or "not listed", wanted[:12])
            row["next_step"] = "check that the server's store is %s" % self.params["models_dir"]
            return
        row["changed"] = True
        row["notes"] += tidy(self.params, [name])


def promised(name, told, locked):
    """The manifest; this host trusts the seed only as far as the lock and the bytes confirm."""
    data = base64.b64decode(told["manifest"])
    found, lock = hashlib.sha256(data).hexdigest(), locked.get(name)
    wanted = lock["digest"].rpartition(":")[2] if lock else told["digest"]
    if found != wanted:
        raise Trouble("the seed has the manifest %s for %s, expected %s" % (found[:12], name, wanted[:12]))
    return data


def tidy(params, names):
    """Removes names that only served a pull, even a killed one; two tags of a model share one."""
    url, spare = params["url"], [retired(name) for name in names]
    try:
        for other in listed(url):
            if any(same_name(other, old) for old in spare) and not any(same_name(other, n) for n in params["models"]):
                delete(url, other)
    except Trouble as trouble:
        return ["a temporary name is left, and the next run removes it: %s" % trouble]
    return []


def bring(module):
    params = module.params
    have = listed(params["url"])
    names = lacking(params, have)
    rows = {name: unchanged(name, digest_of(name, have) or "") for name in dict.fromkeys(params["models"])}
    if not names:
        return list(rows.values())
    if module.check_mode:
        return [dict(row, changed=name in names) for name, row in rows.items()]
    progress = Progress(params)
    try:
        with acting_as(writer_of(params["models_dir"])):
            brought = Swarm(params, progress).bring(names)
    finally:
        progress.end()
    for row in brought:
        keep(params["record"], row)
        rows[row["name"]] = row
    tidy(params, params["models"])
    return list(rows.values())


def answer(module):
    params = module.params
    params["models_dir"] = store_of(params["models_dir"], params["container"])
    if params["state"] == "ended":
        return {"changed": not module.check_mode and ended(Staging(params["models_dir"]))}
    if params["state"] == "asked":
        return {"changed": False, **asked(params), **tools()}
    with alone(None if module.check_mode else params["lock_file"], params["owner"]):
        return {"models": bring(module)}


def ended(staging):
    with acting_as(staging.guest or writer_of(staging.models_dir)):
        was = end(staging.path)
    staging.leave()
    return was


def towards(swarm):
    """This host's address in the network of the seed; aria2 listens only there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((swarm["address"], 9))
        return probe.getsockname()[0]


def asked(params):
    have = listed(params["url"])
    names = lacking(params, have)
    rows = [unchanged(name, digest_of(name, have)) for name in dict.fromkeys(params["models"])]
    return {"lacking": names} if names else {"lacking": [], "models": rows}


def tools():
    try:
        return {"installed": bool(program()), "apt": bool(shutil.which("apt-get"))}
    except Trouble:
        return {"installed": False, "apt": bool(shutil.which("apt-get"))}


def main():
    words = {"type": "list", "elements": "str", "default": []}
    spec = {
        "state": {"type": "str", "choices": ["asked", "present", "ended"], "default": "present"},
        "models": words,
        "locked": {"type": "dict", "default": {}},
        "swarm": {"type": "dict", "default": {}},
        "url": {"type": "str", "default": "http://127.0.0.1:11434"},
        "models_dir": {"type": "path", "required": True},
        "container": {"type": "str", "default": ""},
        "lock_file": {"type": "path"},
        "owner": {"type": "str", "default": ""},
        "progress_file": {"type": "path"},
        "record": {"type": "path"},
        "heartbeat": {"type": "path"},
        "abandoned": {"type": "int", "default": 120},
        "retries": {"type": "int", "default": 4},
        "stall_timeout": {"type": "int", "default": 75},
        "min_free": {"type": "int", "default": 1 << 30},
    }
    module = AnsibleModule(spec, supports_check_mode=True)
    module.params["url"] = module.params["url"].rstrip("/")
    try:
        found = answer(module)
    except Trouble as trouble:
        module.fail_json(msg=str(trouble), models=[])
    except OSError as error:
        module.fail_json(msg="%s: %s" % (error.filename or module.params["models_dir"], error.strerror), models=[])
    except Stopped:
        module.fail_json(msg="the controller is gone; run again, downloaded data is kept", models=[])
    rows = found.get("models") or []
    found.setdefault("changed", any(row["changed"] for row in rows))
    failed = ["%s: %s; %s" % (row["name"], row["error"], row["next_step"]) for row in rows if row["error"]]
    if failed:
        module.fail_json(msg="%d of %d models failed: %s" % (len(failed), len(rows), " | ".join(failed)), **found)
    module.exit_json(**found)


if __name__ == "__main__":
    main()
