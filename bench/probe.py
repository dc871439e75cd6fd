"""`probe` of 1,000 loopback hosts against blackbox_exporter and curl doing the same 3,000 requests.

Needs nginx, curl and prometheus-blackbox-exporter (Debian packages); as root also iptables, for dead hosts.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.measure import Row, Skipped, Timing, median, once, table

HOSTS, DEAD, ROUNDS = 1000, 50, 5
PATHS = ("/api/version", "/api/tags", "/api/ps")
RATIO, MEMORY, TIMEOUT = 0.5, 150 << 20, 2.0
DEAD_NET = "127.66.0.0/16"
EXPORTER = "prometheus-blackbox-exporter"
CONFIG = """\
worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log stderr;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; default_type application/json;
  server {{
    listen 0.0.0.0:{port} backlog=4096;
    location = /api/version {{ return 200 '{{"version":"0.35.1"}}'; }}
    location = /api/tags {{ alias {dir}/tags.json; }}
    location = /api/ps {{ return 200 '{{"models":[]}}'; }}
  }}
}}
"""


def free(first: int) -> int:
    """The first port from here on that nobody holds on any address."""
    for port in range(first, first + 1000):
        with suppress(OSError), socket.socket() as trial:
            trial.bind(("0.0.0.0", port))
            return port
    raise SystemExit(f"no free port from {first} on")


PORT = free(28434)
EXPORTER_PORT = free(PORT + 1)


def tags() -> str:
    """8.5 KB, as a host with twenty models answers."""
    model = {
        "modified_at": "2026-01-01T00:00:00Z",
        "size": 4661224676,
        "digest": "a" * 64,
        "details": {"family": "llama"},
    }
    rows = [{"name": f"model{at}:8b", "model": f"model{at}:8b", **model, "pad": "x" * 190} for at in range(20)]
    return json.dumps({"models": rows})


def addresses(dead: int) -> list[str]:
    well = [f"127.65.{at // 250}.{at % 250 + 1}" for at in range(HOSTS - dead)]
    return well + [f"127.66.0.{at + 1}" for at in range(dead)]


@contextmanager
def running(argv: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server in the background, from the moment it listens."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait(port)
        yield process
    finally:
        process.terminate()
        process.wait()


def wait(port: int) -> None:
    for _ in range(200):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.02)
    raise SystemExit(f"nothing listens on port {port}")


@contextmanager
def dead_hosts() -> Iterator[int]:
    """Addresses whose packets are dropped; none where that is not ours to arrange."""
    rule = ["INPUT", "-d", DEAD_NET, "-p", "tcp", "--dport", str(PORT), "-j", "DROP"]
    made = os.geteuid() == 0 and shutil.which("iptables") and subprocess.run(["iptables", "-I", *rule]).returncode == 0
    try:
        yield DEAD if made else 0
    finally:
        if made:
            subprocess.run(["iptables", "-D", *rule], check=True)


def curl_config(path: Path, urls: list[str]) -> list[str]:
    lines = [f'url = "{url}"\noutput = "/dev/null"' for url in urls]
    path.write_text("\n".join(lines) + "\n")
    limits = ["--connect-timeout", "2", "--max-time", "10"]
    return ["curl", "-s", "--parallel", "--parallel-max", "200", "--parallel-immediate", *limits, "-K", str(path)]


def ours(directory: Path, hosts: list[str]) -> tuple[list[str], list[str]]:
    inventory = directory / "hosts.ini"
    rows = [f"h{at:04} ollama_base_url=http://{address}:{PORT}" for at, address in enumerate(hosts)]
    inventory.write_text("\n".join([*rows, "[all:vars]", "ollama_managed=false", ""]))
    listing = [sys.executable, "-m", "ansible", "inventory", "-i", str(inventory), "--list"]
    return listing, [sys.executable, "-m", "reaper_ops", "probe", "-i", str(inventory), "-o", "json"]


def peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def by_blackbox(directory: Path, hosts: list[str]) -> Timing:
    """The exporter from its start to its last of 3,000 probes; curl only asks it to probe, 200 at a time."""
    modules = {"modules": {"ollama": {"prober": "http", "timeout": "2s", "http": {"preferred_ip_protocol": "ip4"}}}}
    (directory / "blackbox.yml").write_text(json.dumps(modules))
    listen = f"127.0.0.1:{EXPORTER_PORT}"
    argv = [EXPORTER, f"--config.file={directory}/blackbox.yml", f"--web.listen-address={listen}"]
    probes = [
        f"http://{listen}/probe?module=ollama&target=http://{host}:{PORT}{path}" for host in hosts for path in PATHS
    ]
    asking = curl_config(directory / "blackbox.curl", probes)
    start = time.perf_counter()
    with running([*argv, "--log.level=error"], EXPORTER_PORT) as exporter:
        done = once(asking)
        return Timing(time.perf_counter() - start, peak(exporter.pid), done.rc)


def compare(directory: Path, dead: int) -> tuple[dict[str, Timing], bool]:
    hosts = addresses(dead)
    listing, probing = ours(directory, hosts)
    curling = curl_config(directory / "plain.curl", [f"http://{h}:{PORT}{path}" for h in hosts for path in PATHS])
    rounds: dict[str, list[Timing]] = {name: [] for name in ("listing", "probe", "beyond", "blackbox", "curl")}
    for _ in range(ROUNDS):
        listed, probed = once(listing), once(probing)
        rounds["listing"].append(listed)
        rounds["probe"].append(probed)
        rounds["beyond"].append(Timing(probed.wall - listed.wall, probed.rss, probed.rc))
        rounds["blackbox"].append(by_blackbox(directory, hosts))
        rounds["curl"].append(once(curling))
    found = {name: median(timings) for name, timings in rounds.items()}
    return found, found["probe"].rc == (3 if dead else 0)


def report(found: dict[str, Timing], dead: int) -> str:
    base = found["blackbox"].wall
    names = {
        "probe": "reaper-ops probe, whole process",
        "listing": "  of it: ansible inventory --list",
        "beyond": "  of it: beyond the listing",
        "blackbox": "blackbox_exporter, 3,000 probes",
        "curl": "curl --parallel, 3,000 requests",
    }
    rows = [(f"{HOSTS} hosts, {dead} of them dead", "seconds", "of blackbox", "peak MiB")]
    rows += [
        (text, f"{found[name].wall:.2f}", f"{found[name].wall / base:.2f}", f"{found[name].rss / (1 << 20):.0f}")
        for name, text in names.items()
    ]
    return table(rows)


def run() -> list[Row]:
    missing = [name for name in ("nginx", "curl", EXPORTER) if not shutil.which(name)]
    if missing:
        raise Skipped(f"{', '.join(missing)} is not installed")
    with tempfile.TemporaryDirectory() as name, dead_hosts() as dead:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "tags.json").write_text(tags())
        (directory / "nginx.conf").write_text(CONFIG.format(dir=name, port=PORT))
        with running(["nginx", "-c", f"{name}/nginx.conf", "-e", "stderr"], PORT):
            measured = {number: compare(directory, number) for number in dict.fromkeys((0, dead))}
    return rows(measured)


def rows(measured: dict[int, tuple[dict[str, Timing], bool]]) -> list[Row]:
    """All hosts well: a share of blackbox. Some dead: what they add is one time-out, not one each."""
    for number, (found, right) in measured.items():
        if not right:
            raise SystemExit(f"probe: with {number} dead hosts, not every host was judged as it is")
        print(report(found, number), end="\n\n", file=sys.stderr)
    well = measured[0][0]
    rss = max(found["probe"].rss for found, _ in measured.values())
    what = f"probe of {HOSTS:,} hosts"
    made = [
        Row(f"{what}, beyond the listing", well["beyond"].wall, "blackbox_exporter", well["blackbox"].wall, RATIO),
        Row(f"{what}, memory", rss / (1 << 20), "limit", MEMORY / (1 << 20), 1, "MiB"),
    ]
    if len(measured) > 1:
        added = measured[DEAD][0]["beyond"].wall - well["beyond"].wall
        made.append(Row(f"{what}, what {DEAD} dead ones add", added, "one time-out of a connection", TIMEOUT, 2))
    return made
