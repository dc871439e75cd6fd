"""Hosts of the shapes: fresh containers of their own beside the fleet, a few at a time, gone after use."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock

import docker
import yaml
from docker.models.containers import Container
from fleet import containers, engine, images, standin
from fleet.hosts import make_keys
from fleet.shape import FOLDER, HostPart, Shape, settings

from reaper_ops import assets
from reaper_ops.lab import models, release
from reaper_ops.lab.ollama import VERSION
from reaper_ops.lab.registry import LabRegistry

LABEL = "reaper_ops.shape"
ENGINE_PACKAGES = "docker.io docker-cli docker-compose"
BOOTED = "systemctl is-system-running --wait"
PRESENT = (*standin.ALIASES, standin.IMAGE)


@dataclass(frozen=True)
class ShapeHost:
    """Asked by the engine, not by SSH, which a shape may have changed."""

    name: str
    container: Container
    inventory: Path

    @property
    def address(self) -> str:
        return containers.address(self.container)

    def run(self, command: str, *, check: bool = True, env: dict[str, str] | None = None, shell: str = "sh") -> str:
        code, out = self.answer(command, env=env, shell=shell)
        if check and code:
            raise AssertionError(f"{command!r} ended with {code}: {out[-1500:]}")
        return out

    def answer(self, command: str, *, env: dict[str, str] | None = None, shell: str = "sh") -> tuple[int, str]:
        given = [word for name, value in (env or {}).items() for word in ("-e", f"{name}={value}")]
        argv = ["docker", "exec", *given, self.container.name, "timeout", "300", shell, "-c", command]
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False, timeout=360)
        return done.returncode, done.stdout + done.stderr


class Stage:
    """The services and images of one session; `host` boots one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._closing = ExitStack()
        self._images = Lock()
        self.client: docker.DockerClient = self._closing.enter_context(engine.running(directory / "dockerd.log"))
        remove_leftovers(self.client)
        self.keys = make_keys(directory)
        address = containers.gateway(self.client)
        models.publish(directory / "registry")
        archive = release.pack(directory / "releases", VERSION, "amd64")
        self.registry = LabRegistry(directory / "registry", address).start()
        self.releases = release.ReleaseServer(directory / "releases", address).start()
        for server in (self.registry, self.releases):
            self._closing.callback(server.server_close)
            self._closing.callback(server.shutdown)
        self.services = {
            "fleet_services": address,
            "fleet_registry_port": str(self.registry.server_address[1]),
            "fleet_release_port": str(self.releases.server_address[1]),
            "shape_releases": str(directory / "releases"),
            "shape_sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        }

    def close(self) -> None:
        self._closing.close()

    @contextmanager
    def host(self, shape_name: str, shape: Shape) -> Iterator[ShapeHost]:
        name = f"shape-{os.getpid()}-{shape_name}"
        with ExitStack() as gone:
            jump = gone.enter_context(self._booted(f"{name}-jump", HostPart())) if shape.host.jump else None
            container = gone.enter_context(self._booted(name, shape.host))
            inventory = self._inventory(shape_name, container, jump)
            host = ShapeHost(shape_name, container, inventory)
            if shape.host.docker:
                self._give_image(container)
            self._prepare(host, jump)
            yield host

    @contextmanager
    def _booted(self, name: str, part: HostPart) -> Iterator[Container]:
        image = self.image(part)
        volumes = {place.strip("/").replace("/", "-"): place for place in part.volumes}
        if part.docker:
            volumes["docker"] = "/var/lib/docker"
        try:
            found = containers.start(
                self.client, name, image, self.keys, volumes=volumes, tmpfs=part.tmpfs, label=LABEL
            )
            wait_booted(found)
            yield found
        finally:
            containers.remove_all(self.client, f"{LABEL}={name}")

    def image(self, part: HostPart) -> str:
        with self._images:
            base = images.image(self.client, part.suite)
            return with_engine(self.client, base) if part.docker else base

    @cached_property
    def _archive(self) -> Path:
        """The stand-in for ollama/ollama, as a file that engines load."""
        standin.build(self.client, images.image(self.client, "trixie"))
        path = self.directory / "image.tar"
        subprocess.run(["docker", "save", "-o", path, standin.NAME], check=True, capture_output=True)
        return path

    def _give_image(self, container: Container) -> None:
        with self._images:
            archive = self._archive
        inside = ["docker", "exec", "-i", container.name, "docker"]
        with archive.open("rb") as content:
            subprocess.run([*inside, "load"], stdin=content, check=True, capture_output=True)
        for name in PRESENT:
            subprocess.run([*inside, "tag", standin.NAME, name], check=True, capture_output=True)
        subprocess.run([*inside, "rmi", standin.NAME], check=True, capture_output=True)

    def _prepare(self, host: ShapeHost, jump: Container | None) -> None:
        """Runs the script of the shape, which finds an unpacked release of the simulated server in /root/vendor."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            for path, data in release.contents(VERSION).items():
                entry = tarfile.TarInfo(f"vendor/{path}")
                entry.mode, entry.size = 0o755, len(data)
                archive.addfile(entry, io.BytesIO(data))
        host.container.put_archive("/root", content.getvalue())
        script = FOLDER / host.name / "prepare.sh"
        if script.exists():
            env = {**self.services, "jump": containers.address(jump) if jump else ""}
            host.run(script.read_text(), env=env, shell="bash")
        host.run("rm -rf /root/vendor")

    def _inventory(self, name: str, container: Container, jump: Container | None) -> Path:
        """As the fleet's, with the shape's own settings last."""
        place = self.directory / name[:24]
        shutil.copytree(assets.inventory("fleet") / "group_vars", place / "inventory" / "group_vars")
        control = place / "cp"
        control.mkdir()
        known = place / "known_hosts"
        key = " ".join(self.keys.host.with_suffix(".pub").read_text().split()[:2])
        hosts = [container, *([jump] if jump else [])]
        known.write_text(
            "".join(f"{containers.address(one)},[{containers.address(one)}]:2222 {key}\n" for one in hosts)
        )
        options = f"-o UserKnownHostsFile={known} -o IdentitiesOnly=yes"
        variables = {
            "ansible_ssh_private_key_file": str(self.keys.user),
            "ansible_ssh_common_args": options,
            "ansible_control_path_dir": str(control),
            "shape_ssh": f"ssh -i {self.keys.user} {options}",
            "shape_jump": containers.address(jump) if jump else "",
            **self.services,
        }
        row = {"ansible_host": containers.address(container)}
        document = {"all": {"children": {"fleet": {"hosts": {name: row}}}, "vars": variables}}
        (place / "inventory" / "hosts.json").write_text(json.dumps(document, indent=1))
        written = place / "inventory" / "host_vars" / name / "settings.yml"
        written.parent.mkdir(parents=True)
        written.write_text(yaml.safe_dump(settings(name)))
        return place / "inventory"


def with_engine(client: docker.DockerClient, base: str) -> str:
    """The base image with Debian's Docker packages, made once for each base."""
    name = f"{base.replace(':', '-engine:')}"
    if not client.images.list(name):
        install = f"apt-get update -q && apt-get install -qy --no-install-recommends {ENGINE_PACKAGES}"
        container = client.containers.run(base, ["sh", "-c", install], labels={LABEL: "engine"}, detach=True)
        try:
            if container.wait(timeout=600)["StatusCode"]:
                raise RuntimeError(f"no engine in {base}:\n{container.logs().decode()[-2000:]}")
            container.commit(name)
        finally:
            container.remove(force=True)
    return name


def wait_booted(container: Container, seconds: float = 240) -> None:
    deadline, last = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        argv = ["docker", "exec", container.name, "sh", "-c", BOOTED]
        last = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120).stdout.strip()
        if last in {"running", "degraded"}:
            return
        time.sleep(0.5)
    raise RuntimeError(f"{container.name} did not boot within {seconds:g} s; last answer: {last}")


def remove_leftovers(client: docker.DockerClient) -> None:
    """What a session that was killed left behind; another one that still runs keeps its own."""
    found = client.containers.list(all=True, filters={"label": LABEL})
    labels = {one.labels.get(LABEL, "") for one in found}
    labels |= {(one.attrs.get("Labels") or {}).get(LABEL, "") for one in client.volumes.list(filters={"label": LABEL})}
    for label in labels:
        owner = label.split("-")[1] if label.startswith("shape-") else ""
        if owner and not Path("/proc", owner).exists():
            containers.remove_all(client, f"{LABEL}={label}")
