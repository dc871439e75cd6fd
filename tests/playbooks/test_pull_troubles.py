"""A host in trouble while it pulls: each trouble has its message, nothing half-named is left, the next run completes.

The small disks are real file systems; the server is simulated.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from subject import Started, Starter, simulated

from reaper_ops.adapters.registry import Registry as Asked
from reaper_ops.core.models import names
from reaper_ops.core.models.lock import from_manifest
from reaper_ops.lab import models
from reaper_ops.lab.registry import LabRegistry

MODULE = "ollama_pull"
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk: needs root")
PLAIN = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return simulated(tmp_path_factory.mktemp("release"))


@pytest.fixture
def starter(program: list[str], tmp_path: Path) -> Iterator[Starter]:
    found = Starter("simulated", program, tmp_path)
    yield found
    found.stop()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LabRegistry]:
    models.publish(tmp_path / "registry")
    found = LabRegistry(tmp_path / "registry").start()
    yield found
    found.stop()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB; the model has 5."""
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", path], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


def start(starter: Starter, store: Path, argv: list[str] | None = None, **more: str) -> Started:
    given = {"OLLAMA_MODELS": str(store), "REAPER_OPS_LAB_PATIENCE": "0.01", "OLLAMA_NOPRUNE": "1", **more}
    started = starter.start(argv, **given)
    started.wait_ready()
    return started


def request(registry: LabRegistry, server: Started, namespace: str = "library") -> dict[str, Any]:
    name, port = f"{registry.name}/{namespace}/small:latest", registry.name.rpartition(":")[2]
    with Asked(f"http://{registry.name}") as asked:
        found = asked.manifest(names.split(name))
    one = from_manifest(name, found.data, found.digest, found.url, "now")
    return {
        "models": [name],
        "url": server.subject.url,
        "locked": {name: {"digest": one.digest, "blobs": one.blobs}},
        "sources": {name: f"localhost:{port}/{namespace}/small:latest"},
        "insecure_registries": [registry.name, f"localhost:{port}"],
        "retries": 0,
        "min_free": 0,
    }


def listed(server: Started) -> dict[str, str]:
    return {row["name"]: row["digest"] for row in server.subject.ask("GET", "/api/tags").json()["models"]}


def named(store: Path) -> list[Path]:
    """Manifests on disk, under whatever name."""
    return [path for path in (store / "manifests").rglob("*") if path.is_file()]


def promised(given: dict[str, Any]) -> dict[str, str]:
    return {name: entry["digest"].removeprefix("sha256:") for name, entry in given["locked"].items()}


@ROOT
def test_a_disk_that_is_too_small_is_told_before_a_byte_and_in_the_middle(
    module: Any, starter: Starter, registry: LabRegistry, disk: Path
) -> None:
    server = start(starter, disk / "models")
    given = request(registry, server)
    assert "has only" in module.fails(**given, models_dir=str(disk / "models"))
    assert registry.bytes_sent == 0
    said = module.fails(**given)
    assert "no space left on device" in said
    assert "free space in the model store" in said
    assert (listed(server), named(disk / "models")) == ({}, [])
    remount(disk, "size=30m")
    assert module(**given)["changed"]
    assert listed(server) == promised(given)


@ROOT
@pytest.mark.parametrize("pages", range(3, 9))
def test_a_disk_that_is_full_at_one_of_the_last_small_files_leaves_no_name(
    pages: int, module: Any, starter: Starter, registry: LabRegistry, disk: Path
) -> None:
    """The weights fit; of the small blobs, their notes and the manifest a part."""
    page, weights = os.sysconf("SC_PAGE_SIZE"), 5265120
    remount(disk, f"size={(-(-weights // page) + pages) * page}")
    server = start(starter, disk / "models")
    given = request(registry, server)
    done = module(**given)
    if done.get("failed"):
        assert "no space left on device" in done["msg"]
        assert listed(server) == {}
    remount(disk, "size=30m")
    module(**given)
    assert listed(server) == promised(given)


@ROOT
def test_a_store_that_is_read_only_is_told(module: Any, starter: Starter, registry: LabRegistry, disk: Path) -> None:
    remount(disk, "size=30m")
    server = start(starter, disk / "models")
    given = request(registry, server)
    remount(disk, "ro")
    said = module.fails(**given)
    assert "read-only file system; give the server's user write access to the model store" in said
    assert listed(server) == {}
    remount(disk, "rw")
    assert module(**given)["changed"]


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not here")
def test_a_store_that_the_server_may_not_write_is_told(
    module: Any, starter: Starter, registry: LabRegistry, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    argv = [*(PLAIN if os.geteuid() == 0 else []), *starter.argv, "serve"]
    server = start(starter, store, argv)
    given = request(registry, server)
    (store / "blobs").chmod(0o555)
    said = module.fails(**given)
    assert "permission denied; give the server's user write access to the model store" in said
    (store / "blobs").chmod(0o755)
    (store / "manifests").chmod(0o555)
    assert "permission denied" in module.fails(**given)
    assert listed(server) == {}
    (store / "manifests").chmod(0o755)
    assert module(**given)["changed"]
    assert listed(server) == promised(given)


def test_a_server_that_comes_back_after_a_reboot_is_gone_on_with(
    module: Any, starter: Starter, registry: LabRegistry, tmp_path: Path
) -> None:
    server = start(starter, tmp_path / "store", REAPER_OPS_LAB_PART_BYTES="65536")
    given = request(registry, server, "slow")
    address = {"OLLAMA_HOST": server.subject.url.removeprefix("http://"), "REAPER_OPS_LAB_PART_BYTES": "65536"}
    started = module.start(**{**given, "retries": 4})
    back: list[Started] = []

    def reboot() -> None:
        while not registry.bytes_sent:
            time.sleep(0.02)
        server.process.kill()
        server.process.wait()
        back.append(start(starter, tmp_path / "store", **address))

    thread = threading.Thread(target=reboot)
    thread.start()
    done = started.end()
    thread.join()
    assert not done.get("failed"), done
    assert done["models"][0]["attempts"] > 1
    assert listed(back[0]) == promised(given)


@pytest.mark.parametrize("name", ["bad/na me::x", "127.0.0.1:5000/tiny:1m", "a/b/c/d/e"])
def test_a_name_that_is_no_name_stops_no_other_model(
    name: str, module: Any, starter: Starter, registry: LabRegistry, tmp_path: Path
) -> None:
    """The inventory refuses such names before any host is asked; whoever calls the module himself is told too."""
    server = start(starter, tmp_path / "store")
    given = request(registry, server)
    given["models"].insert(0, name)
    done = module(**given)
    assert done["failed"]
    assert done["models"][0]["error"]
    assert "check the name of the model" in done["models"][0]["next_step"]
    assert listed(server) == promised(given)
