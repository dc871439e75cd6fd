#!/usr/bin/python
"""Removes from a host exactly what the manifest lists and nobody has changed since."""

from __future__ import annotations

import contextlib
import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_before, reaper_remains
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_emptying import rmdir
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble, unlink, write_atomic
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_ownership import beyond, read
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_removal import NOTES, Removal

DOCUMENTATION = r"""
module: reaper_uninstall
short_description: Remove what reaper_ops owns on a host
description:
  - Stops and removes what the manifest lists. Keeps and reports what existed before, was changed since, or is now
    needed by others. Models stay by default. The next run completes one that was killed.
options:
  path: {description: The manifest., type: path, required: true}
  purge_models: {description: Remove the models too., type: bool, default: false}
  shown:
    description: The manifest as it was shown and confirmed; nothing is removed if it lists more by now.
    type: dict
  force: {description: Also remove files that were changed after we wrote them., type: bool, default: false}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Remove everything of ours except the models
  reaper_ops.ollama.reaper_uninstall: {path: /var/lib/reaper_ops/manifest.json}
"""
RETURN = r"""
removed: {description: What was removed., type: list, elements: str, returned: always}
withheld: {description: What the manifest lists beyond I(shown)., type: list, elements: str, returned: always}
manifest: {description: The manifest before the removal., type: dict, returned: always}
kept: {description: What stays, and why., type: list, elements: str, returned: always}
"""
NOTHING = {"removed": [], "kept": [], "diff": {"before": "", "after": ""}}
META = ("schema", "existed", "json_values")
SHARED = "reaper_ops"
"""Directories of this name hold files of the server and of the mirror; whichever is removed last removes them."""


def finish(path, manifest, removal):
    """The manifest is removed with its last entry; what is left for a later run stays in it."""
    if removal.left:
        rest = {key: manifest[key] for key in META if key in manifest}
        for kind, names in removal.left.items():
            old = manifest[kind]
            rest[kind] = {name: old[name] for name in names} if isinstance(old, dict) else names
        rest["state"] = "intended"
        if not removal.check and rest != manifest:
            write_atomic(path, json.dumps(rest, indent=1, sort_keys=True) + "\n")
        return rest != manifest
    if not removal.check:
        unlink(path)
        for name in NOTES:
            with contextlib.suppress(FileNotFoundError):
                unlink(os.path.join(os.path.dirname(path), name))
        reaper_before.forget(path, removal.before, removal.ours)
        ours = [os.path.dirname(path)]
        ours += sorted(manifest.get("directories", []) + manifest.get("homes", []), key=lambda p: -p.count("/"))
        ours += {os.path.dirname(path) for path in ours if os.path.basename(os.path.dirname(path)) == SHARED}
        for directory in ours:
            if not {"directories %s" % directory, "homes %s" % directory} & removal.existed:
                rmdir(directory)
    return True


def main():
    module = AnsibleModule(
        {
            "path": {"type": "path", "required": True},
            "purge_models": {"type": "bool", "default": False},
            "force": {"type": "bool", "default": False},
            "shown": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        if not module.check_mode:
            reaper_remains.clear()
        manifest = read(params["path"])
        if not manifest:
            module.exit_json(changed=False, **NOTHING, withheld=[], manifest={})
        more = [] if params["shown"] is None else beyond(params["shown"], manifest)
        if more:
            module.exit_json(changed=False, **NOTHING, withheld=more, manifest=manifest)
        removal = Removal(manifest, params["path"], module.check_mode, params["purge_models"], params["force"])
        removal.run()
        rewritten = finish(params["path"], manifest, removal)
    except Trouble as trouble:
        module.fail_json(msg=str(trouble))
    except OSError as error:
        module.fail_json(msg="%s: %s" % (error.filename or params["path"], error.strerror))
    before = "".join(line + "\n" for line in removal.removed)
    module.exit_json(
        changed=bool(removal.removed) or rewritten,
        withheld=[],
        manifest=manifest,
        removed=removal.removed,
        kept=removal.kept,
        diff={"before": before, "after": ""},
    )


if __name__ == "__main__":
    main()
