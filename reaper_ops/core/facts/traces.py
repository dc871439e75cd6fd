"""What only a diagnosis reads of a host: frozen records, ``None`` where nothing was read. No judgement here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reaper_ops.core.facts.exchange import Exchange
from reaper_ops.core.facts.model_store import Denied, ModelStore, PathStep, Pulled
from reaper_ops.core.facts.reported import ClientError, ListedFile, PastedBlock


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket. address: `127.0.0.1`, `0.0.0.0`, `::`, `*`; pid and command None without root."""

    address: str
    port: int
    pid: int | None = None
    command: str | None = None


@dataclass(frozen=True)
class Running:
    """A process of Ollama, or one of the largest. age in seconds, rss in bytes, cgroup as in /proc/PID/cgroup.

    state is the letter of ps (R, S, D, Z); command is the whole line, redacted; user is a name or a number.
    """

    pid: int
    command: str
    parent: int | None = None
    user: str = ""
    age: int | None = None
    state: str = ""
    waits_in: str = ""
    rss: int | None = None
    cgroup: str = ""


@dataclass(frozen=True)
class Cgroup:
    """Of the server's unit or container; bytes, None for no limit or not read; cpus is the quota in whole cores."""

    path: str = ""
    limit: int | None = None
    high: int | None = None
    current: int | None = None
    peak: int | None = None
    swap_limit: int | None = None
    oom_kills: int | None = None
    high_events: int | None = None
    cpus: float | None = None


@dataclass(frozen=True)
class Pressure:
    """/proc/pressure/memory: per cent of the last ten seconds in which some or all tasks waited."""

    some: float
    full: float


@dataclass(frozen=True)
class Mount:
    source: str
    target: str
    fstype: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Published:
    """A port of a container on the host; address "" stands for every address."""

    port: int
    address: str
    host_port: int


@dataclass(frozen=True)
class ContainerMount:
    """kind: volume, bind or tmpfs."""

    kind: str
    source: str
    target: str


@dataclass(frozen=True)
class DockerContainer:
    """A container that runs Ollama, or whose environment or extra hosts name one; environ is redacted.

    gpu: what was asked for (`nvidia`, CDI names, device nodes, `runtime nvidia`). health_log: last outputs.
    """

    id: str
    name: str
    image: str
    state: str
    environ: Mapping[str, str] = field(default_factory=dict)
    serves: bool = True
    oom_killed: bool = False
    exit_code: int | None = None
    restarts: int | None = None
    error: str = ""
    health: str | None = None
    health_test: tuple[str, ...] = ()
    health_log: str = ""
    memory_limit: int | None = None
    cpus: float | None = None
    ports: tuple[Published, ...] = ()
    mounts: tuple[ContainerMount, ...] = ()
    gpu: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    network: str = ""
    extra_hosts: tuple[str, ...] = ()
    user: str = ""


@dataclass(frozen=True)
class GpuLoad:
    """nvidia-smi of this moment; memory in bytes, temperature in degrees Celsius, utilization in per cent.

    throttle: active reasons as nvidia-smi names them, such as `hw_thermal_slowdown`. mig: Enabled or Disabled.
    """

    uuid: str
    free: int | None = None
    total: int | None = None
    temperature: int | None = None
    utilization: int | None = None
    power: float | None = None
    power_limit: float | None = None
    state: str = ""
    throttle: tuple[str, ...] = ()
    compute: str | None = None
    mig: str = ""


@dataclass(frozen=True)
class GpuUser:
    """A process that holds GPU memory; bytes."""

    pid: int
    name: str
    memory: int | None = None


@dataclass(frozen=True)
class Binary:
    """A program `ollama` that was found; version as it says itself (the client's), None when it did not."""

    path: str
    version: str | None = None


@dataclass(frozen=True)
class Drift:
    """A thing of our manifest that is not as we left it. problem: `changed` or `missing`."""

    path: str
    problem: str


@dataclass(frozen=True)
class Resolved:
    """addresses is empty when the name did not resolve; error then says what the resolver said."""

    name: str
    addresses: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Timing:
    """One /api/generate that was measured; seconds, counts of tokens. cold: the model was not loaded before.

    wall is what the client waited; load, prompt and eval are the server's own; the rest of total is queueing.
    parallel: how many such requests were sent at once. on_gpu: the share of the model in GPU memory, 0 to 1.
    """

    model: str
    cold: bool
    wall: float
    total: float = 0.0
    load: float = 0.0
    prompt: float = 0.0
    prompt_tokens: int = 0
    eval: float = 0.0
    eval_tokens: int = 0
    error: str = ""
    parallel: int = 1
    on_gpu: float | None = None


@dataclass(frozen=True)
class Traces:
    """Everything beyond Facts. A part that was not read is None, or empty where the record says so.

    unit_again: the unit's properties read a second or more after the first read. limits: soft limits of the server
    (/proc/PID/limits), `unlimited` as text. swap_rate: pages per second in and out between two reads. clock_skew:
    the host's clock minus the controller's, seconds. cpu_flags: of the first core. firewall: tool to its rules.
    shell_proxies: *_proxy variables of /etc/environment and profiles. libraries: names in lib/ollama. visited: names
    of requests in `asked`: `ipv4`, `ipv6`, `origin` (with a foreign Origin), `host` (with a foreign Host), `address`
    (by the host's own address), `registry` (manifests of promised models that are not there, from the host, through
    the server's own proxy). denied: as the server's user, on the way to its store and in it. docker_kind: `engine`,
    `snap`, `desktop`, `rootless`, `podman` or `kubernetes`. gpu_in_container: what `nvidia-smi -L` said inside our
    container. dkms: its lines about GPU drivers. secure_boot: whether the firmware refuses unsigned modules.
    gpu_modules_file: whether there is a module `nvidia` for the running kernel. now: the host's clock when it was
    read, seconds since 1970. connections: established TCP connections to the server. client_errors, listed (rows
    of `ls -l` and `stat`), shown: of pasted text.
    """

    unit_again: Mapping[str, str] | None = None
    unit_text: str | None = None
    listeners: tuple[Listener, ...] | None = None
    processes: tuple[Running, ...] | None = None
    limits: Mapping[str, str] | None = None
    cgroup: Cgroup | None = None
    pressure: Pressure | None = None
    swap_rate: float | None = None
    load: float | None = None
    overcommit: int | None = None
    cpu_flags: frozenset[str] | None = None
    cpu_model: str = ""
    mounts: tuple[Mount, ...] | None = None
    fstab: str | None = None
    stores: tuple[ModelStore, ...] | None = None
    path_steps: tuple[PathStep, ...] | None = None
    denied: tuple[Denied, ...] | None = None
    pulls: tuple[Pulled, ...] | None = None
    user_home: str | None = None
    user_home_exists: bool | None = None
    user_uid: int | None = None
    containers: tuple[DockerContainer, ...] | None = None
    docker_kind: str = ""
    gpu_load: tuple[GpuLoad, ...] | None = None
    gpu_users: tuple[GpuUser, ...] | None = None
    gpu_in_container: str | None = None
    dkms: str | None = None
    secure_boot: bool | None = None
    gpu_modules_file: bool | None = None
    toolkit_config: str | None = None
    libraries: tuple[str, ...] | None = None
    binaries: tuple[Binary, ...] | None = None
    firewall: Mapping[str, str] | None = None
    addresses: tuple[str, ...] | None = None
    resolved: tuple[Resolved, ...] | None = None
    shell_proxies: Mapping[str, str] | None = None
    drift: tuple[Drift, ...] | None = None
    oomd: str | None = None
    audit: str | None = None
    clock_skew: float | None = None
    clock_synchronized: bool | None = None
    asked: Mapping[str, tuple[Exchange, ...]] = field(default_factory=dict)
    timings: tuple[Timing, ...] | None = None
    now: float | None = None
    connections: int | None = None
    client_errors: tuple[ClientError, ...] = ()
    listed: tuple[ListedFile, ...] = ()
    shown: tuple[PastedBlock, ...] = ()
