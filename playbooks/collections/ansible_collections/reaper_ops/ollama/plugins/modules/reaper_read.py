#!/usr/bin/python
"""Answers a list of read-only questions about a host in one pass. Standard library only, Python 3.6 or newer."""

import contextlib
import grp
import hashlib
import json
import os
import pwd
import shutil
import sys
import threading
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_command import read_process, run_command
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_containers import read_containers
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_host import Host, reason
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_http import read_http
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_paths import (
    read_dir,
    read_file,
    read_glob,
    read_statvfs,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_place import read_exposed, read_place
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_port import read_port
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_stores import (
    read_access,
    read_binaries,
    read_drift,
    read_identities,
    read_stores,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_traces import (
    read_commands,
    read_processes,
    read_resolve,
    read_server,
    read_sockets,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_units import read_unit_files
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_upstream import read_upstream

DOCUMENTATION = r"""
module: reaper_read
short_description: Read many facts of a host in one pass without changing it
description:
  - Takes a list of asks and answers all of them in parallel, within one time limit and one size limit.
  - An ask that cannot be answered has C(error) in its answer; the module itself does not fail.
  - Passwords in URLs and values of variables named like secrets are replaced by C(***).
options:
  asks:
    description:
      - Each ask has C(id), C(kind) and the arguments of its kind.
      - C(file) takes C(path); C(glob) takes C(patterns), C(content), C(match), C(beside).
      - C(command) takes C(argv), C(timeout); C(statvfs) takes C(paths); C(listdir) takes C(path).
      - C(user) takes C(name); C(which) takes C(names); C(identity) takes nothing.
      - C(process) takes C(unit), C(container) or C(pid_file), and C(name), the program it must be.
      - C(http) takes C(base_url), C(requests), C(connect_timeout).
      - C(file) and C(command) also take C(max_bytes), C(tail), C(grep), C(lines), C(also).
      - C(sockets), C(processes) and C(containers) take nothing; C(commands) takes C(commands).
      - C(server) takes what C(process) takes, and C(what), C(limits) or C(cgroup).
      - C(stores) and C(access) take C(path), C(others), C(server), C(user); C(binaries) takes C(name), C(places).
      - C(port) takes C(port), C(bind), C(server); C(unit_files) takes C(unit).
      - C(place) takes C(path), C(server), C(user); C(exposed) takes C(path).
      - C(identities) takes C(path), the store; C(drift) takes C(path), our manifest; C(resolve) takes C(names).
      - C(upstream) takes C(base_url), C(models), C(path), C(server), C(version).
      - Each may take C(after), seconds to wait before it is read; the others are read meanwhile.
    type: list
    elements: dict
    required: true
  root:
    description: Directory with stand-ins, for rehearsals. A path that exists below it is read there.
    type: path
  budget:
    description: Time limit in seconds; whatever has not been read by then is reported as not read.
    type: float
    default: 10.0
author: reaper_ops
"""

EXAMPLES = r"""
- name: Read the memory and ask the server for its version
  reaper_ops.ollama.reaper_read:
    asks:
      - {id: memory, kind: file, path: /proc/meminfo}
      - {id: api, kind: http, base_url: "http://127.0.0.1:11434", requests: [{path: /api/version}]}
"""

RETURN = r"""
answers:
  description: One answer for each ask, by its id.
  returned: always
  type: dict
"""

MAX_TOTAL = 2 * 1024 * 1024
WORKERS = 24
SLOW = (
    *("command", "http", "process", "statvfs", "user", "containers", "commands", "server", "stores", "access"),
    "identities",
    *("binaries", "resolve", "processes", "sockets", "upstream", "port", "place", "unit_files"),
)


def read_user(_host, ask):
    try:
        entry = pwd.getpwnam(ask["name"])
    except KeyError:
        return {"exists": False}
    groups = [name_of_group(gid) for gid in os.getgrouplist(entry.pw_name, entry.pw_gid)]
    return {
        "exists": True,
        "uid": entry.pw_uid,
        "gid": entry.pw_gid,
        "home": entry.pw_dir,
        "home_exists": os.path.isdir(entry.pw_dir),
        "shell": entry.pw_shell,
        "groups": groups,
    }


def name_of_group(gid):
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def read_which(host, ask):
    return {"names": {name: shutil.which(name, path=host.path) for name in ask["names"]}}


def machine():
    """Identifies a machine without revealing its machine id, as machine-id(5) requires."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            known = file.read(64).strip()
            if known:
                return hashlib.sha256(b"reaper_ops machine " + known).hexdigest()[:32]
    return ""


def read_identity(_host, _ask):
    kernel = os.uname()
    return {
        "uid": os.getuid(),
        "gid": os.getgid(),
        "home": os.path.expanduser("~"),
        "python": sys.version.split()[0],
        "machine": machine(),
        "hostname": kernel.nodename,
        "kernel": kernel.release,
        "arch": kernel.machine,
        "cpus": len(os.sched_getaffinity(0)),
        "time": round(time.time(), 3),
        "caps": capabilities(),
        "own_namespace": own_namespace(),
    }


def capabilities():
    """The effective capabilities of this process, as bits."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        found = [line.split()[1] for line in file if line.startswith("CapEff:")]
    return int(found[0], 16) if found else None


def own_namespace():
    """Whether root here is only root of a user namespace, not of the machine."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            return file.read().split() != ["0", "0", "4294967295"]
    except OSError:
        return None


KINDS = {
    "file": read_file,
    "glob": read_glob,
    "command": run_command,
    "statvfs": read_statvfs,
    "listdir": read_dir,
    "user": read_user,
    "which": read_which,
    "identity": read_identity,
    "process": read_process,
    "http": read_http,
    "upstream": read_upstream,
    "sockets": read_sockets,
    "processes": read_processes,
    "server": read_server,
    "commands": read_commands,
    "resolve": read_resolve,
    "containers": read_containers,
    "stores": read_stores,
    "access": read_access,
    "identities": read_identities,
    "binaries": read_binaries,
    "drift": read_drift,
    "place": read_place,
    "exposed": read_exposed,
    "port": read_port,
    "unit_files": read_unit_files,
}


def answer_one(host, ask):
    read = KINDS.get(ask.get("kind"))
    if read is None:
        return {"error": "unknown kind %r" % ask.get("kind")}
    try:
        if "after" in ask:
            time.sleep(host.left(ask["after"]))
        return read(host, ask)
    except Exception as exc:
        return {"error": reason(exc)}


def urgency(ask):
    return 0 if "after" in ask else 1 if ask.get("kind") in SLOW else 2


def answer_all(host, asks):
    """Answers the asks in a few threads, slow kinds first. A thread that hangs is abandoned, not waited for."""
    answers, todo, done = {}, sorted(asks, key=urgency), threading.Condition()
    waiting = iter(todo)

    def work():
        while True:
            with done:
                ask = next(waiting, None)
            if ask is None:
                return
            answer = answer_one(host, ask)
            with done:
                answers[str(ask.get("id"))] = answer
                done.notify()

    for _number in range(min(WORKERS, len(todo))):
        threading.Thread(target=work, daemon=True).start()
    with done:
        done.wait_for(lambda: len(answers) >= len(todo), timeout=host.left(1e9))
        got = dict(answers)
    host.stop()
    late = {"error": "no answer in time"}
    return bounded([(str(ask.get("id")), got.get(str(ask.get("id")), late)) for ask in asks])


def bounded(pairs):
    answers, total = {}, 0
    for name, answer in pairs:
        size = len(json.dumps(answer))
        fits = total + size <= MAX_TOTAL
        total += size if fits else 0
        answers[name] = answer if fits else {"error": "more than 2 MiB in total; not sent"}
    return answers


def answers(params):
    """The answers to the asks of `params`, within its budget."""
    host = Host(params["root"], time.monotonic() + params["budget"])
    return answer_all(host, params["asks"])


def main():
    module = AnsibleModule(
        argument_spec={
            "asks": {"type": "list", "elements": "dict", "required": True},
            "root": {"type": "path"},
            "budget": {"type": "float", "default": 10.0},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, answers=answers(module.params))


if __name__ == "__main__":
    main()
