#!/usr/bin/python
"""Keeps one server process without root and without systemd: started, stopped, restarted."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.reaper_files import Trouble, read_json, write_atomic

DOCUMENTATION = r"""
module: ollama_process
short_description: Run the server as a plain process
description:
  - Starts a detached process from a specification file, finds it again by process id, start time and command
    line, and stops it with everything that it started.
options:
  spec:
    description: JSON file with C(argv), C(environment), C(log), C(pid) and optionally C(cwd).
    type: path
    required: true
  state:
    description: C(started) also restarts a process whose REAPER_OPS_CONFIG is not that of the file.
    type: str
    choices: [started, stopped, restarted]
    default: started
  stop_timeout: {description: Seconds between SIGTERM and SIGKILL., type: int, default: 15}
  settle: {description: Seconds that a new process must survive., type: float, default: 0.5}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: The server runs
  ollama_process:
    spec: ~/.local/share/reaper_ops/ollama/env.json
    state: started
"""
RETURN = r"""
pid: {description: Process id; null when nothing runs., type: int, returned: always}
log: {description: Where the server writes., type: str, returned: always}
"""
LOG_LIMIT = 10 << 20
KEPT = ("HOME", "PATH", "USER", "LOGNAME", "LANG", "TMPDIR")
FINGERPRINT = "REAPER_OPS_CONFIG"


def stat_fields(pid):
    """Fields of /proc/PID/stat from the state on; None when there is no such process, or only its zombie."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields


def start_time(pid):
    fields = stat_fields(pid)
    return int(fields[19]) if fields else None


def boot_id():
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def proc_list(pid, name):
    try:
        with open("/proc/%d/%s" % (pid, name), "rb") as file:
            return file.read().decode("utf-8", "surrogateescape").split("\0")[:-1]
    except OSError:
        return []


def runs(pid, argv):
    """Whether PID runs argv; a script's interpreter may stand in front."""
    return bool(argv) and proc_list(pid, "cmdline")[-len(argv) :] == argv


def environ(pid):
    return dict(item.partition("=")[::2] for item in proc_list(pid, "environ"))


def recorded(spec):
    """What the pid file says, if it was written since the host started."""
    try:
        with open(spec["pid"], encoding="utf-8") as file:
            pid, _, rest = file.read().partition("\n")
        record = dict(json.loads(rest), pid=int(pid))
    except (OSError, ValueError):
        return None
    return record if record.get("boot") == boot_id() else None


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def find(spec):
    """Our running process: from the pid file, or by command line and address when that was lost."""
    record = recorded(spec)
    if record and start_time(record["pid"]) == record.get("start") and runs(record["pid"], record.get("argv")):
        return record["pid"]
    address = spec["environment"].get("OLLAMA_HOST")
    for pid in all_pids():
        own = environ(pid) if runs(pid, spec["argv"]) and stat_fields(pid) else None
        if own and own.get("OLLAMA_HOST") == address:
            return pid
    return None


def session(leader):
    """Living processes of the session that `leader` opened."""
    found = []
    for pid in all_pids():
        fields = stat_fields(pid)
        if fields and int(fields[3]) == leader:
            found.append(pid)
    return found


def orphans(spec):
    """Children that outlived our dead server; while they live, its number names nothing else."""
    record = recorded(spec)
    if not record or os.path.exists("/proc/%d" % record["pid"]):
        return []
    return session(record["pid"])


def load(path):
    spec = read_json(path)
    if spec is None:
        return None
    if not isinstance(spec, dict) or not all(spec.get(key) for key in ("argv", "log", "pid")):
        raise Trouble("%s: needs argv, log and pid; write it again with `reaper-ops up`" % path)
    spec.setdefault("environment", {})
    return spec


def kill(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_gone(pids, seconds):
    end = time.monotonic() + seconds
    while any(stat_fields(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def stop(spec, pid, timeout):
    """SIGTERM to the server, SIGKILL to what is left of its session."""
    try:
        if pid:
            kill([pid], signal.SIGTERM)
            wait_gone([pid], timeout)
        rest = set(session(pid) if pid else []) | set(orphans(spec)) | ({pid} if pid else set())
        kill(rest, signal.SIGKILL)
    except PermissionError:
        raise Trouble("process %s belongs to another user; stop it as that user" % pid) from None
    if not wait_gone(rest, 10):
        raise Trouble("process %s does not end, even by SIGKILL; it may hang in a driver: see dmesg" % pid)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(spec["pid"])


def rotate(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path) and os.path.getsize(path) > LOG_LIMIT:
        os.replace(path, path + ".1")


def become(spec, report):
    """In the grandchild: detach, write the pid file, run the server. Never returns."""
    try:
        os.setsid()
        os.umask(0o022)
        os.chdir(spec.get("cwd") or "/")
        log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.set_inheritable(report, False)
        for number in (int(name) for name in os.listdir("/proc/self/fd")):
            if number > 2 and number != report:
                with contextlib.suppress(OSError):
                    os.close(number)
        record = {"start": start_time(os.getpid()), "boot": boot_id(), "argv": spec["argv"]}
        write_atomic(spec["pid"], "%d\n%s\n" % (os.getpid(), json.dumps(record)))
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        os.execvpe(spec["argv"][0], spec["argv"], dict(kept, **spec["environment"]))
    except OSError as error:
        os.write(report, str(error.errno).encode())
    finally:
        os._exit(127)


def spawn(spec):
    """The detached process; an exec that fails is told through a pipe that a successful exec closes."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            become(spec, writer)
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as pipe:
        failed = pipe.read()
    if failed:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(spec["pid"])
        number = int(failed)
        raise Trouble(
            "%s: cannot be started: %s; see that the release is unpacked and its file system allows programs"
            % (spec["argv"][0], os.strerror(number) if number != errno.ENOEXEC else "is for another architecture")
        )
    return recorded(spec)["pid"]


def log_tail(path):
    try:
        with open(path, "rb") as file:
            file.seek(max(os.path.getsize(path) - 2000, 0))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return " | ".join(lines[-5:])


def start(spec, settle):
    rotate(spec["log"])
    os.makedirs(os.path.dirname(spec["pid"]), exist_ok=True)
    pid = spawn(spec)
    end = time.monotonic() + settle
    while time.monotonic() < end:
        if not stat_fields(pid):
            raise Trouble("the server ended at once; %s says: %s" % (spec["log"], log_tail(spec["log"])))
        time.sleep(0.05)
    return pid


def step(params, check):
    """Returns the answer; changes nothing when `check`."""
    spec = load(params["spec"])
    if spec is None:
        if params["state"] != "stopped" and not check:
            raise Trouble("%s: is not there or not JSON; write it again with `reaper-ops up`" % params["spec"])
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
        record = {"start": start_time(pid), "boot": boot_id(), "argv": spec["argv"]}
        write_atomic(spec["pid"], "%d\n%s\n" % (pid, json.dumps(record)))
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
