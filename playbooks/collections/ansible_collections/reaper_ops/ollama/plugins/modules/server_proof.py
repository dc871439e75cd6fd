#!/usr/bin/python
"""Checks that the process on the server's port is the server that was started, and no other."""

from __future__ import annotations

import os
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_host import Host
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_port import read_port
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import brief

DOCUMENTATION = r"""
module: server_proof
short_description: Check that our own server has the port and can start a runner
description:
  - Checks who listens on the port. Fails, and names the listener, when it is none of O(unit), O(container) and
    O(pid_file). Also fails when our own server runs from another configuration than O(config), or when the runner
    cannot be started. Changes nothing.
options:
  port: {description: The port of the server., type: int, required: true}
  unit: {description: systemd unit that runs it., type: str}
  container: {description: Container that runs it., type: str}
  pid_file: {description: File with the number of its process., type: path}
  config: {description: Its REAPER_OPS_CONFIG., type: str, required: true}
  runner: {description: Program that the server starts for each model; empty if there is none., type: str, default: ""}
  user: {description: Who runs it., type: str, default: ""}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Check that our server answers
  reaper_ops.ollama.server_proof: {port: 11434, unit: ollama.service, config: "{{ reaper.config_hash }}"}
"""
RETURN = r"""
holders: {description: Who listens on the port., type: list, elements: dict, returned: always}
"""
PATIENCE = 10.0


def is_ours(row, params):
    if params["unit"]:
        return row.get("ours") or row.get("cgroup", "").endswith("/" + params["unit"])
    if params["container"]:
        return row.get("container", "").split(" ")[0] == params["container"]
    return row.get("ours") or row.get("mark") == params["config"]


def who(row):
    if row.get("container"):
        return "the container %s" % row["container"].split(" ")[0]
    if not row.get("pid"):
        return "a process of another user"
    return "pid %d (%s, user %s)" % (row["pid"], " ".join(row.get("argv", [])[:3]), row.get("user", "?"))


def verdict(rows, params):
    """Why the check failed; empty when our own server has the port. A published port can have no socket."""
    ours = [row for row in rows if is_ours(row, params)]
    name = params["unit"] or params["container"] or "our process"
    if not ours:
        if params["container"] and not rows:
            return ""
        others = ", ".join(sorted({who(row) for row in rows})) or "nobody"
        return "port %d is held by %s, not by %s" % (params["port"], others, name)
    marks = {row.get("mark") for row in ours} - ({"", None} if params["container"] else set())
    if marks and params["config"] not in marks:
        return "%s runs from another configuration than the one just written" % name
    return ""


def cannot_start(path, user):
    """Why the program cannot be started; any other output counts as started."""
    if not os.path.exists(path):
        return "%s is missing: no model can be loaded; the release is incomplete" % path
    env = dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(path), LC_ALL="C.UTF-8")
    more = {"user": user, "extra_groups": []} if user and os.getuid() == 0 else {}
    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
            env=env,
            cwd="/",
            **more,
        )
    except subprocess.TimeoutExpired:
        return ""
    except OSError as error:
        return "%s cannot be started: %s; no model can be loaded" % (path, error.strerror)
    if done.returncode not in (126, 127):
        return ""
    said = brief(" ".join(done.stderr.decode("utf-8", "replace").split()), -300)
    return "%s cannot be started: %s; no model can be loaded" % (path, said or "exit code %d" % done.returncode)


def main():
    module = AnsibleModule(
        {
            "port": {"type": "int", "required": True},
            "unit": {"type": "str"},
            "container": {"type": "str"},
            "pid_file": {"type": "path"},
            "config": {"type": "str", "required": True},
            "runner": {"type": "str", "default": ""},
            "user": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
        required_one_of=[("unit", "container", "pid_file")],
    )
    params = module.params
    server = {key: params[key] for key in ("unit", "container", "pid_file") if params[key]}
    host = Host(None, time.monotonic() + PATIENCE)
    found = read_port(host, {"port": params["port"], "server": server})
    rows = [row for row in found["rows"] if row["port"] == params["port"]]
    problem = verdict(rows, params) or (cannot_start(params["runner"], params["user"]) if params["runner"] else "")
    if problem:
        module.fail_json(msg=problem, holders=rows)
    module.exit_json(changed=False, holders=rows)


if __name__ == "__main__":
    main()
