#!/usr/bin/python
"""Moves a file of a model store aside, so that it can be put back when that did not help."""

from __future__ import annotations

import glob
import os

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: set_aside
short_description: Move a file of a model store aside, put it back, or throw it away
description:
  - Only a regular file below I(store)C(/manifests) or I(store)C(/blobs) is touched; links are not followed.
  - What is set aside lies in I(store)C(/set-aside), which Ollama does not read, on the same file system.
options:
  store: {description: The model store., type: path, required: true}
  path: {description: The file; with C(*) at its end all files that begin so., type: path, required: true}
  state: {description: What is wanted., type: str, required: true, choices: [aside, back, discarded]}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Set a damaged blob aside
  set_aside: {store: /var/lib/ollama/models, path: /var/lib/ollama/models/blobs/sha256-00, state: aside}
"""
RETURN = r"""
kept: {description: Where it lies while it is aside., type: str, returned: always}
"""
ROOMS = ("manifests", "blobs")


class Refused(Exception):
    pass


def places(store, path):
    """The file, and where it lies while it is aside."""
    store = os.path.realpath(store)
    place = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    inside = os.path.relpath(place, store)
    if inside.split(os.sep)[0] not in ROOMS or inside in ROOMS:
        raise Refused("%s: is no file of the model store %s" % (path, store))
    return place, os.path.join(store, "set-aside", inside)


def step(params, check):
    place, kept = places(params["store"], params["path"])
    start, end = {"aside": (place, kept), "back": (kept, place), "discarded": (kept, None)}[params["state"]]
    found = matching(start)
    answer = {"changed": bool(found), "kept": kept}
    for source in found:
        target = os.path.join(os.path.dirname(end), os.path.basename(source)) if end else None
        if os.path.islink(source) or not os.path.isfile(source):
            raise Refused("%s: is no regular file" % source)
        if params["state"] == "back" and os.path.lexists(target):
            raise Refused("%s: is there again; the old one stays in %s" % (target, source))
        if not check:
            move(source, target)
    if found and not check:
        tidy(os.path.dirname(kept), os.path.realpath(params["store"]))
    return answer


def matching(path):
    if path.endswith("*"):
        return sorted(glob.glob(glob.escape(path[:-1]) + "*"))
    return [path] if os.path.lexists(path) else []


def move(source, target):
    """To nowhere when there is no target."""
    if target is None:
        os.unlink(source)
        return
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    os.replace(source, target)


def tidy(directory, top):
    """Removes directories that became empty."""
    while directory != top and os.path.isdir(directory) and not os.listdir(directory):
        os.rmdir(directory)
        directory = os.path.dirname(directory)


def main():
    module = AnsibleModule(
        argument_spec={
            "store": {"type": "path", "required": True},
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "required": True, "choices": ["aside", "back", "discarded"]},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**step(module.params, module.check_mode))
    except Refused as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg="%s: %s" % (error.filename, error.strerror))


if __name__ == "__main__":
    main()
