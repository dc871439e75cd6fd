"""What was on a host before us: recorded next to the manifest at first contact, restored or left alone by `down`."""

from __future__ import annotations

import contextlib
import json
import os
import stat

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import (
    Trouble,
    read_json,
    unlink,
    write_atomic,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_layout import ROOTS
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_manifests import manifest, sizes_of
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_ownership import files_beneath
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_packages import run
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import brief

NAME = "before.json"
PARTS = ("blobs", *ROOTS)


def note_path(manifest_path):
    return os.path.join(os.path.dirname(manifest_path), NAME)


def read(manifest_path):
    """`stores`: files that were there, by store; `made`: those that were not; `ours`: files that `down` left."""
    found = read_json(note_path(manifest_path))
    return found if isinstance(found, dict) else {}


def files_of(store):
    """Blobs and manifests, by their names in the store."""
    found = [name for part in PARTS for name in files_beneath(os.path.join(store, part))]
    return sorted(os.path.relpath(name, store) for name in found)


def with_stores(note, manifest, entries):
    """The record with each store that is new to us; nothing is known about an installation older than the record."""
    known, left = note.get("stores", {}), note.get("ours", {})
    taken = bool(entries.get("adopted"))
    new = [s for s in entries.get("models", []) if s not in known and (taken or s not in manifest.get("models", []))]
    found = {store: foreign_in(store, left.get(store, [])) for store in new}
    rest = {store: names for store, names in left.items() if store not in found}
    made = note.get("made", []) + [store for store in new if not os.path.lexists(store)]
    return dict(note, schema=1, stores=dict(known, **found), ours=rest, made=made) if found else note


def with_owners(note, manifest, entries, existed):
    """The record with owner and mode of each existing directory that is new to us; of homes, only foreign ones."""
    known, new = dict(note.get("owners", {})), {}
    paths = [path for path in entries.get("directories", []) if path not in manifest.get("directories", [])]
    paths += [path for path in entries.get("homes", []) if "homes %s" % path in existed]
    for path in paths:
        if path not in known and path not in manifest.get("homes", []) and os.path.isdir(path):
            info = os.stat(path)
            new[path] = [info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)]
    return dict(note, schema=1, owners=dict(known, **new)) if new else note


def owner_back(path, was, check, shared=False):
    """Why the directory keeps the owner we gave it; empty when that was restored. shared: others have files in it."""
    try:
        with tree.directory(path) as fd:
            info = os.fstat(fd)
            if [info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)] == was:
                return ""
            as_before = shared and [info.st_uid, info.st_gid] == was[:2]
            if not as_before and [name for name in os.listdir(fd) if name != "lost+found"]:
                return "still belongs to the server, since models are in it"
            if not check:
                tree.give(fd, was[0], was[1])
                os.fchmod(fd, was[2])
    except FileNotFoundError:
        return ""
    return ""


def foreign_in(store, ours):
    """None when the store cannot be read; it then counts as foreign."""
    try:
        return sorted(set(files_of(store)) - set(ours))
    except OSError:
        return None


def write(manifest_path, note):
    os.makedirs(os.path.dirname(manifest_path), mode=0o755, exist_ok=True)
    write_atomic(note_path(manifest_path), json.dumps(note, indent=1, sort_keys=True) + "\n", 0o600)


def with_units(manifest, entries):
    """The adopted units, with their state before that."""
    known = manifest.get("adopted", {})
    given = {name: known.get(name) or state or unit_state(name) for name, state in entries.get("adopted", {}).items()}
    return dict(entries, adopted=given) if given else entries


def unit_state(name):
    _rc, out = run(["systemctl", "show", name, "-p", "ActiveState", "-p", "UnitFileState"])
    rows = dict(line.partition("=")[::2] for line in out.splitlines())
    return {"active": rows.get("ActiveState", ""), "enabled": rows.get("UnitFileState", "")}


def give_back(name, was):
    """Once our settings are gone: restores the unit, and starts its server from what is there."""
    succeed(["systemctl", "daemon-reload"])
    now = unit_state(name)
    verb = {"enabled": "enable", "disabled": "disable"}.get(was.get("enabled"))
    if verb and now["enabled"] != was["enabled"]:
        succeed(["systemctl", verb, name])
    run(["systemctl", "reset-failed", name])
    ran = was.get("active", now["active"]) in ("active", "activating", "reloading")
    succeed(["systemctl", "restart" if ran else "stop", name])


def succeed(argv):
    rc, out = run(argv)
    if rc != 0:
        raise Trouble("%s says: %s" % (" ".join(argv), brief(out.strip(), -300)))


def ours_in(store, note):
    """(our files, how many foreign files are there too). Blobs that a remaining manifest lists stay with it."""
    there = files_of(store)
    names = note.get("stores", {}).get(store, [])
    if names is None:
        return [], len(there)
    stay = set(there) & set(names)
    try:
        named = {"blobs/" + blob for name in stay if not name.startswith("blobs/") for blob in blobs_of(store, name)}
    except (OSError, ValueError):
        return [], len(there)
    stay |= named & set(there)
    return [name for name in there if name not in stay], len(stay)


def blobs_of(store, name):
    found = manifest(store, [os.path.join(store, name)])
    return [digest.replace(":", "-") for digest in sizes_of(store, found)]


def forget(manifest_path, note, left):
    """Once everything else is gone: keeps in the record only what the next installation must know."""
    ours = {store: names for store, names in left.items() if names}
    if ours:
        left = dict(note.get("ours", {}), **ours)
        kept = {name: note[name] for name in ("owners", "made") if name in note}
        write(manifest_path, dict(kept, schema=1, stores={}, ours=left))
        return
    with contextlib.suppress(FileNotFoundError):
        unlink(note_path(manifest_path))
