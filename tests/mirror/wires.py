"""Hosts, a mirror and the internet in network namespaces of their own, with limited links and byte counters.

The switch is in a namespace too, so that no packet filter of this machine sees the frames.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mirror import site
from subject import Started

from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.mirror import desired_state

MIRROR, UPSTREAM, BYTES = "10.77.0.1", "10.78.0.1", "10.78.0.3"
PORT = 8080
_NEW_NET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def why_not() -> str:
    """Why namespaces cannot be made here; empty when they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "tc") if shutil.which(name, path=site.PATH) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: iproute2)"
    name = f"rx{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return "" if tried.returncode == 0 else f"ip netns add: {tried.stderr.decode().strip()}"


@contextlib.contextmanager
def within(space: str) -> Iterator[None]:
    """This thread in that namespace; a socket stays in the one it was made in."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{space}") as there:
        assert _LIBC.setns(there.fileno(), _NEW_NET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert _LIBC.setns(home.fileno(), _NEW_NET) == 0


def passed(device: str) -> tuple[int, int]:
    """Bytes received and sent by a device of this thread's namespace."""
    for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == device:
            words = numbers.split()
            return int(words[0]), int(words[8])
    raise AssertionError(f"there is no {device}")


class Wires:
    """`eth0` of every namespace is on the switch; `wan0` joins the mirror and the internet."""

    def __init__(self, hosts: int, lan: str, wan: str) -> None:
        self._prefix = f"rx{os.getpid()}-{threading.get_native_id()}"
        self.mirror, self.upstream, self._switch = (f"{self._prefix}-{word}" for word in ("m", "u", "s"))
        self.hosts = [f"{self._prefix}-h{number}" for number in range(hosts)]
        self._lines(lan, wan)

    def _lines(self, lan: str, wan: str) -> None:
        spaces = (self._switch, self.mirror, self.upstream, *self.hosts)
        for space in spaces:
            run("ip", "netns", "add", space)
            run("ip", "-n", space, "link", "set", "lo", "up")
        run("ip", "-n", self._switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self._switch, "link", "set", "br0", "up")
        for number, space in enumerate((self.mirror, *self.hosts), 1):
            self._join(space, "eth0", self._switch, f"p{number}")
            run("ip", "-n", self._switch, "link", "set", f"p{number}", "master", "br0")
            run("ip", "-n", space, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
            if space != self.mirror:
                limit(self._switch, f"p{number}", lan)
        self._join(self.mirror, "wan0", self.upstream, "wan0")
        run("ip", "-n", self.mirror, "addr", "add", "10.78.0.2/24", "dev", "wan0")
        for address in (UPSTREAM, BYTES):
            run("ip", "-n", self.upstream, "addr", "add", f"{address}/24", "dev", "wan0")
        limit(self.upstream, "wan0", wan)

    def _join(self, one: str, device: str, other: str, peer: str) -> None:
        run(*f"ip link add {device} netns {one} type veth peer name {peer} netns {other}".split())
        run("ip", "-n", one, "link", "set", device, "up")
        run("ip", "-n", other, "link", "set", peer, "up")

    def link(self, host: int, state: str) -> None:
        """The cable between a host and the switch: `down` or `up`."""
        run("ip", "-n", self._switch, "link", "set", f"p{host + 2}", state)

    def wan_bytes(self) -> int:
        """What came in from the internet so far, headers of every packet among it."""
        with within(self.mirror):
            return passed("wan0")[0]

    def close(self) -> None:
        for space in (*self.hosts, self.mirror, self.upstream, self._switch):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)


def run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(argv)}: {done.stderr}"


def limit(space: str, device: str, rate: str) -> None:
    run(*f"tc -n {space} qdisc add dev {device} root tbf rate {rate} burst 256kb latency 50ms".split())


@contextlib.contextmanager
def wires(hosts: int, lan: str, wan: str) -> Iterator[Wires]:
    found = Wires(hosts, lan, wan)
    try:
        yield found
    finally:
        found.close()


class Internet(site.Upstream):
    """The simulated registry in the namespace of the internet; its bytes are at a second address."""

    def __init__(self, root: Path, space: str, sent: site.Metered | None = None) -> None:
        self.space = space
        with within(space):
            super().__init__(root, PORT, sent, "0.0.0.0")

    def other(self, here: str) -> str:
        return f"{BYTES}:{PORT}"

    def again(self) -> Internet:
        fresh = Internet(self.root, self.space, self.sent)
        fresh.requests = self.requests
        fresh.start()
        return fresh


class Mirror:
    """The real nginx and Distribution in the mirror's namespace; can be killed and started again."""

    def __init__(self, wires: Wires, directory: Path, piece: int, **more: Any) -> None:
        given: dict[str, Any] = {
            "mirror_bind": MIRROR,
            "mirror_allow": ["10.77.0.0/24"],
            "mirror_port": PORT,
            "mirror_resolvers": [],
            **more,
        }
        wanted = site.settings(directory, f"http://{UPSTREAM}:{PORT}", "127.0.0.1", **given)
        self.settings: Settings = wanted.model_copy(update={"mirror_slice": piece})
        self.space, self._kept = wires.mirror, desired_state.of(self.settings)
        site.lay_out(self._kept)
        self._process: subprocess.Popen[bytes]
        self.start()

    @property
    def log(self) -> Path:
        return Path(self._kept.paths["log"])

    def start(self) -> None:
        self._process = site.spawn(self._kept, ["ip", "netns", "exec", self.space])
        with within(self.space):
            site.wait(self._kept.context["local_url"] + "/reaper_ops/health", self._process, self.log / "mirror.log")

    def kill(self) -> None:
        """nginx and Distribution at once, with kill -9."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def python(space: str, directory: Path) -> Path:
    """A Python that runs in a namespace: with it, Ansible's modules reach only what a host there reaches."""
    path = directory / f"python-{space}"
    path.write_text(f'#!/bin/sh\nexec ip netns exec {space} {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path


class Host:
    """A simulated Ollama in a namespace; after a kill it starts again with the same store."""

    def __init__(self, space: str, port: int, program: list[str], home: Path, **variables: str) -> None:
        self.space, self.port, self.home = space, port, home
        self._argv = ["ip", "netns", "exec", space, *program, "serve"]
        self.store = home / "models"
        self._env = {"PATH": site.PATH, "HOME": str(home), "OLLAMA_MODELS": str(self.store), **variables}
        self._env |= {"OLLAMA_HOST": f"127.0.0.1:{port}", "OLLAMA_NO_CLOUD": "1", "OLLAMA_NOPRUNE": "1"}
        home.mkdir(parents=True)
        self.server = self._start()

    def _start(self) -> Started:
        return Started("simulated", self._argv, self._env, self.home)

    def wait(self) -> None:
        with within(self.space):
            self.server.wait_ready()

    def kill(self) -> None:
        """The server ends as by kill -9."""
        self.server.process.kill()
        self.server.process.wait()

    def again(self) -> None:
        self.server = self._start()
        self.wait()

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        with within(self.space):
            return self.server.subject.ask(method, path, body, **more)

    def listed(self) -> dict[str, str]:
        return {row["name"]: row["digest"] for row in self.ask("GET", "/api/tags").json()["models"]}
