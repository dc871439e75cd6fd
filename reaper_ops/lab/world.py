"""The lab's surroundings: registry, release server, models, stand-ins and fault files, under one directory."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import platform
import signal
import socket
import stat
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reaper_ops.adapters import process
from reaper_ops.errors import CommandError, ReaperError
from reaper_ops.lab import models, release, standin
from reaper_ops.lab.ollama import VERSION
from reaper_ops.lab.ollama.faults import FAULTS

PORT = 18434
_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class LabHost:
    """A host of inventories/lab: its address, the fault it starts with, whether it presents a GPU."""

    address: str
    fault: str | None = None
    gpu: bool = False


HOSTS: Mapping[str, LabHost] = {
    "lab-cpu": LabHost("127.0.0.11"),
    "lab-gpu": LabHost("127.0.0.12", gpu=True),
    "lab-refused": LabHost("127.0.0.13", fault="refuse"),
    "lab-oom": LabHost("127.0.0.14", fault="oom-malloc"),
}


@dataclass(frozen=True)
class LabPart:
    """A background program of the lab: pid None when it does not run."""

    name: str
    url: str
    pid: int | None


@dataclass(frozen=True)
class World:
    root: Path
    parts: tuple[LabPart, ...]
    faults: Mapping[str, tuple[str, ...]]


def directory() -> Path:
    """REAPER_OPS_LAB_DIR, or the state directory of the user."""
    chosen = os.environ.get("REAPER_OPS_LAB_DIR")
    return Path(chosen) if chosen else Path.home() / ".local/state/reaper_ops/lab"


def port() -> int:
    """The servers' port; the registry has the next, the release server the one after that."""
    return int(os.environ.get("REAPER_OPS_LAB_PORT") or PORT)


def home(root: Path, host: str) -> Path:
    """``ollama_home`` of a host."""
    return root / "hosts" / host / "ollama"


def _own(root: Path) -> None:
    """Pid files and faults are written, believed and removed there: not where somebody else can lay them."""
    for place in (root, root / "run", root / "hosts", *(root / "hosts" / name for name in HOSTS)):
        info = place.lstat() if os.path.lexists(place) else None
        if info and (not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & stat.S_IWOTH):
            problem = f"{place} is a link, belongs to somebody else, or others can write there"
            raise ReaperError("lab", problem, "set REAPER_OPS_LAB_DIR to a directory of your own")


def up(root: Path) -> World:
    """Starts what does not run yet; a second call changes nothing."""
    _own(root)
    try:
        (root / "run").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"{root} cannot be created: {error.strerror}"
        raise ReaperError("lab", problem, "set REAPER_OPS_LAB_DIR to a directory of your own") from None
    models.publish(root / "registry")
    _pack(root / "releases")
    for name, host in HOSTS.items():
        home(root, name).mkdir(parents=True, exist_ok=True)
        if host.gpu:
            standin.write(root / "hosts" / name / "facts")
        if not _fault_file(root, name).exists():
            _write_faults(root, name, (host.fault,) if host.fault else ())
    for name, argv, number in _programs(root):
        _start(root, name, argv, number)
    return status(root)


def _pack(directory: Path) -> None:
    arch = _ARCH.get(platform.machine())
    if not arch:
        raise ReaperError("lab", f"there is no archive for {platform.machine()}", "run the lab on x86_64 or aarch64")
    release.pack(directory, VERSION, arch)


def _programs(root: Path) -> tuple[tuple[str, list[str], int], ...]:
    start = [sys.executable, "-m", "reaper_ops.lab"]
    return (
        ("registry", [*start, "registry", str(root / "registry"), "--port", str(port() + 1)], port() + 1),
        ("release", [*start, "release", str(root / "releases"), "--port", str(port() + 2)], port() + 2),
    )


def _start(root: Path, name: str, argv: list[str], number: int) -> None:
    if _pid(root, name):
        return
    if _answers(number):
        problem = f"port {number} is taken by another program"
        raise ReaperError(
            f"lab/{name}", problem, "stop it, or set REAPER_OPS_LAB_PORT to a free port with two behind it"
        )
    log = root / "run" / f"{name}.log"
    path = os.pathsep.join(part for part in (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")) if part)
    pid = process.spawn(argv, str(log), env={"PYTHONPATH": path})
    (root / "run" / f"{name}.pid").write_text(f"{pid}\n", encoding="ascii")
    for _ in range(200):
        if _answers(number):
            return
        if os.waitpid(pid, os.WNOHANG)[0]:
            break
        time.sleep(0.05)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    raise CommandError(f"lab/{name}", f"did not start: {lines[-1] if lines else 'no output'}", f"see {log}")


def _answers(number: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", number), timeout=1):
            return True
    except OSError:
        return False


def _pid(root: Path, name: str) -> int | None:
    """The pid in the pid file, if that process is still the one that we started."""
    try:
        number = int((root / "run" / f"{name}.pid").read_text(encoding="ascii"))
        words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    ours = b"reaper_ops.lab" in words and any(word.startswith(os.fsencode(root)) for word in words)
    return number if ours else None


def down(root: Path) -> World:
    """Stops the programs that `up` started and forgets the faults; files stay for the next start."""
    _own(root)
    for name, _, _ in _programs(root):
        number = _pid(root, name)
        if number:
            os.kill(number, signal.SIGTERM)
            _wait_gone(name, number)
        (root / "run" / f"{name}.pid").unlink(missing_ok=True)
    for name in HOSTS:
        _fault_file(root, name).unlink(missing_ok=True)
    return status(root)


def _ended(number: int) -> bool:
    """Gone, or a zombie that its parent has yet to collect; ours is collected here."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(number, os.WNOHANG)
    try:
        state = Path(f"/proc/{number}/stat").read_text(encoding="ascii").rpartition(") ")[2][:1]
    except OSError:
        return True
    return state == "Z"


def _wait_gone(name: str, number: int) -> None:
    for _ in range(100):
        if _ended(number):
            return
        time.sleep(0.05)
    raise CommandError(f"lab/{name}", "did not stop", "end it by hand: its pid is in run/ of the lab directory")


def break_(root: Path, host: str, fault: str) -> World:
    """Switches a fault on; a running server sees it with its next request."""
    _own(root)
    _known("host", host, HOSTS)
    _known("fault", fault, FAULTS)
    _write_faults(root, host, (*_faults(root, host), fault))
    return status(root)


def heal(root: Path, host: str) -> World:
    """Switches every fault of a host off."""
    _own(root)
    _known("host", host, HOSTS)
    _write_faults(root, host, ())
    return status(root)


def _known(kind: str, name: str, among: Mapping[str, object]) -> None:
    if name in among:
        return
    close = difflib.get_close_matches(name, list(among), n=1)
    hint = f"did you mean {close[0]}?" if close else "one of " + ", ".join(among)
    raise ReaperError(f"lab/{name}", f"there is no such {kind}", hint)


def _fault_file(root: Path, host: str) -> Path:
    return home(root, host) / "faults.json"


def _faults(root: Path, host: str) -> tuple[str, ...]:
    try:
        return tuple(json.loads(_fault_file(root, host).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()


def _write_faults(root: Path, host: str, faults: tuple[str, ...]) -> None:
    path = _fault_file(root, host)
    if not path.parent.is_dir():
        raise ReaperError(f"lab/{host}", "the lab is not there", "start it: reaper-ops lab up")
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({name: {} for name in faults}, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def status(root: Path) -> World:
    parts = tuple(LabPart(name, f"http://127.0.0.1:{number}", _pid(root, name)) for name, _, number in _programs(root))
    return World(root, parts, {name: _faults(root, name) for name in HOSTS})
