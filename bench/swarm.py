"""A swarm of eight peers at 50 Mbit/s against a star: nginx and eight plain downloads over the same links.

Namespaces with `tc`, the real aria2, opentracker and nginx; the servers that list the models are simulated. Measured
is from the start of the first module to the end of the last, with SHA-256, naming and the digests by the API.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.measure import Row, Skipped

ROOT = Path(__file__).resolve().parents[1]
PEERS, SIZE, RATE = 8, 64 << 20, 50_000_000
GET = """
import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as answer, open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(answer, file, 1 << 20)
"""
NGINX = """user root; daemon off; pid {root}/nginx.pid; error_log stderr crit; worker_processes 1;
events {{ worker_connections 64; }}
http {{ access_log off; sendfile on; server {{ listen 8080; root {root}/registry/blobs; }} }}
"""


def run() -> list[Row]:
    sys.path.insert(0, str(ROOT / "tests"))
    from swarm import net

    reason = net.why_not("aria2c", "opentracker", "nginx")
    if reason:
        raise Skipped(reason)
    from subject import simulated
    from swarm.conftest import fleet

    with tempfile.TemporaryDirectory() as directory:
        program = simulated(Path(directory))
        with fleet(program, PEERS, SIZE, f"{RATE // 1_000_000}mbit") as found:
            ours, sent = swarm(found)
            theirs, star_sent = star(found)
    pieces = SIZE / (64 << 10)
    best = 8 * SIZE / RATE * (1 + math.floor(math.log2(PEERS)) / pieces)
    print(f"swarm: the optimum is {best:.1f} s; {best / ours:.0%} of it; star sends {star_sent / SIZE:.2f} copies,"
          f" the seed {sent / SIZE:.2f}", file=sys.stderr)  # fmt: skip
    what = f"{SIZE >> 20} MiB to {PEERS} hosts at 50 Mbit/s by a swarm"
    return [
        Row(what, ours, "star: nginx and plain downloads", theirs, 0.30),
        Row(f"{what}, what the seed sends", sent / 1e6, "two copies", 2 * SIZE / 1e6, 1, "MB"),
    ]


def swarm(found: Any) -> tuple[float, int]:
    from swarm.conftest import answer

    told = found.seed()["swarm"]
    before, start = found.site.sent(0), time.perf_counter()
    rows = [answer(one) for one in [found.pull(at, told) for at in range(1, PEERS + 1)]]
    seconds, sent = time.perf_counter() - start, found.site.sent(0) - before
    wrong = [row["msg"] for row in rows if row.get("failed")]
    digests = [digest for at in range(1, PEERS + 1) for digest in found.listed(at).values()]
    if wrong or digests != [found.digest] * PEERS:
        raise SystemExit(f"swarm: not every host has the model: {wrong or digests}")
    for at in range(1, PEERS + 1):
        found.end(at)
    answer(found.module(0, "ollama_seed", state="ended", dir=str(found.root / "seed")))
    return seconds, sent


def star(found: Any) -> tuple[float, int]:
    """What is written is not even hashed."""
    (found.root / "nginx.conf").write_text(NGINX.format(root=found.root))
    found.start(0, ["nginx", "-p", str(found.root), "-c", str(found.root / "nginx.conf")])
    time.sleep(1)
    blob = max((found.root / "registry/blobs").iterdir(), key=lambda path: path.stat().st_size)
    url = f"http://{found.site.address(0)}:8080/{blob.name}"
    before, start = found.site.sent(0), time.perf_counter()
    argv = [sys.executable, "-c", GET, url]
    loads = [found.start(at, [*argv, str(found.root / f"host{at}" / "plain")]) for at in range(1, PEERS + 1)]
    if any(load.wait() for load in loads):
        raise SystemExit("swarm: the star is broken")
    return time.perf_counter() - start, found.site.sent(0) - before
