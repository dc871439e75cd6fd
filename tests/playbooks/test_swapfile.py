"""swapfile for real: loop-mounted file systems, the kernel's own swap, kills in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

MB = 1 << 20
MAKERS = {
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "ext2": ["mkfs.ext2", "-q", "-F"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
}


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


def swaps() -> dict[str, tuple[int, int, int]]:
    rows = [line.split() for line in Path("/proc/swaps").read_text().splitlines()[1:]]
    return {row[0]: (int(row[2]) * 1024, int(row[3]) * 1024, int(row[4])) for row in rows}


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a fresh file system of a kind from a file; skips, with the reason, where that cannot be."""
    if os.getuid() != 0:
        pytest.skip("needs root: mounts and swapon")
    place = tmp_path / "mnt"

    def mount(kind: str) -> Path:
        image = tmp_path / f"{kind}.img"
        with image.open("wb") as file:
            file.truncate(700 * MB)
        made = (
            subprocess.run([*MAKERS[kind], str(image)], capture_output=True, text=True, check=False)
            if any(Path(folder, MAKERS[kind][0]).exists() for folder in ("/sbin", "/usr/sbin"))
            else None
        )
        if made is None:
            pytest.skip(f"{MAKERS[kind][0]} is not installed")
        assert made.returncode == 0, made.stderr
        place.mkdir()
        mounted = subprocess.run(
            ["mount", "-o", "loop", str(image), str(place)], capture_output=True, text=True, check=False
        )
        if mounted.returncode != 0:
            pytest.skip(f"loop mounts do not work here: {mounted.stderr.strip()}")
        return place

    yield mount
    for name in swaps():
        if name.startswith(str(place)):
            run("swapoff", name)
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


def arguments(place: Path, size: int, **more: Any) -> dict[str, Any]:
    table = place.parent / "fstab"
    if not table.exists():
        table.write_text("# static\n/dev/vda / ext4 defaults 0 1\n")
    return {"path": str(place / "swapfile"), "size": size, "fstab_file": str(table), **more}


def table_of(place: Path) -> list[str]:
    return [line for line in (place.parent / "fstab").read_text().splitlines() if "swap" in line]


def is_right(place: Path, size: int) -> None:
    path = place / "swapfile"
    assert swaps()[str(path)][0] == size - 4096
    assert path.stat().st_size == size
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert sorted(name for name in os.listdir(place) if name.startswith("swapfile")) == ["swapfile"]
    assert table_of(place) == [f"{path} none swap sw,nofail 0 0"]


@pytest.mark.parametrize("kind", MAKERS)
def test_life_of_a_swap_file(module: Any, volume: Callable[[str], Path], kind: str) -> None:
    place = volume(kind)
    first = module.predicted(**arguments(place, 48 * MB + 100))
    assert first["steps"] == ["make", "on", "fstab"]
    is_right(place, 48 * MB)
    assert (place.parent / "fstab").read_text().startswith("# static\n/dev/vda / ext4 defaults 0 1\n")
    run("swapoff", str(place / "swapfile"))
    assert module.predicted(**arguments(place, 48 * MB))["steps"] == ["on"]
    for size in (64 * MB, 24 * MB):
        assert module.predicted(**arguments(place, size))["steps"] == ["resize"]
        is_right(place, size)
    module.predicted(**arguments(place, 24 * MB, priority=7))
    assert swaps()[str(place / "swapfile")][2] == 7
    assert table_of(place) == [f"{place}/swapfile none swap sw,nofail,pri=7 0 0"]
    gone = module.predicted(**arguments(place, 24 * MB, state="absent"))
    assert gone["changed"]
    assert str(place / "swapfile") not in swaps()
    assert table_of(place) == []
    assert not (place / "swapfile").exists()


def test_file_that_exists_but_is_off_unsigned_or_open_to_all(module: Any, volume: Callable[[str], Path]) -> None:
    place = volume("ext4")
    path = place / "swapfile"
    path.write_bytes(bytes(10 * MB))
    assert module.predicted(**arguments(place, 48 * MB))["steps"] == ["make", "on", "fstab"]
    is_right(place, 48 * MB)
    path.chmod(0o644)
    assert module.predicted(**arguments(place, 48 * MB))["steps"] == ["protect"]
    run("swapoff", str(path))
    (place.parent / "fstab").write_text(f"{path} none swap defaults 0 0\n")
    assert module.predicted(**arguments(place, 48 * MB))["steps"] == ["on", "fstab"]
    is_right(place, 48 * MB)


def test_data_of_somebody_is_not_overwritten(module: Any, volume: Callable[[str], Path]) -> None:
    place = volume("ext4")
    (place / "swapfile").write_text("my thesis")
    assert "is not a swap file" in module.fails(**arguments(place, 48 * MB))
    assert "is not a swap file" in module.fails(**arguments(place, 48 * MB), state="absent")
    assert (place / "swapfile").read_text() == "my thesis"
    assert table_of(place) == []


def test_too_little_space_is_said_before_anything_is_made(module: Any, volume: Callable[[str], Path]) -> None:
    place = volume("ext4")
    args = arguments(place, 10_000 * MB)
    assert "do not fit" in module.fails(**args)
    assert module(check=True, **args)["failed"]
    assert not list(place.glob("swapfile*"))
    assert table_of(place) == []


def test_directory_that_is_not_there_yet(module: Any, volume: Callable[[str], Path]) -> None:
    place = volume("ext4")
    args = {**arguments(place, 16 * MB), "path": str(place / "new" / "swap file")}
    done = module.predicted(**args)
    assert done["changed"]
    assert table_of(place) == [f"{place}/new/swap\\040file none swap sw,nofail 0 0"]
    module.predicted(**args, state="absent")


@pytest.mark.parametrize(("kind", "word"), [("tmpfs", "itself in memory"), ("overlay", "cannot hold swap")])
def test_places_that_cannot_carry_swap(module: Any, tmp_path: Path, kind: str, word: str) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root: mounts")
    place = tmp_path / "mnt"
    for name in ("mnt", "tmp"):
        (tmp_path / name).mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", str(place if kind == "tmpfs" else tmp_path / "tmp"))
    try:
        if kind == "overlay":
            for name in ("upper", "work", "lower"):
                (tmp_path / "tmp" / name).mkdir()
            parts = ",".join(f"{key}dir={tmp_path}/tmp/{key}" for key in ("lower", "upper", "work"))
            run("mount", "-t", "overlay", "overlay", "-o", parts, str(place))
        args = arguments(place, 16 * MB)
        said = module.fails(**args)
        assert word in said
        assert "swap_kind: zram" in said
        assert module(check=True, **args)["failed"]
        assert os.listdir(place) == []
        assert table_of(place) == []
    finally:
        for name in ("mnt", "tmp"):
            subprocess.run(["umount", str(tmp_path / name)], capture_output=True, check=False)


@pytest.mark.parametrize("kind", ["ext4", "ext2"])
def test_killed_at_any_moment_is_completed(module: Any, volume: Callable[[str], Path], kind: str) -> None:
    place = volume(kind)
    for turn in range(14):
        size = (96 if turn % 2 else 64) * MB
        started = module.start(**arguments(place, size))
        while turn % 7 and started.process.poll() is None and not list(place.glob("swapfile*")):
            time.sleep(0.001)
        time.sleep(0.012 * (turn % 7))
        os.kill(started.process.pid, signal.SIGKILL)
        started.process.communicate()
    done = module.predicted(**arguments(place, 48 * MB))
    assert done["changed"]
    is_right(place, 48 * MB)


HOG = """
import sys, time
data = [bytes([number % 251]) * 4096 for number in range(25600)]
print("ready", flush=True)
sys.stdin.readline()
assert all(page == bytes([number % 251]) * 4096 for number, page in enumerate(data))
print("whole", flush=True)
"""


@pytest.fixture
def cramped() -> Iterator[Path]:
    """A memory cgroup (v1) of 40 MB, whose processes must swap."""
    group = Path("/sys/fs/cgroup/memory") / f"reaper_ops_test_{os.getpid()}"
    if os.getuid() != 0 or not group.parent.is_dir():
        pytest.skip("needs root and the memory controller of cgroup v1")
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(40 * MB))
    yield group
    for _ in range(50):
        try:
            group.rmdir()
            return
        except OSError:
            time.sleep(0.1)


def test_resize_loses_nothing_that_is_swapped(module: Any, volume: Callable[[str], Path], cramped: Path) -> None:
    place = volume("ext4")
    module(**arguments(place, 160 * MB, priority=100))
    argv = ["sh", "-c", f"echo $$ > {cramped}/cgroup.procs; exec python3 -c '{HOG}'"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as hog:
        assert hog.stdin
        assert hog.stdout
        assert hog.stdout.readline() == "ready\n"
        assert swaps()[str(place / "swapfile")][1] > 20 * MB
        done = module.predicted(**arguments(place, 200 * MB, priority=100))
        assert done["steps"] == ["resize"]
        assert swaps()[str(place / "swapfile")][0] == 200 * MB - 4096
        said, _ = hog.communicate("go\n", timeout=60)
    assert said == "whole\n"
    assert hog.returncode == 0
