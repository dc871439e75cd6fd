"""One server process: started detached, found again, stopped with its children."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import time

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble, read_json, write_atomic
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import redact

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


def record_path(spec):
    return spec["pid"] + ".json"


def record(spec, pid):
    """Records which process is ours; the pid file next to it is for people and other programs."""
    row = {"pid": pid, "start": start_time(pid), "boot": boot_id(), "argv": spec["argv"]}
    write_atomic(record_path(spec), json.dumps(row) + "\n")
    write_atomic(spec["pid"], "%d\n" % pid)


def forget(spec):
    for path in (spec["pid"], record_path(spec)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def recorded(spec):
    """The recorded process, if recorded since the host booted."""
    row = read_json(record_path(spec))
    whole = isinstance(row, dict) and isinstance(row.get("pid"), int) and isinstance(row.get("argv"), list)
    return row if whole and row.get("boot") == boot_id() else None


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def find(spec):
    """Our running process: from the pid file, or by command line and address when that was lost."""
    row = recorded(spec)
    if row and start_time(row["pid"]) == row.get("start") and runs(row["pid"], row["argv"]):
        return row["pid"]
    address = spec["environment"].get("OLLAMA_HOST")
    for pid in all_pids():
        own = environ(pid) if runs(pid, spec["argv"]) and stat_fields(pid) else None
        if own and own.get("OLLAMA_HOST") == address:
            return pid
    return None


def session(leader):
    """Live processes of the session that `leader` started."""
    found = []
    for pid in all_pids():
        fields = stat_fields(pid)
        if fields and int(fields[3]) == leader:
            found.append(pid)
    return found


def orphans(spec):
    """Children that outlived our dead server; while they live, its pid is not reused."""
    row = recorded(spec)
    if not row or os.path.exists("/proc/%d" % row["pid"]):
        return []
    return session(row["pid"])


def own_ground(*paths):
    """No other user may be able to change the program that runs or the files that it names for writing."""
    for path in paths:
        there = path
        while not os.path.lexists(there):
            there = os.path.dirname(there) or "/"
        where = tree.exposed(there)
        if where:
            raise Trouble(
                "%s: a user other than root can change %s, so nothing there runs as root; use "
                "`ansible_become_user` or `-u` to run it as that user, or a directory that root owns" % (path, where)
            )


def load(path):
    own_ground(os.path.dirname(os.path.abspath(path)))
    spec = read_json(path)
    if spec is None:
        return None
    if not isinstance(spec, dict) or not all(spec.get(key) for key in ("argv", "log", "pid")):
        raise Trouble("%s: needs argv, log and pid; write it again with `reaper-ops up`" % path)
    own_ground(spec["argv"][0], os.path.dirname(spec["log"]), os.path.dirname(spec["pid"]))
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
    """Sends SIGTERM to the server, then SIGKILL to what is left of its session."""
    try:
        if pid:
            kill([pid], signal.SIGTERM)
            wait_gone([pid], timeout)
        rest = set(session(pid) if pid else []) | set(orphans(spec)) | ({pid} if pid else set())
        kill(rest, signal.SIGKILL)
    except PermissionError:
        raise Trouble("process %s belongs to another user; stop it as that user" % pid) from None
    if not wait_gone(rest, 10):
        raise Trouble("process %s does not exit, even on SIGKILL; it may hang in a driver: see dmesg" % pid)
    forget(spec)


def rotate(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path) and os.path.getsize(path) > LOG_LIMIT:
        os.replace(path, path + ".1")


def become(spec, report):
    """In the grandchild: detaches, writes the pid file, runs the server. Never returns."""
    try:
        os.setsid()
        os.umask(0o022)
        os.chdir(spec.get("cwd") or "/")
        log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(log, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.set_inheritable(report, False)
        for number in (int(name) for name in os.listdir("/proc/self/fd")):
            if number > 2 and number != report:
                with contextlib.suppress(OSError):
                    os.close(number)
        record(spec, os.getpid())
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        os.execvpe(spec["argv"][0], spec["argv"], dict(kept, **spec["environment"]))
    except OSError as error:
        os.write(report, str(error.errno).encode())
    finally:
        os._exit(127)


def spawn(spec):
    """The detached process; a failed exec is reported through a pipe that a successful exec closes."""
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
        forget(spec)
        number = int(failed)
        raise Trouble(
            "%s: cannot be started: %s; check that the release is unpacked and its file system allows execution"
            % (spec["argv"][0], os.strerror(number) if number != errno.ENOEXEC else "is built for another architecture")
        )
    return recorded(spec)["pid"]


def log_tail(path):
    try:
        with open(path, "rb") as file:
            file.seek(max(os.path.getsize(path) - 2000, 0))
            whole = file.tell() == 0
            lines = redact(file.read().decode("utf-8", "replace")).splitlines()[0 if whole else 1 :]
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
            raise Trouble("the server exited at once; last line of %s: %s" % (spec["log"], log_tail(spec["log"])))
        time.sleep(0.05)
    return pid
