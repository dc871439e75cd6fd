"""What a diagnosis reads from a running host: sockets, processes, the server's limits and cgroup, names, rules.

Each answer is text in the format of the tool that prints the same: ss, ps, grep.
"""

import os
import pwd
import re
import socket
import struct
import threading
import time

from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_command import pid_of, run_command
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_host import beside, redact

PATIENCE = 3.0
LISTEN = "0A"
SERVERS = re.compile(r"ollama|llama[-_. ]|llama$", re.IGNORECASE)
STARTERS = re.compile(r"(?:ba|da|z|k)?sh$|sudo$|su$|doas$|runuser$|timeout$")
LARGEST = 12
MAX_PROCESSES = 200
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
MEMORY = (
    *("memory.max", "memory.high", "memory.current", "memory.peak", "memory.events", "memory.swap.max"),
    *("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"),
    *("memory.memsw.limit_in_bytes", "cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"),
)
INHERITED = ("memory.max", "memory.high", "memory.limit_in_bytes", "cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us")


def said(text, **more):
    """The answer of a command that succeeded."""
    return dict({"rc": 0, "stdout": redact(text), "stderr": "", "truncated": False, "timed_out": False}, **more)


def read_sockets(host, _ask):
    """Listening TCP sockets as `ss -ltnp` prints them; without root, owners of foreign sockets are unknown."""
    found = []
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        text = beside(host.place("/proc/net/" + name), {"max_bytes": 4 << 20})
        for line in (text or "").splitlines()[1:]:
            words = line.split()
            if len(words) > 9 and words[3] == LISTEN:
                found.append((address_of(words[1], family), int(words[4].split(":")[1], 16), words[9]))
    owners = owners_of({inode for _address, _waiting, inode in found}, time.monotonic() + host.left(PATIENCE))
    rows = ["State Recv-Q Send-Q Local Address:Port Peer Address:Port Process"]
    rows += ["LISTEN %d 0 %s *:* %s" % (waiting, where, owners.get(inode, "")) for where, waiting, inode in found]
    return said("".join(row.rstrip() + "\n" for row in rows))


def address_of(text, family):
    raw, port = text.split(":")
    packed = b"".join(struct.pack("=I", int(raw[at : at + 8], 16)) for at in range(0, len(raw), 8))
    address = socket.inet_ntop(family, packed)
    if family == socket.AF_INET6:
        address = "*" if address == "::" else "[%s]" % address
    return "%s:%d" % (address, int(port, 16))


def owners_of(inodes, until):
    """`users:((...))` by socket inode, as far as this user may read."""
    found = {}
    for pid in pids():
        if len(found) >= len(inodes) or time.monotonic() >= until:
            break
        try:
            links = [(fd, os.readlink("/proc/%d/fd/%s" % (pid, fd))) for fd in os.listdir("/proc/%d/fd" % pid)]
        except OSError:
            continue
        for fd, link in links:
            inode = link[8:-1] if link.startswith("socket:[") else ""
            if inode in inodes and inode not in found:
                found[inode] = 'users:(("%s",pid=%d,fd=%s))' % (name_of(pid), pid, fd)
    return found


def pids():
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def name_of(pid):
    return (beside("/proc/%d/comm" % pid, {}) or "").strip().replace('"', "")


def read_processes(_host, ask):
    """Ollama's processes, those that wait for a disk, and the largest, in the columns of
    `ps -eo pid,ppid,user,etimes,state,wchan,rss,cgroup,args`."""
    mine, above, rows = {os.getpid()}, started_by(), []
    for row in filter(None, map(process_of, pids())):
        if row["pid"] in mine or row["parent"] in mine:
            mine.add(row["pid"])
        elif row["pid"] not in above:
            rows.append(row)
    largest = sorted(rows, key=lambda row: -row["rss"])[: int(ask.get("largest", LARGEST))]
    ours = [row for row in rows if SERVERS.search(row["command"]) or row["state"] == "D"]
    chosen = {row["pid"]: row for row in (largest + ours)[:MAX_PROCESSES]}
    lines = ["PID PPID USER ELAPSED S WCHAN RSS CGROUP COMMAND"]
    lines += [line_of(chosen[pid]) for pid in sorted(chosen)]
    return said("\n".join(lines) + "\n")


def started_by():
    """Shells and sudo by which this one was started."""
    found, pid = set(), os.getppid()
    while pid > 1 and pid not in found and STARTERS.match(name_of(pid)):
        found.add(pid)
        stat = beside("/proc/%d/stat" % pid, {}) or ""
        pid = int((stat.rpartition(")")[2].split() or ["", "0"])[1])
    return found


def process_of(pid):
    stat = beside("/proc/%d/stat" % pid, {})
    fields = (stat or "").rpartition(")")[2].split()
    if len(fields) < 22:
        return None
    words = (beside("/proc/%d/cmdline" % pid, {"max_bytes": 4096}) or "").split("\0")
    command = " ".join(word for word in words if word) or "[%s]" % stat[stat.find("(") + 1 : stat.rfind(")")]
    return {
        "pid": pid,
        "state": fields[0],
        "parent": int(fields[1]),
        "age": max(0, int(uptime() - int(fields[19]) / TICKS)),
        "rss": max(0, int(fields[21])) * PAGE // 1024,
        "command": " ".join(command.split())[:500],
    }


def uptime():
    return float((beside("/proc/uptime", {}) or "0").split()[0])


def line_of(row):
    pid = row["pid"]
    waits = (beside("/proc/%d/wchan" % pid, {}) or "").strip()
    group = memory_group("/proc/%d/cgroup" % pid).replace(" ", "\\x20")
    words = (pid, row["parent"], user_of(pid), row["age"], row["state"], waits if waits not in ("", "0") else "-")
    return " ".join(map(str, (*words, row["rss"], group or "-", row["command"])))


def user_of(pid):
    try:
        uid = os.stat("/proc/%d" % pid).st_uid
        return pwd.getpwuid(uid).pw_name.replace(" ", "_")
    except OSError:
        return "-"
    except KeyError:
        return str(uid)


def groups(path):
    """{controllers: group}; "" names the unified hierarchy."""
    rows = [line.split(":", 2) for line in (beside(path, {}) or "").splitlines()]
    return {row[1]: row[2] for row in rows if len(row) == 3}


def memory_group(path):
    """The cgroup that limits memory: in v1 if it has the controller, otherwise in v2."""
    found = groups(path)
    by_memory = [group for names, group in found.items() if "memory" in names.split(",")]
    return (by_memory or [found.get("", "")])[0]


def read_server(host, ask):
    """Text about the running server: its limits, or the counters of its cgroup as `grep . FILES` prints them."""
    pid = pid_of(host, ask)
    if not pid or not os.path.exists("/proc/%d" % pid):
        return {"found": False}
    if ask["what"] == "limits":
        with open("/proc/%d/limits" % pid, "rb") as handle:
            return said(handle.read().decode("utf-8", "replace"), found=True)
    return said("".join(counters(groups("/proc/%d/cgroup" % pid))), found=True)


def counters(found):
    for names, group in found.items():
        wanted = [name for name in names.split(",") if name in ("memory", "cpu")]
        for base in ["/sys/fs/cgroup/" + name for name in wanted] if names else ["/sys/fs/cgroup"]:
            yield from counted(base, group.rstrip("/"))


def counted(base, group):
    """The cgroup's own files, then its parents' limits."""
    names = MEMORY
    while True:
        for name in names:
            path = "%s%s/%s" % (base, group, name)
            for line in (beside(path, {}) or "").splitlines():
                yield "%s:%s\n" % (path, line)
        if not group:
            return
        group, names = group.rpartition("/")[0], INHERITED


def read_commands(host, ask):
    """Runs several small tools in turn, each under a heading `==> name <==`; omits missing ones."""
    parts, unread = [], {}
    for name, argv in ask["commands"].items():
        answer = run_command(host, {"argv": argv, "timeout": ask.get("timeout", 2), "max_bytes": 64 * 1024})
        if answer.get("missing"):
            continue
        if answer["rc"] == 0 and not answer["timed_out"]:
            parts.append("==> %s <==\n%s\n" % (name, answer["stdout"].rstrip("\n")))
        else:
            unread[name] = "did not finish in time" if answer["timed_out"] else answer["stderr"].strip()[-200:]
    return said("".join(parts), unread=unread) if unread else said("".join(parts))


def read_resolve(host, ask):
    """`NAME ADDRESS...` per line, or `NAME: error of the resolver`."""
    found = {}
    threads = [threading.Thread(target=resolve, args=(name, found), daemon=True) for name in ask["names"]]
    until = time.monotonic() + host.left(PATIENCE)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return said("".join("%s%s\n" % (name, found.get(name, ": no answer in time")) for name in ask["names"]))


def resolve(name, found):
    try:
        rows = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        found[name] = ": %s" % (getattr(exc, "strerror", None) or exc)
    else:
        found[name] = "".join(" " + row[4][0] for row in rows)
