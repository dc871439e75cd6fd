#!/usr/bin/python
"""Reads, cleans up or empties the store of the site mirror."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_mirror
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_tree import Refused

DOCUMENTATION = r"""
module: mirror_store
short_description: The site mirror's cache, own models and counters
description:
  - Reads which blobs nginx has cached and whether they are complete, what Distribution stores, and what the logs
    counted; removes blobs that no lock lists or whose bytes are wrong; empties the cache.
options:
  paths: {description: "C(data), C(cache), C(own), C(log), C(tmp), C(run), C(sockets).", type: dict, required: true}
  state: {description: What to do., type: str, choices: [read, collected, cleared], default: read}
  keep: {description: With C(collected), digests to keep; the default is all., type: list, elements: str}
  verify: {description: With C(collected), hash every complete blob., type: bool, default: false}
  own: {description: With C(cleared), remove own models too., type: bool, default: false}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Read the mirror's store
  reaper_ops.ollama.mirror_store: {paths: "{{ reaper.paths }}"}
"""
RETURN = r"""
store: {description: What the mirror stores., type: dict, returned: when reading}
removed: {description: What was removed, and why., type: dict, returned: when collecting}
"""
PLACES = ("data", "cache", "own", "log", "tmp", "run", "sockets")


def step(params, check):
    paths = params["paths"]
    missing = [name for name in PLACES if not str(paths.get(name, "")).startswith("/")]
    if missing:
        raise Trouble("paths: %s is not an absolute path; give those of the mirror" % missing[0])
    if params["state"] == "read":
        return {"changed": False, "store": reaper_mirror.read(paths)}
    if params["state"] == "cleared":
        found = reaper_mirror.clear(paths, params["own"], check)
        return {"changed": bool(found), "cleared": found}
    keep = None if params["keep"] is None else set(params["keep"])
    answer = reaper_mirror.collect(paths, keep, params["verify"], check)
    return dict(answer, changed=bool(answer["removed"]) or answer["folded"])


def main():
    module = AnsibleModule(
        {
            "paths": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["read", "collected", "cleared"], "default": "read"},
            "keep": {"type": "list", "elements": "str"},
            "verify": {"type": "bool", "default": False},
            "own": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        answer = step(module.params, module.check_mode)
    except (Trouble, Refused) as trouble:
        module.fail_json(msg=str(trouble))
    except OSError as error:
        module.fail_json(msg="%s: %s" % (error.filename or module.params["paths"]["data"], error.strerror))
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
