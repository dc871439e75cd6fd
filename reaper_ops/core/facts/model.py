"""What a host is: frozen records, ``None`` where nothing was read. No judgement here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from reaper_ops.core.facts.exchange import Exchange as Exchange
from reaper_ops.core.facts.foreign import Foreign, Held
from reaper_ops.core.facts.gpu_chain import Gpu
from reaper_ops.core.facts.model_store import Place, PlacePart
from reaper_ops.core.facts.traces import Traces


@dataclass(frozen=True)
class System:
    """os_id/version_id/like from /etc/os-release; arch as uname prints it; init is the name of process 1.

    machine: the machine as one, a digest of its machine-id; empty when it has none.
    no_user_namespaces: why root cannot make a user namespace there; empty where it can, or where that is not known.
    """

    os_id: str = ""
    version_id: str = ""
    codename: str = ""
    like: tuple[str, ...] = ()
    arch: str = ""
    kernel: str = ""
    hostname: str = ""
    init: str = ""
    container: str | None = None
    cgroup: int | None = None
    cpus: int | None = None
    uid: int | None = None
    home: str = ""
    jetpack: int | None = None
    python: str = ""
    caps: int | None = None
    own_namespace: bool | None = None
    machine: str = ""
    no_user_namespaces: str = ""

    @property
    def family(self) -> str:
        """``debian``, ``redhat`` or the id itself."""
        for name in (self.os_id, *self.like):
            if name in {"debian", "ubuntu"}:
                return "debian"
            if name in {"rhel", "fedora", "centos"}:
                return "redhat"
        return self.os_id


@dataclass(frozen=True)
class Memory:
    """Bytes, from /proc/meminfo."""

    total: int
    available: int
    swap_total: int
    swap_free: int


@dataclass(frozen=True)
class Swap:
    """One row of /proc/swaps; size and used in bytes."""

    path: str
    kind: str
    size: int
    used: int
    priority: int


@dataclass(frozen=True)
class PackageSource:
    """One archive in use: the file that names it; uri without scheme and last slash; suite and components of apt."""

    path: str
    uri: str
    suite: str
    components: tuple[str, ...]


@dataclass(frozen=True)
class Disk:
    """File system that holds `path` (or its nearest existing parent); bytes."""

    path: str
    mount: str
    fstype: str
    free: int
    total: int
    inodes_free: int | None = None
    inodes_total: int | None = None
    read_only: bool = False
    noexec: bool = False


@dataclass(frozen=True)
class Docker:
    """Versions as text; None when the part is not there. `running` is whether the engine answered."""

    engine: str | None
    compose: str | None
    running: bool
    runtimes: tuple[str, ...] = ()
    cdi_dirs: tuple[str, ...] = ()
    daemon_json: str | None = None
    root: str | None = None
    cgroup_driver: str | None = None
    storage: str | None = None


@dataclass(frozen=True)
class Unit:
    """`systemctl show` of one unit, raw properties; empty when systemd did not answer."""

    name: str
    properties: Mapping[str, str]

    @property
    def exists(self) -> bool:
        return self.properties.get("LoadState") == "loaded"

    @property
    def active(self) -> bool:
        return self.properties.get("ActiveState") == "active"

    @property
    def enabled(self) -> bool:
        return self.properties.get("UnitFileState") == "enabled"


@dataclass(frozen=True)
class Process:
    """The running Ollama server that we look after; environment is redacted and limited to what we know.

    started is in seconds since 1970, by the host's clock.
    """

    pid: int
    exe: str
    environ: Mapping[str, str]
    argv: tuple[str, ...] = ()
    uid: int | None = None
    gids: tuple[int, ...] = ()
    started: int | None = None


@dataclass(frozen=True)
class Holder:
    """A listening socket on the server's port, or of our own server. address `::` stands for every address.

    ours: of the unit, container or process that we look after; mark: its REAPER_OPS_CONFIG; store: where an Ollama
    that runs so keeps its models; container is `NAME IMAGE`. pid is None where this user may not look.
    """

    address: str
    port: int
    pid: int | None = None
    user: str = ""
    argv: tuple[str, ...] = ()
    unit: str = ""
    container: str = ""
    store: str = ""
    ours: bool = False
    mark: str = ""
    ipv6_only: bool = False


@dataclass(frozen=True)
class UnitFile:
    """A file that the unit is made of; kind: unit, drop-in or environment. Passwords are replaced by ***."""

    path: str
    kind: str
    content: str


@dataclass(frozen=True)
class HostFile:
    """A file that exists. content is None for a directory; link is the target of a symbolic link.

    Passwords in content are replaced by ***; sha256 is of the bytes as they are.
    """

    path: str
    content: str | None
    mode: str | None = None
    link: str | None = None
    kind: str = ""
    sha256: str | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    mtime: int | None = None

    def holds(self, wanted: str) -> bool:
        """Whether this is the file's exact text, secrets included."""
        if self.sha256 is None:
            return self.content == wanted
        return self.sha256 == hashlib.sha256(wanted.encode()).hexdigest()


@dataclass(frozen=True)
class Container:
    """Our Compose container, from `docker inspect`."""

    id: str
    state: str
    image: str
    config_hash: str
    oom_killed: bool
    environ: Mapping[str, str] = field(default_factory=dict)
    health: str | None = None
    restarts: int | None = None
    exit_code: int | None = None
    error: str = ""
    gpu: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fetched:
    """A model that our last pull brought: its digest, how much of it took how long, and when that was."""

    digest: str
    bytes: int = 0
    seconds: float = 0.0
    time: int = 0


@dataclass(frozen=True)
class Facts:
    """exposed: where another user can change the home of a server that root runs as a process.

    identities: by the digest of a model that the server lists, other digests under which a registry has the same.
    """

    host: str
    system: System
    memory: Memory | None = None
    swaps: tuple[Swap, ...] | None = None
    disks: Mapping[str, Disk] = field(default_factory=dict)
    readonly: tuple[str, ...] = ()
    gpu: Gpu = field(default_factory=Gpu)
    docker: Docker | None = None
    unit: Unit | None = None
    process: Process | None = None
    listening: tuple[Holder, ...] | None = None
    unit_files: tuple[UnitFile, ...] = ()
    models_place: Place | None = None
    exposed: PlacePart | None = None
    container: Container | None = None
    foreign: Foreign | None = None
    volumes: tuple[Held, ...] | None = None
    networks: tuple[Held, ...] | None = None
    images: tuple[str, ...] | None = None
    files: Mapping[str, HostFile] = field(default_factory=dict)
    packages: Mapping[str, str | None] = field(default_factory=dict)
    sources: tuple[PackageSource, ...] = ()
    tools: Mapping[str, str | None] = field(default_factory=dict)
    releases: tuple[str, ...] = ()
    models_on_disk: tuple[str, ...] | None = None
    blobs: frozenset[str] | None = None
    pulled: Mapping[str, Fetched] = field(default_factory=dict)
    identities: Mapping[str, frozenset[str]] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    user_groups: tuple[str, ...] | None = None
    manifest: Mapping[str, object] | None = None
    exchanges: tuple[Exchange, ...] = ()
    journal: str | None = None
    kernel: str | None = None
    cgroup_oom_kills: int | None = None
    unread: Mapping[str, str] = field(default_factory=dict)
    traces: Traces | None = None
