"""The same state as `reaper-ops up` gives, as a pyinfra deploy: operations and facts, in order, nothing clever."""

import json
from io import StringIO

from pyinfra import host
from pyinfra.facts.docker import DockerContainer
from pyinfra.facts.files import Link
from pyinfra.facts.server import Command
from pyinfra.operations import apt, files, server, systemd

UNIT = "/etc/systemd/system/ollama.service"
desired = host.data.desired


def written() -> bool:
    """Puts the files of the host in place; whether one of them was different."""
    done = [
        files.put(
            name=f"Write {path}", src=StringIO(one["text"]), dest=path, mode=one["mode"], user="root", group="root"
        )
        for path, one in desired["files"].items()
    ]
    return any(one.will_change for one in done)


def native() -> None:
    apt.packages(name="Install packages", packages=["ca-certificates", "zstd"], no_recommends=True)
    server.user(
        name="Create the user",
        user="ollama",
        system=True,
        home="/var/lib/ollama",
        create_home=False,
        ensure_home=False,
        shell="/usr/sbin/nologin",
    )
    root = f"/opt/ollama/{desired['version']}"
    if not host.get_fact(Link, path="/opt/ollama/current"):
        server.shell(
            name="Install the release",
            commands=[
                f"mkdir -p {root}",
                f"curl -fsSLo /opt/ollama/archive.tar.zst {desired['archive']}",
                f"echo '{desired['sha256']}  /opt/ollama/archive.tar.zst' | sha256sum -c",
                f"tar --zstd --no-same-owner -xf /opt/ollama/archive.tar.zst -C {root}",
                "rm /opt/ollama/archive.tar.zst",
            ],
        )
    files.file(name="See the program", path=f"{root}/bin/ollama", mode="755", user="root", group="root")
    files.link(name="Choose the release", path="/opt/ollama/current", target=desired["link"])
    files.link(name="Put ollama on the path", path="/usr/local/bin/ollama", target="/opt/ollama/current/bin/ollama")
    changed = written()
    systemd.service(
        name="Run the server",
        service="ollama.service",
        running=True,
        enabled=True,
        restarted=changed,
        daemon_reload=changed,
    )


def compose() -> None:
    apt.packages(name="Install the engine", packages=["docker.io", "docker-cli", "docker-compose"], no_recommends=True)
    systemd.service(name="Run the engine", service="docker.service", running=True, enabled=True)
    changed = written()
    found = host.get_fact(DockerContainer, object_id="ollama")
    if changed or not found or not found[0]["State"]["Running"]:
        server.shell(name="Run the container", commands=["docker compose -f /etc/reaper_ops/compose.yaml up -d --wait"])


def swap() -> None:
    path, size = desired["swap"]["path"], desired["swap"]["size"]
    active = host.get_fact(Command, "swapon --show=NAME,SIZE --bytes --noheadings") or ""
    if path not in [line.split()[0] for line in active.splitlines()]:
        server.shell(
            name="Provide the swap file",
            commands=[f"fallocate -l {size} {path}", f"chmod 600 {path}", f"mkswap {path}", f"swapon {path}"],
        )
    files.line(name="Swap after a reboot", path="/etc/fstab", line=rf"^{path}\s.*$", replace=desired["swap"]["fstab"])
    server.sysctl(name="Set the swappiness", key="vm.swappiness", value=desired["swap"]["swappiness"])


def models() -> None:
    answer = host.get_fact(Command, "curl -fsS http://127.0.0.1:11434/api/tags || true") or "{}"
    there = {row["name"] for row in json.loads(answer).get("models", [])}
    for model in desired["models"]:
        if model not in there:
            body = json.dumps({"model": model, "insecure": True, "stream": False})
            server.shell(name=f"Pull {model}", commands=[f"curl -fsS http://127.0.0.1:11434/api/pull -d '{body}'"])


if desired["swap"]:
    swap()
if desired["runtime"] == "docker":
    compose()
else:
    native()
models()
