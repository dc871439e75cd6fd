#!/usr/bin/python
"""Merges values into a JSON file that others also write, or removes ours again."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble, write_atomic
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_merge import dumped, merge, parse, same, without
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import brief

DOCUMENTATION = r"""
module: json_merge
short_description: Own a part of a shared JSON file
description:
  - Merges objects, unites lists and replaces anything else; all other keys stay as they are. Never touches a file
    that is not JSON. Validates the new text first and renames it into place.
options:
  path: {description: The file; created if missing., type: path, required: true}
  values: {description: What must be in it., type: dict, default: {}}
  absent: {description: Key paths (a/b) to remove if the value is ours., type: list, elements: str, default: []}
  owned: {description: Our values by key path, as an earlier run returned them., type: dict, default: {}}
  validate: {description: Command that validates the new text; %s is its file., type: list, elements: str}
  backup: {description: Keep the old text next to the file as C(.reaper_ops.bak)., type: bool, default: false}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Enable CDI in Docker
  reaper_ops.ollama.json_merge:
    path: /etc/docker/daemon.json
    values: {features: {cdi: true}}
    validate: [dockerd, --validate, "--config-file=%s"]
"""
RETURN = r"""
owned: {description: What this run added, by key path., type: dict, returned: always}
replaced: {description: The previous values, by key path., type: dict, returned: always}
kept: {description: Key paths of I(absent) whose value is not ours., type: list, elements: str, returned: always}
backup_file: {description: Where the old text is., type: str, returned: changed}
"""
NO_VALIDATOR = ("unknown flag", "flag provided but not defined", "unrecognized option")


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Trouble("%s: is not UTF-8 text: %s; nothing was changed, repair the file" % (path, error)) from None


def parsed(path, text):
    try:
        return parse(text or "")
    except ValueError as error:
        raise Trouble("%s: is not valid JSON: %s; nothing was changed, repair the file" % (path, error)) from None


def validate(module, text, near):
    """A note when there is no validator; Trouble with its message when it refuses."""
    argv = module.params["validate"]
    if not argv:
        return []
    program = module.get_bin_path(argv[0])
    if not program:
        return ["not validated: %s is not installed" % argv[0]]
    folder = tempfile.mkdtemp(prefix="reaper_ops-")
    try:
        candidate = os.path.join(folder, os.path.basename(near))
        write_atomic(candidate, text)
        words = [program] + [word.replace("%s", candidate) for word in argv[1:]]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    said = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode == 0:
        return []
    if any(hint in said for hint in NO_VALIDATOR):
        return ["not validated: this %s does not support it" % argv[0]]
    raise Trouble("%s: %s refuses the new text: %s; the file was not changed" % (near, argv[0], brief(said, -400)))


def work(module):
    params = module.params
    path = os.path.realpath(params["path"])
    text = read(path)
    before = parsed(path, text)
    rest, kept = without(before, params["absent"], params["owned"])
    after, owned, replaced = merge(rest, params["values"])
    changed = not same(before, after)
    fresh = dumped(after, text or "") if changed else text or ""
    answer = {"changed": changed, "owned": owned, "replaced": replaced, "kept": kept}
    answer.update(before=before, after=after, diff={"before": text or "", "after": fresh}, notes=[])
    if not changed:
        return answer
    answer["notes"] = validate(module, fresh, path)
    backup = path + ".reaper_ops.bak"
    if params["backup"] and text is not None:
        answer["backup_file"] = backup
    if not module.check_mode:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        if "backup_file" in answer:
            write_atomic(backup, text, os.stat(path).st_mode & 0o7777)
        write_atomic(path, fresh)
    return answer


def main():
    module = AnsibleModule(
        {
            "path": {"type": "path", "required": True},
            "values": {"type": "dict", "default": {}},
            "absent": {"type": "list", "elements": "str", "default": []},
            "owned": {"type": "dict", "default": {}},
            "validate": {"type": "list", "elements": "str"},
            "backup": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        answer = work(module)
    except Trouble as trouble:
        module.fail_json(msg=str(trouble))
    except OSError as error:
        module.fail_json(msg="%s: %s" % (error.filename or module.params["path"], error.strerror))
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
