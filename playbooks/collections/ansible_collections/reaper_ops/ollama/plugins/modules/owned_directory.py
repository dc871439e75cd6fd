#!/usr/bin/python
"""Creates a directory with the right owner, in a way that its owner cannot redirect root elsewhere."""

from __future__ import annotations

import grp
import os
import pwd
import stat

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import Trouble

DOCUMENTATION = r"""
module: owned_directory
short_description: Create a directory, or give one with its contents to a user
description:
  - Unlike ansible.builtin.file, follows no link that a user other than root can have created, enters nothing that is
    mounted in the directory, and changes the owner of no file that has another hard link.
  - C(refused) lists what was left unchanged, with the reason.
options:
  path: {description: The directory; created if missing., type: path, required: true}
  owner: {description: Name or number of the user; the default is who runs this., type: str, default: ""}
  group: {description: Name or number of the group., type: str, default: ""}
  mode: {description: Octal mode of the directory itself., type: str, default: "0755"}
  private:
    description: No other user may enter it or change what leads to it; removes what a killed run left in it.
    type: bool
    default: false
  recurse: {description: Apply to all contents too; modes stay., type: bool, default: false}
  within:
    description: It must lie in one of these directories, after links are resolved; C(~USER) is a user's home.
    type: list
    elements: str
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Give the store to the server
  reaper_ops.ollama.owned_directory: {path: /var/lib/ollama/models, owner: ollama, group: ollama}
"""
RETURN = r"""
path: {description: The directory without links., type: str, returned: always}
given: {description: How many files and directories changed owner., type: int, returned: always}
refused: {description: What was left unchanged, and why., type: list, elements: str, returned: always}
"""
SHOWN = 20


def number(text, known, what, otherwise):
    if not text or text.isdigit():
        return int(text) if text else otherwise
    try:
        return known(text)
    except KeyError:
        raise Trouble("%s: no such %s; `reaper-ops up` creates it" % (text, what)) from None


def numbers(params):
    uid = number(params["owner"], lambda name: pwd.getpwnam(name).pw_uid, "user", os.geteuid())
    return uid, number(params["group"], lambda name: grp.getgrnam(name).gr_gid, "group", os.getegid())


def may_give(info):
    """Why the owner must not change; empty when it may."""
    if not (tree.is_file(info) or tree.is_folder(info)):
        return "is neither a file nor a directory"
    if tree.is_file(info) and info.st_nlink > 1:
        return "has %d hard links; one may lie elsewhere" % info.st_nlink
    return ""


def give(above, name, path, to, check):
    """(whether it changed owner, why not), decided and done on the opened descriptor."""
    try:
        fd = os.open(name, tree.PATH, dir_fd=above)
    except FileNotFoundError:
        return False, ""
    try:
        info = os.fstat(fd)
        why = may_give(info)
        if why or (info.st_uid, info.st_gid) == to:
            return False, why
        return check or tree.give(fd, *to), ""
    finally:
        os.close(fd)


def contents(fd, path, to, check):
    """(how many changed owner, what was refused) below a directory."""
    given, left = 0, {}
    for above, name, _info, at in tree.below(fd, path, left):
        if at in left:
            continue
        changed, why = give(above, name, at, to, check)
        given += changed
        if why:
            left[at] = why
    return given, ["%s: %s" % (at, getattr(why, "strerror", why)) for at, why in left.items()]


def emptied(fd, path):
    """Decided before anything is put there."""
    where = tree.exposed(os.path.dirname(path))
    if where or os.fstat(fd).st_uid != os.geteuid():
        raise Trouble("%s: other users can change %s; it must be %s" % (path, where or "it", "root's alone"))
    for name in os.listdir(fd):
        tree.remove(fd, name, os.path.join(path, name))


def missing(path):
    try:
        with tree.directory(path):
            return False
    except FileNotFoundError:
        return True


def itself(fd, to, mode, check):
    """Whether owner or mode of the directory differ."""
    info = os.fstat(fd)
    if stat.S_IMODE(info.st_mode) == mode and (info.st_uid, info.st_gid) == to:
        return False
    if not check:
        tree.give(fd, *to)
        os.fchmod(fd, mode)
    return True


def tops(params):
    found = [os.path.expanduser(top) for top in params["within"] if top != "~"]
    return [top for top in dict.fromkeys(found) if top.startswith("/")]


def step(params, check):
    to, mode = numbers(params), int(params["mode"], 8)
    path = tree.resolved(params["path"]) if params["within"] is None else tree.within(params["path"], tops(params))
    answer = {"path": path, "given": 0, "refused": [], "changed": False}
    if check and missing(path):
        return dict(answer, changed=True)
    made = missing(path)
    with tree.directory(path, make=0o755) as fd:
        if params.get("private"):
            mode = 0o700
            emptied(fd, path)
        keeps = mode if made or not params["recurse"] else stat.S_IMODE(os.fstat(fd).st_mode)
        answer["changed"] = itself(fd, to, keeps, check) or made
        if params["recurse"]:
            answer["given"], refused = contents(fd, path, to, check)
            answer["refused"] = refused[:SHOWN]
    return dict(answer, changed=answer["changed"] or bool(answer["given"]))


def main():
    module = AnsibleModule(
        {
            "path": {"type": "path", "required": True},
            "owner": {"type": "str", "default": ""},
            "group": {"type": "str", "default": ""},
            "mode": {"type": "str", "default": "0755"},
            "private": {"type": "bool", "default": False},
            "recurse": {"type": "bool", "default": False},
            "within": {"type": "list", "elements": "str"},
        },
        supports_check_mode=True,
    )
    try:
        answer = step(module.params, module.check_mode)
    except (Trouble, tree.Refused) as trouble:
        module.fail_json(msg=str(trouble))
    except OSError as error:
        module.fail_json(msg="%s: %s" % (error.filename or module.params["path"], error.strerror))
    for line in answer["refused"]:
        module.warn("left unchanged: " + line)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
