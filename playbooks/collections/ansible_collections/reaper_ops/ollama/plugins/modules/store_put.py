#!/usr/bin/python
"""Puts models that were copied to the host into its model store: every blob by its hash, manifests last."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_alone import alone
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_contents import (
    file_of,
    hashed,
    store_of,
    targets_of,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import read_json, write_atomic
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_models import listed
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_registry import free_space
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import Trouble, digest_of
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_staging import KEPT
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_tree import acting_as, writer_of

DOCUMENTATION = r"""
module: store_put
short_description: Put copied blobs into a model store
description:
  - The action plugin of the same name copies the bytes; this module lists what is missing and stores it.
  - A blob is stored only when its bytes hash to its name. A manifest is written, byte for byte, when all blobs of its
    model are there, so that the model has the same digest on every host.
options:
  state: {description: List what is missing, or store it., type: str, default: placed, choices: [looked, placed]}
  models:
    description: name, manifest (base64), digest and blobs (sizes by digest) of each model.
    type: list
    elements: dict
    required: true
  pieces: {description: Path on the controller, offset and size by digest; for the plugin., type: dict, default: {}}
  models_dir: {description: The store, as the server names it., type: path, required: true}
  url: {description: "The host's server, which must then list what was stored.", type: str, default: ""}
  container: {description: The container in which O(models_dir) is a path., type: str}
  record: {description: JSON file that records the models we stored., type: path}
  lock_file: {description: Lock file that blocks a pull while models are stored., type: path}
  owner: {description: Who runs this; shown to anyone the lock file blocks., type: str, default: ""}
  min_free: {description: Bytes of disk space that must stay free., type: int, default: 1073741824}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Load the models of a bundle
  reaper_ops.ollama.store_put:
    models: "{{ wanted.models }}"
    models_dir: /var/lib/ollama/models
"""
RETURN = r"""
models:
  description: One row for each model; name, changed, digest, bytes, error, next_step.
  type: list
  elements: dict
  returned: when placed
missing: {description: Sizes of blobs that the store does not have., type: dict, returned: when looked}
have: {description: Bytes of them that were already copied., type: dict, returned: when looked}
staging: {description: Where copied bytes lie until they are stored., type: str, returned: always}
"""
ROOM = ".reaper_ops"
FULL = "free space in the model store, or set ollama_models_dir"


@contextlib.contextmanager
def room(store, make=False):
    """The staging directory, held open, or None. Even users who may write into the store may not write there."""
    path, held = os.path.join(store, ROOM), None
    with tree.directory(store) as top:
        with contextlib.suppress(FileExistsError):
            if make:
                os.mkdir(ROOM, 0o700, dir_fd=top)
        if tree.lstat(top, ROOM) is not None:
            with tree.folder(top, ROOM, path) as fd:
                held = os.dup(fd)
    try:
        info = os.fstat(held) if held is not None else None
        if info and (info.st_uid != os.geteuid() or info.st_mode & 0o022):
            raise Trouble("%s: another user can write there; remove it, then run again" % path)
        yield held
    finally:
        if held is not None:
            os.close(held)


def staged(digest):
    return digest.rpartition(":")[2]


def lacking(store, models):
    """Sizes of the blobs that are missing or incomplete."""
    sizes = {digest: size for row in models for digest, size in row["blobs"].items()}
    return {
        digest: size
        for digest, size in sizes.items()
        if not os.path.isfile(file_of(store, digest)) or os.path.getsize(file_of(store, digest)) != size
    }


def look(store, params):
    with acting_as(writer_of(store)):
        missing = lacking(store, params["models"])
    with room(store) as held:
        have = carried(held, missing)
    need = sum(size - min(size, have.get(digest, 0)) for digest, size in missing.items())
    free = free_space(store)
    if need and need + params["min_free"] > free:
        numbers = tuple("%.1f GB" % (count / 1e9) for count in (need, params["min_free"], free))
        raise Trouble("%s: needs %s and %s must stay free, but there are %s; %s" % ((store, *numbers, FULL)))
    if missing:
        with room(store, make=True):
            pass
    return {"missing": missing, "have": have}


def carried(held, missing):
    """Bytes that were already copied; partial blobs untouched for a week are removed."""
    found, wanted = {}, {staged(digest): digest for digest in missing}
    for name in os.listdir(held) if held is not None else ():
        info = os.stat(name, dir_fd=held, follow_symlinks=False)
        if name in wanted:
            found[wanted[name]] = info.st_size
        elif time.time() - info.st_mtime > KEPT:
            os.unlink(name, dir_fd=held)
    return found


def place_blob(store, held, digest):
    """Empty when the blob is now in the store, otherwise what is wrong with the copy."""
    name, user = staged(digest), writer_of(store)
    try:
        file = None if held is None else tree.open_at(held, name, os.path.join(store, ROOM, name))
    except FileNotFoundError:
        file = None
    if file is None:
        return "blob %s was not copied" % digest[:19]
    try:
        found = hashed(os.dup(file), lambda _: None)
        if found != name:
            os.unlink(name, dir_fd=held)
            return "blob %s arrived damaged (SHA-256 %s)" % (digest[:19], found[:12])
        os.fchmod(file, 0o644)
        if user:
            os.fchown(file, *user)
        os.fsync(file)
    finally:
        os.close(file)
    with tree.directory(os.path.join(store, "blobs")) as blobs:
        os.replace(name, os.path.basename(file_of(store, digest)), src_dir_fd=held, dst_dir_fd=blobs)
    return ""


def place_manifest(store, row):
    """Whether there was another manifest before, or none."""
    data = base64.b64decode(row["manifest"])
    if "sha256:" + hashlib.sha256(data).hexdigest() != row["digest"]:
        raise Trouble("%s: the manifest does not match its digest" % row["name"])
    targets, before = targets_of(store, row["name"]), None
    with contextlib.suppress(OSError), tree.reading(targets[-1]) as file:
        before = file.read()
    if before == data:
        return False
    for target in targets:
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        write_atomic(target, data.decode("utf-8"), 0o644)
    return True


def place(store, params):
    """Files are created as the store's owner creates them, except those that root copied."""
    wrong, placed = {}, {}
    with acting_as(writer_of(store)):
        missing = lacking(store, params["models"])
        os.makedirs(os.path.join(store, "blobs"), mode=0o755, exist_ok=True)
    with room(store) as held:
        for digest, size in missing.items():
            problem = place_blob(store, held, digest)
            wrong.update({digest: problem} if problem else {})
            placed.update({} if problem else {digest: size})
    with acting_as(writer_of(store)):
        rows = [named(store, row, wrong, placed) for row in params["models"]]
    with contextlib.suppress(OSError), tree.directory(store) as top:
        os.rmdir(ROOM, dir_fd=top)
    return rows


def put(store, params):
    """Places the models, records them, and has the server show them."""
    rows = place(store, params)
    keep(params["record"], rows)
    seen(params["url"], store, rows)
    return rows


def named(store, row, wrong, placed):
    """The outcome for one model; its manifest is written when all its blobs are there."""
    bad = [wrong[digest] for digest in row["blobs"] if digest in wrong]
    found = {"name": row["name"], "digest": row["digest"].rpartition(":")[2], "error": ", ".join(bad), "next_step": ""}
    found.update(changed=False, bytes=sum(placed.pop(digest, 0) for digest in row["blobs"]), attempts=1, notes=[])
    if bad:
        found["next_step"] = "run again: complete blobs are kept"
    else:
        found["changed"] = place_manifest(store, row)
    return found


def seen(url, store, rows):
    """The proof: the server lists each model with the digest that was stored. Where none answers, a note says so."""
    if not url:
        return
    try:
        have = listed(url)
    except Trouble as trouble:
        for row in rows:
            row["notes"].append("stored, but no server has listed it: %s" % trouble)
        return
    for row in rows:
        found = digest_of(row["name"], have) or ""
        if not row["error"] and found != row["digest"]:
            row["error"] = "the server lists %s, stored was %s" % (found[:12] or "no such model", row["digest"][:12])
            row["next_step"] = "check that the server's store is %s" % store


def keep(path, rows):
    """Models that we stored are ours: `models prune` may remove them."""
    if not path or not os.path.isdir(os.path.dirname(path)):
        return
    before = read_json(path)
    known = before if isinstance(before, dict) else {}
    for row in rows:
        if row["changed"]:
            known[row["name"]] = {"error": "", "time": int(time.time()), "digest": row["digest"]}
    write_atomic(path, json.dumps(known, indent=1, sort_keys=True) + "\n", 0o600)


def main():
    spec = {
        "state": {"type": "str", "default": "placed", "choices": ["looked", "placed"]},
        "models": {"type": "list", "elements": "dict", "required": True},
        "pieces": {"type": "dict", "default": {}},
        "models_dir": {"type": "path", "required": True},
        "url": {"type": "str", "default": ""},
        "container": {"type": "str"},
        "record": {"type": "path"},
        "lock_file": {"type": "path"},
        "owner": {"type": "str", "default": ""},
        "min_free": {"type": "int", "default": 1 << 30},
    }
    module = AnsibleModule(spec)
    params = module.params
    try:
        store = store_of(params["models_dir"], params["container"])
        if not os.path.isdir(store):
            raise Trouble("%s: no model store; `reaper-ops up` creates it" % store)
        answer = {"staging": os.path.join(store, ROOM), "changed": False}
        if params["state"] == "looked":
            module.exit_json(**dict(answer, **look(store, params)))
        with alone(params["lock_file"], params["owner"]):
            rows = put(store, params)
    except (Trouble, OSError) as trouble:
        module.fail_json(msg=str(trouble), models=[])
    answer.update(models=rows, changed=any(row["changed"] for row in rows))
    failed = ["%s: %s; %s" % (row["name"], row["error"], row["next_step"]) for row in rows if row["error"]]
    if failed:
        module.fail_json(msg="%d of %d models failed: %s" % (len(failed), len(rows), " | ".join(failed)), **answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
