"""A container that was there before us: what of it goes on in ours, what ours overrides, and what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reaper_ops.core import shell
from reaper_ops.core.facts import docker
from reaper_ops.core.facts.foreign import KEPT, Foreign, ForeignMount
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings

NAME = "ollama"
HOME = "/root/.ollama"
RESTART = "unless-stopped"
PORT = 11434
OF_THE_IMAGE = ("NVIDIA_", "OLLAMA_HOST", "REAPER_OPS_")
"""Variables that every image or we ourselves set: nobody chose them for this container."""
TOO_SLOW = (
    f"{docker.LATE}: what is installed, runs and has our names there is not known; see what slows it down "
    "(`time sudo docker ps`, `sudo journalctl -u docker -n 50`), then run again"
)
HIDDEN = "***"
PLAIN_NETWORKS = frozenset({"bridge", "default", "host", "none"})


@dataclass(frozen=True)
class Takeover:
    """home is None when the server's home is in the container itself, and is copied.

    name: what the container is called when nobody has set it aside. pending: ours does not run yet, also when an
    earlier run was cut short after it had set the other one aside.
    """

    foreign: Foreign
    name: str
    home: ForeignMount | None
    pending: bool
    known: Mapping[str, object]
    mounts: tuple[ForeignMount, ...] = ()
    networks: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def copied(self) -> bool:
        return self.home is None and not any(_inside(HOME, mount.target) for mount in self.mounts)

    def recorded(self) -> dict[str, object]:
        """What `down` needs to give it back as it was; the first record is the true one."""
        if self.known:
            return dict(self.known)
        theirs = self.foreign
        running = theirs.state in {"running", "restarting"}
        return {"kept": KEPT, "restart": theirs.restart, "running": running, "copy": HOME if self.copied else ""}

    def obstacles(self) -> list[str]:
        name = self.foreign.name
        found = []
        if self.foreign.network in {"host", "none"}:
            found.append(f"container {name} has network mode {self.foreign.network}, which is not taken over")
        if self.foreign.privileged:
            found.append(f"container {name} is privileged, which is not taken over")
        hidden = [key for key, value in self.environment.items() if HIDDEN in value]
        found += [f"the value of {key} in container {name} holds a password, which is not read" for key in hidden]
        step = "give it another name (`docker rename`) and port, or remove it"
        return [f"{text}; {step}" for text in found]

    def overridden(self, publish: str, image: str, environment: Mapping[str, str], gpu: str, memory: int) -> list[str]:
        """Settings of the container that ours does not have, each with what ours has."""
        theirs = self.foreign
        ports = [f"{port.address or '0.0.0.0'}:{port.host_port}:{port.port}" for port in theirs.published]  # noqa: S104
        found = [f"port {port} (ours: {publish})" for port in ports if port != publish]
        if theirs.image != image:
            found.append(f"image {theirs.image} (ours: {image})")
        if theirs.restart != RESTART:
            found.append(f"restart policy {theirs.restart} (ours: {RESTART})")
        if theirs.gpu and gpu == "none":
            found.append(f"GPU {', '.join(theirs.gpu)} (ours: none)")
        if theirs.memory_limit and theirs.memory_limit != memory:
            found.append(f"memory limit {theirs.memory_limit} (ours: {memory or 'none'})")
        for name, value in self.environment.items():
            if environment.get(name, value) != value:
                found.append(f"{name}={value} (ours: {environment[name]})")
        return found


def of(settings: Settings, facts: Facts) -> Takeover | None:
    """None where nothing is to be taken over, or where nobody asked for it."""
    foreign = facts.foreign
    if settings.ollama_runtime != "docker" or not settings.ollama_adopt or foreign is None:
        return None
    home = next((mount for mount in foreign.mounts if mount.target == HOME), None)
    bound = f"{HOME}/models" if settings.ollama_models_dir else ""
    rest = tuple(mount for mount in foreign.mounts if mount is not home and mount.target != bound)
    environment = {name: value for name, value in sorted(foreign.environ.items()) if not name.startswith(OF_THE_IMAGE)}
    networks = tuple(name for name in foreign.networks if name not in PLAIN_NETWORKS)
    pending = not foreign.kept or facts.container is None
    name, known = _recorded(foreign, facts)
    return Takeover(foreign, name, home, pending, known, rest, networks, environment)


def _recorded(foreign: Foreign, facts: Facts) -> tuple[str, Mapping[str, object]]:
    """Its own name, and what an earlier run noted of it."""
    noted = (facts.manifest or {}).get("containers")
    rows = (
        {str(name): row for name, row in noted.items() if isinstance(row, Mapping)}
        if isinstance(noted, Mapping)
        else {}
    )
    name = next(iter(rows), NAME) if foreign.kept else foreign.name
    return name, rows.get(name, {})


def volumes(settings: Settings, facts: Facts) -> list[dict[str, object]]:
    """Volumes and binds of our container, beside `ollama_models_dir`; a volume of others stays theirs."""
    taken = of(settings, facts)
    if taken is None:
        return [_row(ForeignMount("volume", NAME, HOME), external=_foreign_volume(NAME, facts))]
    home = taken.home or ForeignMount("volume", NAME, HOME)
    return [_row(mount, external=taken.home is not None or mount is not home) for mount in (home, *taken.mounts)]


def _row(mount: ForeignMount, *, external: bool) -> dict[str, object]:
    return {
        "kind": mount.kind,
        "source": mount.source,
        "target": mount.target,
        "read_only": mount.read_only,
        "external": external and mount.kind == "volume",
    }


def _foreign_volume(name: str, facts: Facts) -> bool:
    return any(volume.name == name and not volume.ours for volume in facts.volumes or ())


def image_there(image: str, facts: Facts) -> bool:
    """Whether the engine has it, under the short name or the long one."""
    return image.removeprefix("docker.io/").removeprefix("library/") in (facts.images or ())


def engine_too_slow(settings: Settings, facts: Facts) -> str:
    """Why nothing can be planned with an engine that is too slow to say what it holds; empty where it said so."""
    return TOO_SLOW if settings.ollama_runtime == "docker" and docker.is_late(facts.unread) else ""


def blockers(settings: Settings, facts: Facts) -> list[str]:
    """Names that others hold, and what to do about it."""
    taken, there = of(settings, facts), facts.foreign
    if taken is not None:
        return taken.obstacles()
    found = []
    if there is not None and there.name == NAME:
        whose = f" of Compose project {there.project}" if there.project else ""
        found.append(
            f"container {NAME} ({there.image}, {there.state}){whose} is not ours; set `ollama_adopt: true` to take it "
            "over with its models and settings, or give it another name (`docker rename`) and port, or remove it"
        )
    if _foreign_volume(NAME, facts) and not settings.ollama_adopt:
        remove = shell.typed("sudo docker volume rm {name}", name=NAME)
        found.append(
            f"volume {NAME} was there before us; set `ollama_adopt: true` to use it with its models, which then stay "
            f"whatever is removed, or remove it, models included: {remove}"
        )
    network = next((one for one in facts.networks or () if one.name == "reaper_ops_default"), None)
    if network is not None and not network.ours:
        found.append(
            f"network {network.name} is there and not ours; remove it: "
            f"{shell.typed('sudo docker network rm {name}', name=network.name)}"
        )
    return found


def reason(taken: Takeover, overridden: Sequence[str]) -> str:
    home = taken.home
    store = f"{home.kind} {home.source}" if home else "a copy of its models, which are in the container itself,"
    kept = [*([store] if store else []), *sorted(taken.environment), *(f"network {name}" for name in taken.networks)]
    kept += [f"{mount.kind} {mount.source}" for mount in taken.mounts]
    text = f"is stopped and kept as {KEPT}; ours goes on with {', '.join(kept)}"
    if taken.foreign.project:
        text += (
            f"; until `reaper-ops down`, `docker compose up` of project {taken.foreign.project} would start it again"
        )
    return f"{text}; overridden: {'; '.join(overridden)}" if overridden else text


def _inside(path: str, parent: str) -> bool:
    return path == parent or path.startswith(parent + "/")
