"""Who listens on a port: the process, its user, unit and container, and whether it is the server that we run."""

import os
import re
import socket
import time

from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_command import pid_of, run_command
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_host import beside, contents, redact_words
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_traces import (
    LISTEN,
    PATIENCE,
    address_of,
    groups,
    owners_of,
    user_of,
)

MARK = "REAPER_OPS_CONFIG"
FORWARDERS = ("docker-proxy", "rootlessport", "conmon", "pasta", "slirp4netns")
CONTAINER = re.compile(r"(?:docker|libpod|crio)-([0-9a-f]{64})|/docker/([0-9a-f]{64})")


def read_port(host, ask):
    """Listening sockets on the port, and those of our own server on any port."""
    server = pid_of(host, ask["server"]) if ask.get("server") else 0
    sockets = listening(host)
    here = {inode for _address, port, inode in sockets if port == ask["port"]}
    own = inodes_of(server) if server else set()
    owners = owners_of(here - own, time.monotonic() + host.left(PATIENCE))
    rows = []
    for address, port, inode in sockets:
        if port != ask["port"] and inode not in own:
            continue
        owner = re.search(r"pid=(\d+)", owners.get(inode, ""))
        pid = server if inode in own else int(owner.group(1)) if owner else 0
        rows.append(
            dict({"address": address, "port": port}, **(described(host, pid, server, ask["port"]) if pid else {}))
        )
    answer = {"server": server, "rows": rows}
    if rows and ask.get("bind"):
        answer["taken"] = taken(ask["bind"], ask["port"], rows)
    return answer


def listening(host):
    """(address, port, inode) of each listening TCP socket."""
    found = []
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        text = beside(host.place("/proc/net/" + name), {"max_bytes": 4 << 20})
        for line in (text or "").splitlines()[1:]:
            columns = line.split()
            if len(columns) > 9 and columns[3] == LISTEN:
                address, _, port = address_of(columns[1], family).rpartition(":")
                found.append((address.strip("[]"), int(port), columns[9]))
    return found


def inodes_of(pid):
    """Inodes of the sockets that a process holds."""
    found = set()
    try:
        for fd in os.listdir("/proc/%d/fd" % pid):
            link = os.readlink("/proc/%d/fd/%s" % (pid, fd))
            if link.startswith("socket:["):
                found.add(link[8:-1])
    except OSError:
        return found
    return found


def described(host, pid, server, port):
    group = groups("/proc/%d/cgroup" % pid)
    cgroup = group.get("") or group.get("name=systemd") or ""
    argv = command_of(pid)
    row = {
        "pid": pid,
        "user": user_of(pid),
        "argv": redact_words(argv)[:8],
        "cgroup": cgroup,
        "ours": pid == server,
        "mark": variable(pid, MARK),
        "models": variable(pid, "OLLAMA_MODELS"),
        "home": variable(pid, "HOME"),
    }
    inside = CONTAINER.search(cgroup)
    if os.path.basename((argv or [""])[0]) in FORWARDERS or inside:
        row["container"] = container(host, port, (inside.group(1) or inside.group(2)) if inside else "")
    row["unit"] = socket_unit(host, port) if pid == 1 else service_of(host, pid, cgroup)
    return row


def service_of(host, pid, cgroup):
    """The service that runs the process as its own; leftovers of a login or a job only share its cgroup."""
    unit = cgroup.rpartition("/")[2]
    if not unit.endswith(".service") or "/user.slice/" in cgroup:
        return ""
    argv = ["systemctl", "show", unit, "--property=MainPID"]
    main = run_command(host, {"argv": argv, "timeout": 4}).get("stdout", "").strip().rpartition("=")[2]
    return unit if main in (str(pid), parent_of(pid)) and main not in ("", "0", "1") else ""


def parent_of(pid):
    fields = (beside("/proc/%d/stat" % pid, {}) or "").rpartition(")")[2].split()
    return fields[1] if len(fields) > 1 else ""


def command_of(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as handle:
            return [word for word in handle.read(4096).decode("utf-8", "replace").split("\0") if word]
    except OSError:
        return []


def variable(pid, name):
    try:
        raw = contents("/proc/%d/environ" % pid, {})[0].decode("utf-8", "replace")
    except OSError:
        return ""
    return next((item.partition("=")[2] for item in raw.split("\0") if item.startswith(name + "=")), "")


def container(host, port, id_):
    """`NAME IMAGE` of the container that publishes the port or runs the process."""
    wanted = "id=" + id_ if id_ else "publish=%d" % port
    for tool in ("docker", "podman"):
        argv = [tool, "ps", "--no-trunc", "--filter", wanted, "--format", "{{.Names}} {{.Image}}"]
        answer = run_command(host, {"argv": argv, "timeout": 4})
        if answer.get("rc") == 0 and answer["stdout"].strip():
            return answer["stdout"].splitlines()[0].strip()
    return ""


def socket_unit(host, port):
    """The socket unit on whose behalf systemd listens."""
    argv = ["systemctl", "list-sockets", "--no-legend", "--no-pager", "--plain"]
    out = run_command(host, {"argv": argv, "timeout": 4}).get("stdout", "")
    rows = [line.split() for line in out.splitlines()]
    return next((row[1] for row in rows if len(row) > 1 and row[0].rpartition(":")[2] == str(port)), "")


def taken(bind, port, rows):
    """Why our address is taken when other programs listen on all addresses; tried by binding if the list cannot tell.

    A socket on `::` also holds the IPv4 port, unless it is IPv6-only, which /proc does not show. It was
    where somebody, perhaps our own server, listens for IPv4 beside it: the kernel gives the port to no two.
    """
    here = [row for row in rows if row["port"] == port]
    if ":" in bind or not any(row["address"] in ("*", "::") and not row.get("ours") for row in here):
        return None
    if any(row["address"] in (bind, "0.0.0.0") for row in here):
        return 0
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError as exc:
            return exc.errno
    return 0
