"""The fleet of a test session: engine, services, hosts and inventory, built beside other tests, then taken down."""

import fcntl
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import docker
from docker.models.containers import Container
from fleet import containers, engine, images, machine
from fleet.hosts import Host, Keys, make_keys

from reaper_ops import assets
from reaper_ops.lab import models, release
from reaper_ops.lab.ollama import VERSION
from reaper_ops.lab.registry import LabRegistry

T = TypeVar("T")
SUITES = {"deb12": "bookworm", "deb13": "trixie", "deb13-docker": "trixie"}
VOLUMES = {"deb13": {"data": containers.SWAP_VOLUME}, "deb13-docker": {"docker": "/var/lib/docker"}}
MACHINE = "vm13"
ENGINE = "deb13-docker"


@dataclass(frozen=True)
class Services:
    """The simulated registry and release server, on the address that hosts know this machine by."""

    address: str
    registry: LabRegistry
    releases: release.ReleaseServer

    def variables(self) -> dict[str, str]:
        return {
            "fleet_services": self.address,
            "fleet_registry_port": str(self.registry.server_address[1]),
            "fleet_release_port": str(self.releases.server_address[1]),
        }


class Fleet:
    """Starts hosts in the background; `host(name)` waits for one, `close` removes everything."""

    def __init__(self, directory: Path, *, machine: bool = True) -> None:
        self.directory = directory
        self.inventory = directory / "inventory"
        self._closing = ExitStack()
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="fleet")
        self._base = self._pool.submit(self._prepare)
        self._hosts: dict[str, Future[Host]] = {
            **{name: self._pool.submit(self._container, name) for name in SUITES},
            **({MACHINE: self._pool.submit(self._machine)} if machine else {}),
        }
        self._suites = {suite: self._pool.submit(self._image, suite) for suite in sorted(set(SUITES.values()))}

    def host(self, name: str) -> Host:
        return self._hosts[name].result()

    def later(self, work: Callable[["Fleet"], T]) -> Future[T]:
        """Work on hosts that goes on beside other tests."""
        return self._pool.submit(work, self)

    def hosts(self, *, with_machine: bool = True) -> tuple[Host, ...]:
        return tuple(self.host(name) for name in self._hosts if with_machine or name != MACHINE)

    def container(self, name: str) -> Container:
        return self.client.containers.get(f"reaper-fleet-{name}")

    def reset(self, name: str) -> Host:
        """A bare host again, under the same name and address of the inventory."""
        containers.remove(self.client, name)
        self._hosts[name] = self._pool.submit(self._container, name)
        return self.host(name)

    def image(self, suite: str) -> str:
        return self._suites[suite].result()

    @property
    def client(self) -> docker.DockerClient:
        return self._base.result()[0]

    @property
    def services(self) -> Services:
        return self._base.result()[1]

    def _prepare(self) -> tuple[docker.DockerClient, Services, Keys]:
        self._closing.enter_context(lock())
        shutil.copytree(assets.inventory("fleet"), self.inventory)
        keys = make_keys(self.directory)
        client = self._closing.enter_context(engine.running(self.directory / "dockerd.log"))
        containers.remove_all(client)
        self._closing.callback(containers.remove_all, client)
        machine.stop_leftover()
        return client, self._serve(containers.gateway(client)), keys

    def _serve(self, address: str) -> Services:
        models.publish(self.directory / "registry")
        release.pack(self.directory / "releases", VERSION, "amd64")
        registry = LabRegistry(self.directory / "registry", address).start()
        releases = release.ReleaseServer(self.directory / "releases", address).start()
        for server in (registry, releases):
            self._closing.callback(server.server_close)
            self._closing.callback(server.shutdown)
        return Services(address, registry, releases)

    def _image(self, suite: str) -> str:
        return images.image(self.client, suite)

    def _container(self, name: str) -> Host:
        client, _, keys = self._base.result()
        image = self._suites[SUITES[name]].result()
        container = containers.start(client, name, image, keys, volumes=VOLUMES.get(name))
        return self._ready(Host(name, containers.address(container), 22, keys, self.inventory))

    def _machine(self) -> Host:
        _, _, keys = self._base.result()
        self._suites["trixie"].result()
        work = self.directory / MACHINE
        work.mkdir()
        port = machine.free_port()
        process = machine.start(MACHINE, keys, work, {port: 22})
        self._closing.callback(machine.stop, process)
        return self._ready(Host(MACHINE, "127.0.0.1", port, keys, self.inventory))

    def _ready(self, host: Host) -> Host:
        """Enters the host into known_hosts and the inventory, and waits until it has booted."""
        with host.keys.known_hosts.open("a") as known:
            known.write(host.known_host)
        written = self.directory / f"connection-{host.name}.json"
        written.write_text(json.dumps(self._connection(host), indent=2))
        written.rename(self.inventory / written.name)
        wait_booted(host)
        return host

    def _connection(self, host: Host) -> dict[str, object]:
        options = f"-o UserKnownHostsFile={host.keys.known_hosts} -o IdentitiesOnly=yes"
        address = {"ansible_host": host.address, "ansible_port": host.port}
        common = {"ansible_ssh_private_key_file": str(host.keys.user), "ansible_ssh_common_args": options}
        variables = {**common, **self.services.variables()}
        return {"all": {"hosts": {host.name: address}, "vars": variables}}

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._closing.close()


def lock() -> ExitStack:
    """One fleet at a time on a machine: names, swap and the engine are the machine's."""
    images.CACHE.mkdir(parents=True, exist_ok=True)
    held = ExitStack()
    handle = held.enter_context((images.CACHE / "lock").open("w"))
    fcntl.flock(handle, fcntl.LOCK_EX)
    return held


def wait_booted(host: Host, seconds: float = 240) -> None:
    """Waits for sshd and the end of the boot; on a timeout quotes the last answer."""
    deadline = time.monotonic() + seconds
    last = "no answer"
    while time.monotonic() < deadline:
        try:
            done = host.ssh("systemctl is-system-running --wait", timeout=60, check=False)
        except subprocess.TimeoutExpired as error:
            last = str(error)
            continue
        last = (done.stdout + done.stderr).strip()
        if done.stdout.strip() in {"running", "degraded"}:
            return
        time.sleep(0.5)
    raise RuntimeError(f"{host.name} did not boot within {seconds:g} s; last answer: {last}")
