#!/usr/bin/python
"""Ends one process, if it is still the program that was observed."""

from __future__ import annotations

import os
import signal
import time

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: end_process
short_description: End one process by its id and name
description:
  - Sends SIGTERM and waits. Fails without touching the process when its id now belongs to another program, or to one
    that was started at another time.
options:
  pid: {description: The process., type: int, required: true}
  programs: {description: Names that the program may have., type: list, elements: str, required: true}
  began: {description: When it was started, in seconds since 1970 by the host's clock., type: int}
  timeout: {description: Seconds between SIGTERM and giving up., type: int, default: 30}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: End a second server that was started by hand
  reaper_ops.ollama.end_process: {pid: 4711, programs: [ollama], began: 1790000000}
"""
RETURN = r"""
command: {description: Its command line., type: str, returned: when it ran}
"""


SLACK = 30
"""Seconds: on a slow host, age and clock are not read at the same instant."""


def started(pid):
    """Seconds since 1970; None when there is no such process."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as handle:
            ticks = int(handle.read().rpartition(b")")[2].split()[19])
        with open("/proc/uptime") as handle:
            up = float(handle.read().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return None
    return time.time() - up + ticks / os.sysconf("SC_CLK_TCK")


def words(pid):
    """The command line, split; None when there is no such process, or only a zombie."""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as handle:
            found = handle.read().decode("utf-8", "replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return found or None


def main():
    module = AnsibleModule(
        argument_spec={
            "pid": {"type": "int", "required": True},
            "programs": {"type": "list", "elements": "str", "required": True},
            "began": {"type": "int"},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    pid, found = module.params["pid"], words(module.params["pid"])
    if found is None:
        module.exit_json(changed=False)
    if not set(module.params["programs"]) & {os.path.basename(word) for word in found[:3]}:
        module.fail_json(msg="process %d is now %s and was not touched" % (pid, found[0]))
    now, began = started(pid), module.params["began"]
    if began is not None and now is not None and abs(now - began) > SLACK:
        seconds = abs(now - began)
        module.fail_json(
            msg="process %d was started %d s apart from the observed one and was not touched" % (pid, seconds),
            next_step="run `reaper-ops doctor` again, which reads the current processes",
        )
    if module.check_mode:
        module.exit_json(changed=True, command=" ".join(found))
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        module.exit_json(changed=False)
    except OSError as error:
        module.fail_json(msg="process %d: %s" % (pid, error.strerror))
    deadline = time.monotonic() + module.params["timeout"]
    while words(pid) == found:
        if time.monotonic() > deadline:
            module.fail_json(msg="process %d did not exit within %d s" % (pid, module.params["timeout"]))
        time.sleep(0.2)
    module.exit_json(changed=True, command=" ".join(found))


if __name__ == "__main__":
    main()
