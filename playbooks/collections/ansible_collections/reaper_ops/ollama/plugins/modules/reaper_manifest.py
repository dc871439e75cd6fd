#!/usr/bin/python
"""Keeps the manifest of what reaper_ops owns on a host: first as intended, then as done."""

from __future__ import annotations

import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_before, reaper_remains
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble, write_atomic
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_ownership import (
    DICTS,
    LISTS,
    brought,
    installed,
    json_value,
    merged,
    read,
    there_before,
)

DOCUMENTATION = r"""
module: reaper_manifest
short_description: Record what reaper_ops owns on a host
description:
  - Merges entries into the manifest. Anything that existed before its first entry is recorded as C(existed) and never
    removed; so are the files in C(models), in a record next to the manifest.
  - While C(phase) is C(intended), packages that arrive as dependencies are recorded.
options:
  path: {description: The manifest., type: path, required: true}
  state: {description: Merge entries or only read., type: str, choices: [record, read], default: record}
  phase: {description: Before or after the work., type: str, choices: [intended, done], default: done}
  entries:
    description:
      - C(files), C(links), C(projects), C(containers) and C(json) are dictionaries by path or name, as is C(adopted)
        by unit, how a unit of somebody else was before we took it over; C(directories),
        C(homes) (or C(state)), C(models), C(releases), C(packages), C(units), C(processes), C(users), C(groups),
        C(swap), C(fstab), C(images) and C(volumes) are lists.
    type: dict
    default: {}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Record what will be owned
  reaper_ops.ollama.reaper_manifest:
    path: /var/lib/reaper_ops/manifest.json
    phase: intended
    entries: {files: {/etc/systemd/system/ollama.service: null}, units: [ollama.service]}
"""
RETURN = r"""
manifest: {description: The manifest after the merge., type: dict, returned: always}
"""


def checked(given):
    """The entries with known kinds; `state` means homes, since the manifest's own state has that name."""
    entries = {"homes" if kind == "state" else kind: value for kind, value in given.items()}
    for kind, value in entries.items():
        if kind not in DICTS + LISTS:
            raise Trouble("entries: %s is not a kind of entry; use one of %s" % (kind, ", ".join(DICTS + LISTS)))
        if not isinstance(value, dict if kind in DICTS else list):
            raise Trouble("entries: %s must be a %s" % (kind, "dictionary" if kind in DICTS else "list"))
    return entries


def recorded(manifest, entries, phase):
    """The manifest after this phase."""
    after = merged(manifest, entries)
    existed = set(manifest.get("existed", [])) | there_before(manifest, entries)
    after.update(schema=1, state=phase, existed=sorted(existed))
    before = manifest.get("snapshot")
    if phase == "intended":
        if after.get("packages") and before is None:
            before = sorted(installed() or ())
        after["snapshot"] = before
        old = former(manifest, after)
        after.update({"former": old} if old else {})
    elif before:
        after["packages"] = list(dict.fromkeys(after.get("packages", []) + brought(before)))
    if phase == "done" or after.get("snapshot") is None:
        after.pop("snapshot", None)
    if phase == "done":
        after.pop("former", None)
        desired = entries.get("files", {})
        for path in [p for p in after.get("files", {}) if p not in desired and not os.path.lexists(p)]:
            del after["files"][path]
        values = {path: json_value(path, keys) for path, keys in after.get("json", {}).items()}
        after["json_values"] = dict(manifest.get("json_values", {}), **values)
    return after


def former(manifest, after):
    """Hashes that files may still have until this run is complete, by path."""
    known = {path: list(hashes) for path, hashes in manifest.get("former", {}).items()}
    for path, digest in manifest.get("files", {}).items():
        if digest and after.get("files", {}).get(path) != digest and digest not in known.get(path, []):
            known.setdefault(path, []).append(digest)
    return known


def text(manifest):
    return json.dumps(manifest, indent=1, sort_keys=True) + "\n"


def main():
    module = AnsibleModule(
        {
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["record", "read"], "default": "record"},
            "phase": {"type": "str", "choices": ["intended", "done"], "default": "done"},
            "entries": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        before = read(params["path"])
        after = before
        note = old_note = reaper_before.read(params["path"])
        if params["state"] == "record":
            entries = reaper_before.with_units(before, checked(params["entries"]))
            after = recorded(before, entries, params["phase"])
            note = reaper_before.with_stores(note, before, entries)
            note = reaper_before.with_owners(note, before, entries, after["existed"])
        changed = after != before or note != old_note
        if params["phase"] == "intended" and not module.check_mode:
            reaper_remains.clear()
        if changed and not module.check_mode:
            os.makedirs(os.path.dirname(params["path"]), mode=0o755, exist_ok=True)
            if note != old_note:
                reaper_before.write(params["path"], note)
            write_atomic(params["path"], text(after), 0o644)
    except Trouble as trouble:
        module.fail_json(msg=str(trouble))
    except OSError as error:
        module.fail_json(msg="%s: %s" % (error.filename or params["path"], error.strerror))
    short = [{key: row[key] for key in row if key != "snapshot"} for row in (before, after)]
    diff = {"before": text(short[0]) if before else "", "after": text(short[1])}
    module.exit_json(changed=changed, manifest=short[1], diff=diff)


if __name__ == "__main__":
    main()
