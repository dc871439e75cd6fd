#!/usr/bin/python
"""Runs one server process without root or systemd: starts, stops, restarts it."""

from __future__ import annotations

import sys

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_process import (
    FINGERPRINT,
    environ,
    find,
    load,
    orphans,
    record,
    recorded,
    start,
    stop,
)

DOCUMENTATION = r"""
module: ollama_process
short_description: Run the server as a plain process
description:
  - Starts a detached process from a specification file, finds it again by process id, start time and command
    line, and stops it together with its children.
options:
  spec:
    description: JSON file with C(argv), C(environment), C(log), C(pid) and optionally C(cwd).
    type: path
    required: true
  state:
    description: C(started) also restarts a process whose REAPER_OPS_CONFIG differs from the file.
    type: str
    choices: [started, stopped, restarted]
    default: started
  stop_timeout: {description: Seconds between SIGTERM and SIGKILL., type: int, default: 15}
  settle: {description: How many seconds a new process must survive., type: float, default: 0.5}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Start the server
  reaper_ops.ollama.ollama_process:
    spec: ~/.local/share/reaper_ops/ollama/env.json
    state: started
"""
RETURN = r"""
pid: {description: Process id; null when nothing runs., type: int, returned: always}
log: {description: Where the server writes., type: str, returned: always}
"""


def step(params, check):
    """Returns the result; changes nothing when `check`."""
    spec = load(params["spec"])
    if spec is None:
        if params["state"] != "stopped" and not check:
            raise Trouble("%s: is missing or not JSON; write it again with `reaper-ops up`" % params["spec"])
        return {"changed": params["state"] != "stopped", "pid": None, "log": "", "before": "stopped"}
    pid = find(spec)
    stray = orphans(spec)
    outdated = bool(pid) and environ(pid).get(FINGERPRINT, "") != spec["environment"].get(FINGERPRINT, "")
    wanted = params["state"] != "stopped"
    ends = bool(pid or stray) and (not wanted or params["state"] == "restarted" or outdated or bool(stray))
    starts = wanted and (not pid or ends)
    answer = {"changed": ends or starts, "pid": pid, "log": spec["log"]}
    answer["before"] = "outdated" if outdated else "running" if pid else "stopped"
    if check:
        return answer
    if ends:
        stop(spec, pid, params["stop_timeout"])
        answer["pid"] = None
    if starts:
        answer["pid"] = start(spec, params["settle"])
    elif pid and not ends and not recorded(spec):
        record(spec, pid)
    return answer


def main():
    module = AnsibleModule(
        {
            "spec": {"type": "path", "required": True},
            "state": {
                "type": "str",
                "choices": ["started", "stopped", "restarted"],
                "default": "started",
            },
            "stop_timeout": {"type": "int", "default": 15},
            "settle": {"type": "float", "default": 0.5},
        },
        supports_check_mode=True,
    )
    try:
        answer = step(module.params, module.check_mode)
    except Trouble as trouble:
        module.fail_json(msg=str(trouble))
    except OSError as error:
        module.fail_json(msg="%s: %s" % (error.filename or module.params["spec"], error.strerror))
    after = "stopped" if module.params["state"] == "stopped" else "running"
    answer["diff"] = {"before": answer.pop("before") + "\n", "after": after + "\n"}
    sys.stdout.flush()
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
