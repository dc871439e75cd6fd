"""Network namespaces around a switch of their own, each link limited by `tc`; what a link carried is counted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BURST = "256kb"


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def why_not(*programs: str) -> str:
    """Why there can be no namespaces with limited links here; empty when there can."""
    missing = [name for name in ("ip", "tc", *programs) if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if os.geteuid() != 0:
        return "network namespaces need root"
    probe = f"rop{os.getpid()}"
    try:
        run("ip", "netns", "add", probe)
        try:
            run("ip", "netns", "exec", probe, "tc", "qdisc", "add", "dev", "lo", "root", *limit("50mbit"))
        finally:
            run("ip", "netns", "del", probe)
    except OSError as error:
        return f"network namespaces are not permitted here: {error}"
    return ""


def limit(rate: str) -> list[str]:
    return ["tbf", "rate", rate, "burst", BURST, "latency", "50ms"]


@dataclass(frozen=True)
class Site:
    """Host 0 is the seed's; addresses are 10.77.0.10 and on."""

    prefix: str
    count: int

    def name(self, at: int) -> str:
        return f"{self.prefix}{at}"

    def address(self, at: int) -> str:
        return f"10.77.0.{10 + at}"

    def inside(self, at: int, argv: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name(at), *argv]

    def sent(self, at: int) -> int:
        """Bytes that left the host, as the kernel counts them on its link."""
        [row] = json.loads(run("ip", "-n", self.name(at), "-s", "-j", "link", "show", "eth0"))
        return int(row["stats64"]["tx"]["bytes"])


def _host(site: Site, switch: str, at: int, rate: str) -> None:
    name, near = site.name(at), f"{site.prefix}v{at}"
    run("ip", "netns", "add", name)
    run("ip", "link", "add", near, "netns", switch, "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "-n", switch, "link", "set", near, "master", "br0", "up")
    run("ip", "-n", name, "addr", "add", f"{site.address(at)}/24", "dev", "eth0")
    run("ip", "-n", name, "link", "set", "lo", "up")
    run("ip", "-n", name, "link", "set", "eth0", "up")
    run("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", "eth0", "root", *limit(rate))
    run("ip", "netns", "exec", switch, "tc", "qdisc", "add", "dev", near, "root", *limit(rate))


@contextlib.contextmanager
def site(peers: int, rate: str) -> Iterator[Site]:
    found = Site(f"ro{os.getpid() % 100000}x", peers)
    switch = f"{found.prefix}sw"
    try:
        run("ip", "netns", "add", switch)
        run("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", switch, "link", "set", "br0", "up")
        for at in range(peers + 1):
            _host(found, switch, at, rate)
        yield found
    finally:
        for name in (*(found.name(at) for at in range(peers + 1)), switch):
            for pid in _pids(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            with contextlib.suppress(OSError):
                run("ip", "netns", "del", name)


def _pids(name: str) -> list[int]:
    try:
        return [int(word) for word in run("ip", "netns", "pids", name).split()]
    except OSError:
        return []
