"""aria2 in the background: controlled through JSON-RPC on loopback, and stopped when no peer needs it."""

from __future__ import annotations

import base64
import codecs
import contextlib
import http.client
import io
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
import traceback

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble, read_json, write_atomic
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import brief

PORTS = "6881-6999"
LATE = [codecs.lookup(name) for name in ("ascii", "idna", "utf-8")]
"""Modules that Python would otherwise load at first use, when another user may no longer be able to read them."""
LINGER = 300
START, STOP = 15, 20
KEYS = ["gid", "status", "completedLength", "totalLength", "seeder", "numSeeders", "connections", "errorMessage"]
MISSING = "aria2c is not installed; install aria2 (Debian: apt install aria2), or use another --strategy"
OPTIONS = {
    "enable-rpc": "true",
    "rpc-save-upload-metadata": "false",
    "rpc-listen-all": "false",
    "disable-ipv6": "true",
    "enable-dht": "false",
    "enable-dht6": "false",
    "bt-enable-lpd": "false",
    "enable-peer-exchange": "false",
    "listen-port": PORTS,
    "bt-tracker-interval": "2",
    "bt-max-peers": "64",
    "bt-require-crypto": "true",
    "bt-min-crypto-level": "plain",
    "bt-request-peer-speed-limit": "100M",
    "seed-ratio": "0.0",
    "check-integrity": "true",
    "allow-overwrite": "true",
    "auto-file-renaming": "false",
    "file-allocation": "none",
    "max-concurrent-downloads": "10000",
    "max-connection-per-server": "4",
    "split": "4",
    "auto-save-interval": "5",
    "max-tries": "1",
    "connect-timeout": "10",
    "user-agent": "reaper_ops",
    "no-netrc": "true",
}
"""Only peers of our tracker: no DHT, local discovery or peer exchange. A handshake must first prove that it knows the
torrent's hash, so a stranger who finds the port gets no answer, and an eavesdropper learns no hash."""


def program():
    found = shutil.which("aria2c", path=os.environ.get("PATH", "") + ":/usr/bin:/usr/local/bin")
    if not found:
        raise Trouble(MISSING)
    return found


class Aria2:
    """The client of a running aria2."""

    def __init__(self, port, secret):
        self.port, self.secret = port, secret

    def call(self, method, *params):
        body = {"jsonrpc": "2.0", "id": "1", "method": "aria2." + method, "params": ["token:" + self.secret, *params]}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", "/jsonrpc", json.dumps(body), {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read().decode("utf-8", "replace"))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Trouble("aria2 exited or does not answer (%s); run again, it resumes from there" % error) from None
        finally:
            connection.close()
        if "error" in answer:
            raise Trouble("aria2: %s" % answer["error"].get("message"))
        return answer["result"]

    def add_torrent(self, data, directory, name):
        """Removes the control file of an earlier torrent: each pull has its own. The file is read piece by piece."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(directory, name + ".aria2"))
        return self.call("addTorrent", base64.b64encode(data).decode(), [], {"dir": directory})

    def add_url(self, url, directory, name):
        return self.call("addUri", [url], {"dir": directory, "out": name, "check-integrity": "false"})

    def state(self, gid):
        return self.call("tellStatus", gid, KEYS)

    def forget(self, gid):
        with contextlib.suppress(Trouble):
            self.call("forceRemove", gid)
        for _ in range(50):
            with contextlib.suppress(Trouble):
                self.call("removeDownloadResult", gid)
                return
            time.sleep(0.1)

    def is_wanted(self):
        """Whether a peer that is still incomplete is connected."""
        for row in self.call("tellActive", ["gid"]):
            if any(peer.get("seeder") != "true" for peer in self.call("getPeers", row["gid"])):
                return True
        return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def configured(directory, port, secret, more):
    """The options, in a file that only its owner can read: a command line would reveal the secret to other users."""
    rows = dict(OPTIONS, **{"rpc-listen-port": str(port), "rpc-secret": secret, "dir": directory}, **more)
    path = os.path.join(directory, "aria2.conf")
    write_atomic(path, "".join("%s=%s\n" % row for row in sorted(rows.items())), 0o600)
    return path


def session_path(directory):
    return os.path.join(directory, "session.json")


def started_at(pid):
    """The start time of a process in clock ticks; None when there is no such process."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def running(directory):
    """Who seeds from this directory: pid, owner, start time; None when nobody does."""
    row = read_json(session_path(directory))
    if not isinstance(row, dict) or not isinstance(row.get("pid"), int):
        return None
    same = started_at(row["pid"]) == row.get("start") is not None
    return row if same and user_of(row["pid"]) == os.geteuid() else None


def user_of(pid):
    """The real user of a process: someone who can write the session file cannot make us end another user's process."""
    try:
        with open("/proc/%d/status" % pid, encoding="utf-8", errors="replace") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("Uid:")), None)
    except OSError:
        return None


def end(directory, purge=False):
    """Ends the process that seeds from this directory and waits for it; returns whether there was one."""
    row = running(directory)
    if row is None:
        return False
    write_atomic(os.path.join(directory, "end"), "purge\n" if purge else "keep\n", 0o600)
    until = time.monotonic() + STOP
    while running(directory) and time.monotonic() < until:
        time.sleep(0.1)
    if running(directory):
        with contextlib.suppress(ProcessLookupError):
            os.kill(row["pid"], signal.SIGKILL)
    return True


class Keeper:
    """A supervisor process that runs aria2, and further programs with it, beyond the end of the module.

    Until `delivered` it lives as long as the module; after that while a peer needs something, plus LINGER seconds.
    user: the (uid, gid) it runs as when root starts it. also: starts in a thread once the file `also` exists, and never
    ends by itself. tidy is called at the end with whether `end` removes everything.
    """

    def __init__(self, directory, owner, user=None, also=None, tidy=None, linger=LINGER, options=None):
        self.directory, self.owner, self.user, self.also = directory, owner, user, also
        self.tidy, self.linger = tidy or (lambda purge: None), linger
        self.port, self.secret = free_port(), secrets.token_hex(16)
        self.options, self.program = options or {}, program()
        self.parent = (os.getpid(), started_at(os.getpid()))

    def mark(self, name):
        return os.path.join(self.directory, name)

    def start(self):
        for name in ("end", "delivered", "also"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.mark(name))
        configured(self.directory, self.port, self.secret, self.options)
        child = os.fork()
        if child == 0:
            self.detach()
        os.waitpid(child, 0)
        return self.wait()

    def wait(self):
        client, until = Aria2(self.port, self.secret), time.monotonic() + START
        while True:
            try:
                client.call("getVersion")
                return client
            except Trouble:
                if time.monotonic() > until:
                    raise Trouble("aria2 does not start: %s" % self.said()) from None
            time.sleep(0.1)

    def said(self):
        try:
            with io.TextIOWrapper(tree.reading(self.mark("log")), encoding="utf-8", errors="replace") as file:
                return " ".join(brief(file.read(), -300).split()) or "it printed nothing"
        except OSError as error:
            return str(error)

    def detach(self):
        """The child: starts a session of its own without the module's pipes, and never returns."""
        rc = 1
        try:
            os.setsid()
            if os.fork():
                os._exit(0)
            log = os.open(self.mark("log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            for number, handle in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
                os.dup2(handle, number)
            self.drop()
            rc = self.run()
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(rc)

    def drop(self):
        if self.user:
            os.seteuid(0)
            os.setgroups([])
            os.setgid(self.user[1])
            os.setuid(self.user[0])

    def run(self):
        row = {"pid": os.getpid(), "start": started_at(os.getpid()), "owner": self.owner, "since": int(time.time())}
        write_atomic(session_path(self.directory), json.dumps(row) + "\n", 0o600)
        own = [self.program, "--conf-path=" + self.mark("aria2.conf"), "--stop-with-process=%d" % os.getpid()]
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, lambda *_: os.kill(child.pid, signal.SIGTERM))
        child = subprocess.Popen(own, cwd=self.directory, stdin=subprocess.DEVNULL)
        try:
            self.watch(child)
        finally:
            purge = self.ended() == "purge"
            stop(child)
            self.tidy(purge)
            for name in ("session.json", "aria2.conf", "end", "delivered", "also"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.mark(name))
        return 0

    def ended(self):
        try:
            with io.TextIOWrapper(tree.reading(self.mark("end")), encoding="utf-8") as file:
                return file.read().strip()
        except OSError:
            return ""

    def watch(self, child):
        client, quiet, begun = Aria2(self.port, self.secret), time.monotonic(), None
        while child.poll() is None and not self.ended():
            time.sleep(0.3)
            if begun and not begun.is_alive():
                return
            if self.also and not begun and os.path.exists(self.mark("also")):
                begun = threading.Thread(target=self.also, daemon=True)
                begun.start()
            delivered = os.path.exists(self.mark("delivered"))
            if not delivered and started_at(self.parent[0]) != self.parent[1]:
                return
            with contextlib.suppress(Trouble):
                if not delivered or client.is_wanted():
                    quiet = time.monotonic()
            if time.monotonic() - quiet > self.linger:
                return

    def delivered(self):
        write_atomic(self.mark("delivered"), "", 0o600)


def stop(child):
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
