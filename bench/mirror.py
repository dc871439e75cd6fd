"""`models pull` of eight hosts by a site mirror, against a star and the loop that people write, over the same links.

Namespaces with `tc`: one link to the internet for the whole site, a faster one to each host; the real nginx. The
registry and the servers are simulated. What passes the link to the internet is counted at its interface.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Row, Skipped
from bench.pull import COMMAND

ROOT = Path(__file__).resolve().parents[1]
HOSTS, SIZE, PIECE = 8, 64 << 20, 1 << 20
WAN, LAN = 100_000_000, 400_000_000
GET = """
import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as answer, open("/dev/null", "wb") as file:
    shutil.copyfileobj(answer, file, 1 << 20)
"""


@dataclass(frozen=True)
class Measured:
    wall: float
    wan: int


def run() -> list[Row]:
    sys.path.insert(0, str(ROOT / "tests"))
    from mirror import site, wires

    reason = site.why_not() or wires.why_not()
    if reason:
        raise Skipped(reason)
    from mirror.space_fleet import space_fleet
    from subject import simulated

    with tempfile.TemporaryDirectory(dir="/tmp", prefix="rb") as name:
        root = Path(name)
        rates = {"lan": f"{LAN // 1_000_000}mbit", "wan": f"{WAN // 1_000_000}mbit"}
        with space_fleet(root, simulated(root / "tree"), HOSTS, piece=PIECE, **rates) as fleet:
            routed(fleet)
            ours, star, loop = mirror(fleet), star_of(fleet), loop_of(fleet)
            one = measured(fleet, lambda: plain(fleet, fleet.hosts[:1]))
    return told(ours, star, loop, one)


def told(ours: Measured, star: Measured, loop: Measured, one: Measured) -> list[Row]:
    """The optimum is that of the fluid model: one copy in, then every piece on at once (Mundinger, Weber, Weiss)."""
    best = 8 * SIZE / WAN + 8 * SIZE / LAN * (1 + math.floor(math.log2(HOSTS)) * PIECE / SIZE)
    rows = {"mirror": ours, "star": star, "ansible's loop": loop}
    shown = "; ".join(f"{name} {row.wall:.1f} s, {row.wan / one.wan:.3f} copies" for name, row in rows.items())
    print(f"mirror: {shown}; the optimum is {best:.1f} s", file=sys.stderr)
    what = f"{SIZE >> 20} MiB to {HOSTS} hosts by the mirror"
    return [
        Row(what, ours.wall, "star: plain downloads", star.wall, 0.5),
        Row(what, ours.wall, "ansible -m shell 'ollama pull'", loop.wall, 0.5),
        Row(f"{what}, over the internet", ours.wan / 1e6, "one plain download", one.wan / 1e6, 1.02, "MB"),
    ]


def routed(fleet: Any) -> None:
    """Hosts reach the internet past the mirror too, by the same link."""
    from mirror import wires

    net = fleet.wires
    wires.run("ip", "netns", "exec", net.mirror, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    wires.run("ip", "-n", net.upstream, "route", "add", "10.77.0.0/24", "via", "10.78.0.2")
    for space in net.hosts:
        wires.run("ip", "-n", space, "route", "add", "10.78.0.0/24", "via", wires.MIRROR)


def measured(fleet: Any, do: Callable[[], Sequence[int]]) -> Measured:
    before, start = fleet.wires.wan_bytes(), time.perf_counter()
    codes = do()
    wall = time.perf_counter() - start
    if any(codes):
        raise SystemExit(f"mirror: a program ended with {max(codes)}\n{fleet.said()[-2000:]}")
    return Measured(wall, fleet.wires.wan_bytes() - before)


def mirror(fleet: Any) -> Measured:
    """The whole command, from its start to its end: hosts are asked, digests compared, names given."""
    digest = fleet.publish("big:1", SIZE).digest.removeprefix("sha256:")
    found = measured(fleet, lambda: [fleet.pull().wait()])
    if [host.listed() for host in fleet.hosts] != [{"big:1": digest}] * HOSTS:
        raise SystemExit(f"mirror: not every host has the model\n{fleet.said()[-2000:]}")
    return found


def star_of(fleet: Any) -> Measured:
    """What is fetched is neither written nor hashed."""
    return measured(fleet, lambda: plain(fleet, fleet.hosts))


def plain(fleet: Any, hosts: Sequence[Any]) -> list[int]:
    from mirror import wires

    blob = max((fleet.internet.root / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    digest = blob.name.replace("sha256-", "sha256:")
    url = f"http://{wires.BYTES}:{wires.PORT}/cdn/library/{digest}"
    argv = [sys.executable, "-c", GET, url]
    loads = [subprocess.Popen(["ip", "netns", "exec", host.space, *argv]) for host in hosts]
    return [load.wait() for load in loads]


def loop_of(fleet: Any) -> Measured:
    """`ansible all -m shell -a 'ollama pull …'`, with as many forks as hosts; each server asks the registry itself."""
    from mirror import wires

    fleet.publish("other:1", SIZE)
    program = fleet.root / "ollama"
    program.write_text(COMMAND.format(python=sys.executable))
    program.chmod(0o755)
    name = f"{wires.UPSTREAM}:{wires.PORT}/library/other:1"
    shell = f"OLLAMA_HOST=127.0.0.1:{{{{ ollama_port }}}} {program} pull {name}"
    argv = [sys.executable, "-m", "ansible", "adhoc", "all", "-i", str(fleet.inventory), "-f", str(HOSTS)]
    found = measured(
        fleet,
        lambda: [subprocess.run([*argv, "-m", "shell", "-a", shell], capture_output=True, check=False).returncode],
    )
    if any(name not in host.listed() for host in fleet.hosts):
        raise SystemExit("mirror: the loop did not bring the model to every host")
    return found
