"""A no-change `up` of three real hosts over SSH, against pyinfra and against a task-per-resource playbook.

Needs what the tests on real hosts need, and pyinfra, which is installed from the package index into a cache.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.measure import Row, Skipped, Timing, median, once

ROOT = Path(__file__).resolve().parents[1]
YARDSTICK = ROOT / "bench" / "yardstick"
CACHE = Path.home() / ".cache" / "reaper_ops" / "bench"
HOSTS = ("deb12", "deb13", "deb13-docker")
LIMIT = ",".join(HOSTS)
SWAP = "/data/swapfile"
ROUNDS = 7
PACKAGES = {"systemd": ["ca-certificates", "zstd"], "docker": ["docker.io", "docker-cli", "docker-compose"]}


def unfit() -> str:
    """Why there are no real hosts here; empty when there are. Makes the tests' fleet importable."""
    sys.path.insert(0, str(ROOT / "tests"))
    from fleet import prepare

    missing = [program for program in prepare.PACKAGES.values() if shutil.which(program) is None]
    return prepare.reason_to_skip() or (f"not installed: {', '.join(missing)}; run `make prepare`" if missing else "")


def run() -> list[Row]:
    reason = unfit()
    if reason:
        raise Skipped(reason)
    from fleet.world import Fleet

    pyinfra = install()
    with tempfile.TemporaryDirectory(prefix="reaper-bench-") as name:
        fleet = Fleet(Path(name), machine=False)
        try:
            fleet.hosts()
            bring_up(fleet)
            return compare(fleet.inventory, programs(fleet, Path(name), pyinfra))
        finally:
            fleet.close()


def install() -> Path:
    """pyinfra in a virtual environment of its own."""
    home = CACHE / "pyinfra"
    program = home / "bin" / "pyinfra"
    if not program.exists():
        venv.create(home, with_pip=True)
        subprocess.run([home / "bin" / "pip", "install", "--quiet", "pyinfra>=3,<4"], check=True)
    return program


def ours(inventory: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "reaper_ops", *words, "-i", str(inventory), "-l", LIMIT]


def bring_up(fleet: Any) -> None:
    """From bare to healthy; the image of the container is a stand-in that no registry can give."""
    from fleet import standin

    subprocess.run(ours(fleet.inventory, "up", "--yes"), stdout=subprocess.DEVNULL)
    standin.build(fleet.client, fleet.image("trixie"))
    standin.load("deb13-docker")
    subprocess.run(ours(fleet.inventory, "up", "--yes"), stdout=subprocess.DEVNULL, check=True)


def programs(fleet: Any, directory: Path, pyinfra: Path) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Argv and environment of each; the yardsticks get the very files that `up` has written."""
    rows = [desired_of(fleet, directory, host) for host in fleet.hosts()]
    listed = directory / "fleet.json"
    listed.write_text(json.dumps(rows))
    states = directory / "desired.json"
    states.write_text(json.dumps({"all": {"hosts": {row["name"]: {"desired": row["desired"]} for row in rows}}}))
    playbook = ["playbook", "-i", str(fleet.inventory), "-i", str(states), "-l", LIMIT, str(YARDSTICK / "playbook.yml")]
    deploy = [str(YARDSTICK / name) for name in ("inventory.py", "deploy.py")]
    return {
        "ours": (ours(fleet.inventory, "up", "--yes"), {}),
        "pyinfra": ([str(pyinfra), "-y", *deploy], {"BENCH_FLEET": str(listed)}),
        "playbook": ([sys.executable, "-m", "ansible", *playbook], {}),
    }


def desired_of(fleet: Any, directory: Path, host: Any) -> dict[str, Any]:
    from reaper_ops.lab.ollama import VERSION

    written = directory / "rendered"
    if not written.exists():
        subprocess.run(ours(fleet.inventory, "render", "--read", "--out", str(written)), check=True, stdout=sys.stderr)
    paths = [path for path in sorted((written / host.name).rglob("*")) if path.is_file()]
    files = {place(path, written / host.name): path.read_text() for path in paths}
    runtime = "docker" if "docker" in host.name else "systemd"
    release = directory / "releases" / f"v{VERSION}"
    services = fleet.services
    swap = {"path": SWAP, "size": 64 << 20, "swappiness": 10, "fstab": there(host, f"grep -s ^{SWAP} /etc/fstab; true")}
    return {
        "name": host.name,
        "ssh_hostname": host.address,
        "ssh_user": "root",
        "ssh_key": str(host.keys.user),
        "ssh_known_hosts_file": str(host.keys.known_hosts),
        "desired": {
            "runtime": runtime,
            "version": VERSION,
            "link": there(host, "readlink /opt/ollama/current || true"),
            "archive": f"{services.releases.url}/v{VERSION}/ollama-linux-amd64.tar.zst",
            "sha256": (release / "sha256sum.txt").read_text().split()[0],
            "files": {path: {"text": text, "mode": there(host, f"stat -c %a {path}")} for path, text in files.items()},
            "packages": PACKAGES[runtime],
            "models": [f"{services.address}:{services.registry.server_address[1]}/library/tiny:latest"],
            "swap": swap if host.name == "deb13" else {},
        },
    }


def place(path: Path, root: Path) -> str:
    return f"/{path.relative_to(root)}"


def there(host: Any, command: str) -> str:
    """One line of a command on the host: the yardsticks want what `up` made, to the letter."""
    return str(host.ssh(command).stdout.strip())


def unchanged(name: str, output: str) -> bool:
    """Whether a program's own words say that it changed nothing."""
    if name == "pyinfra":
        return bool(re.search(r"Grand total\s+\d+\s+-\s+-\s+\d+", output))
    if name == "playbook":
        return "changed=0" in output and not re.search(r"changed=[1-9]|failed=[1-9]|unreachable=[1-9]", output)
    return "changed:" not in output and "3 hosts: 3 healthy" in output


def compare(inventory: Path, contestants: dict[str, tuple[list[str], dict[str, str]]]) -> list[Row]:
    """Each opens its own connections in every round; `kept` finds those of the round before."""
    for name, (argv, env) in contestants.items():
        said = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **env}, check=False)
        if not unchanged(name, said.stdout + said.stderr):
            raise SystemExit(f"up: {name} does not find the hosts converged:\n{said.stdout}{said.stderr}")
    taken: dict[str, list[Timing]] = {name: [] for name in ("kept", *contestants)}
    with tempfile.TemporaryDirectory(prefix="cp") as kept:
        for _ in range(ROUNDS):
            for name, (argv, env) in contestants.items():
                taken[name].append(fresh(lambda own, argv=argv, env=env: once(argv, {**env, **sockets(own)})))
            once(contestants["ours"][0], sockets(kept))
            taken["kept"].append(once(contestants["ours"][0], sockets(kept)))
    told(inventory)
    found = {name: median(timings).wall for name, timings in taken.items()}
    what = "no-change up of 3 hosts"
    return [
        Row(what, found["ours"], "pyinfra", found["pyinfra"], 1.0),
        Row(what, found["ours"], "task-per-resource playbook", found["playbook"], 0.5),
        Row(f"{what}, connections kept", found["kept"], "pyinfra", found["pyinfra"], 1.0),
    ]


def sockets(directory: str) -> dict[str, str]:
    return {"ANSIBLE_SSH_CONTROL_PATH_DIR": directory}


def fresh(measured: Callable[[str], Timing]) -> Timing:
    with tempfile.TemporaryDirectory(prefix="cp") as directory:
        return measured(directory)


def told(inventory: Path) -> None:
    from bench.phases import phases
    from reaper_ops.adapters.ansible import Source

    with tempfile.TemporaryDirectory(prefix="cp") as directory:
        os.environ.update(sockets(directory))
        for what, seconds in phases(Source((str(inventory),), LIMIT)):
            print(f"up: {seconds * 1000:6.0f} ms  {what}", file=sys.stderr)
        os.environ.pop(*sockets(directory))
