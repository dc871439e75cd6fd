"""The files of a host: what they are, and their text. Ansible renders the same templates with the same context."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reaper_ops import assets
from reaper_ops.core.facts.model import Facts, System
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import gpu_form, in_effect, layout, quoting, release, server_env, takeover
from reaper_ops.core.provision.gpu_form import GpuForm
from reaper_ops.core.provision.layout import Layout

Context = dict[str, Any]
UNREAD_ARCHITECTURE = "amd64"
HASH_VARIABLE = "REAPER_OPS_CONFIG"
START_INTERVAL_ENGINE = (25, 0)
HIDDEN_PLACES = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - ProtectHome and PrivateTmp


@dataclass(frozen=True)
class Target:
    """One file on the host. `template` is its path under templates/; owner and group are empty for the login user."""

    id: str
    role: str
    template: str
    path: str
    mode: str = "0644"
    owner: str = "root"
    group: str = "root"


def neutral(host: str) -> Facts:
    """Facts of a host that was not read: nothing is known."""
    return Facts(host=host, system=System())


def targets(settings: Settings, facts: Facts) -> tuple[Target, ...]:
    """The files that reaper_ops owns on this host, in the order in which they are written."""
    place = layout.of(settings, facts)
    return tuple(_targets(settings, gpu_form.choose(settings, facts), place))


def _targets(settings: Settings, gpu: GpuForm, place: Layout) -> list[Target]:
    paths = layout.paths(settings, place)
    found: list[Target] = []
    if settings.swap_kind != "none":
        if settings.swap_kind == "zram":
            found.append(Target("swap/zram", "swap", "swap/zram-generator.conf.j2", paths["zram"]))
        found.append(Target("swap/sysctl", "swap", "swap/sysctl.conf.j2", paths["sysctl"]))
    if gpu.modules and settings.ollama_runtime != "process":
        found.append(Target("gpu/modules", "gpu", "gpu/modules.conf.j2", paths["modules"]))
    if settings.ollama_runtime == "process":
        found.append(Target("ollama/environment", "ollama", "ollama/env.json.j2", paths["env_json"], "0600", "", ""))
    elif settings.ollama_runtime == "docker":
        found.append(Target("ollama/compose", "ollama", "ollama/compose.yaml.j2", paths["compose"], "0640"))
    else:
        if not place.adopted:
            found.append(Target("ollama/unit", "ollama", "ollama/ollama.service.j2", paths["unit"]))
        found.append(Target("ollama/settings", "ollama", "ollama/zz-reaper_ops.conf.j2", paths["dropin"], "0640"))
    return found


def text(target: Target, context: Mapping[str, Any]) -> str:
    return assets.template(target.template).render(reaper=context)


def files(settings: Settings, facts: Facts) -> dict[str, str]:
    """Path to text of every file of the host."""
    ready = context(settings, facts)
    return {target.path: text(target, ready) for target in targets(settings, facts)}


def context(settings: Settings, facts: Facts, todo: Sequence[str] = ()) -> Context:
    """The plain dict `reaper` that templates and roles use. All of it can be written as JSON. Keys:

    runtime, version, arch (amd64, arm64), bind, port, listen (address:port of the host), local_url (how the host
    itself reaches the server), base_url (how clients do), exposure, home, models_dir, user, group, adopt,
    memory_max (bytes or 0), start_timeout;
    environment: every variable of the server, in order; words: the same, quoted for the runtime's file;
    config_hash: SHA-256 of what the server runs from, also in the environment as REAPER_OPS_CONFIG;
    gpu: vendor, form, reason, devices, gids, nodes, allow (systemd devices), modules, cdi_feature, jetpack;
    service: what the unit needs beyond its fixed part (writable, binds, mounts, pins: see `in_effect.Pins`), and
    no_users: why it goes without PrivateUsers;
    image, image_pin (tag, digest), compose: project, service, container, own_volume, volumes, named_volumes, networks,
    image_there, replaced (name of a container of others that ours takes the place of) and replaces (what is known of
    it), models_bind, publish, start_interval;
    swap: kind, size, size_mib, path, swappiness; argv and cwd of the server;
    paths: see `layout.paths`; targets: id to template, path, mode, owner, group; todo: ids of the plan's actions.
    """
    place = layout.of(settings, facts)
    gpu = gpu_form.choose(settings, facts)
    owned = _targets(settings, gpu, place)
    taken = takeover.of(settings, facts)
    environment = {**(taken.environment if taken else {}), **server_env.build(settings, place, gpu)}
    found: Context = {
        **_server(settings, facts, place),
        "gpu": {**_row(gpu), "jetpack": facts.system.jetpack or 0},
        "service": {**_service(place), "no_users": facts.system.no_user_namespaces, "pins": {}},
        **_container(settings, facts, gpu),
        "swap": _swap(settings),
        "paths": layout.paths(settings, place),
        "targets": {target.id: _row(target, "id") for target in owned},
        "todo": list(todo),
    }
    found |= _environment(environment, found, "")
    found["service"]["pins"] = _row(in_effect.pins(contrary(found, facts), adopted=place.adopted))
    config_hash = _config_hash(found, [target for target in owned if target.role == "ollama"])
    return found | _environment(environment, found, config_hash)


def contrary(context: Mapping[str, Any], facts: Facts) -> tuple[in_effect.Line, ...]:
    """Lines of others in the unit's files that say something else than is desired."""
    start = "" if context["adopt"] else " ".join(context["argv"])
    user = "" if context["adopt"] else context["user"]
    return in_effect.contrary(in_effect.foreign(facts), context["environment"], start, user)


def _server(settings: Settings, facts: Facts, place: Layout) -> Context:
    port = settings.ollama_port
    paths = layout.paths(settings, place)
    docker = settings.ollama_runtime == "docker"
    return {
        "marker": layout.MARKER,
        "runtime": settings.ollama_runtime,
        "version": settings.ollama_version,
        "arch": release.ARCH.get(facts.system.arch, facts.system.arch) or UNREAD_ARCHITECTURE,
        "bind": settings.ollama_bind,
        "port": port,
        "listen": server_env.listen(settings.ollama_bind, port),
        "local_url": f"http://{server_env.listen(server_env.reachable(settings.ollama_bind), port)}",
        "base_url": settings.ollama_base_url or _base_url(settings, facts),
        "exposure": settings.exposure,
        "home": place.home,
        "models_dir": place.models_dir,
        "user": place.user,
        "group": place.group,
        "adopt": place.adopted,
        "memory_max": settings.ollama_memory_max or 0,
        "start_timeout": settings.ollama_start_timeout,
        "argv": ["/bin/ollama", "serve"] if docker else [paths["bin"], "serve"],
        "cwd": place.home,
    }


def _base_url(settings: Settings, facts: Facts) -> str:
    bind = settings.ollama_bind
    address = facts.host if ipaddress.ip_address(bind).is_unspecified else bind
    return f"http://{server_env.listen(address, settings.ollama_port)}"


def _service(place: Layout) -> Context:
    """The service may write to its state directory alone; further places are opened, and hidden ones bound."""
    outside = [path for path in dict.fromkeys((place.home, place.models_dir)) if not _inside(path, layout.STATE)]
    extra = [path for path in outside if not any(_inside(path, other) for other in outside if other != path)]
    hidden = [path for path in extra if any(_inside(path, parent) for parent in HIDDEN_PLACES)]
    return {
        "mounts": quoting.systemd(place.models_dir),
        "writable": [quoting.systemd(path) for path in extra if path not in hidden],
        "binds": [quoting.systemd(path) for path in hidden],
    }


def _inside(path: str, parent: str) -> bool:
    return path == parent or path.startswith(parent + "/")


def _container(settings: Settings, facts: Facts, gpu: GpuForm) -> Context:
    suffix = "-rocm" if gpu.vendor == "amd" else ""
    image = settings.ollama_image or f"docker.io/ollama/ollama:{settings.ollama_version}{suffix}"
    engine = gpu_form.version(facts.docker.engine) if facts.docker else None
    bind = settings.ollama_models_dir
    return {
        "image": image,
        "image_pin": "digest" if "@sha256:" in image else "tag",
        "compose": {
            "project": "reaper_ops",
            "service": "ollama",
            "container": "ollama",
            **_taken_over(settings, facts, image),
            "models_bind": quoting.compose(bind) if bind else "",
            "publish": f"{server_env.listen(settings.ollama_bind, settings.ollama_port)}:11434",
            "start_interval": engine is not None and engine >= START_INTERVAL_ENGINE,
            "image": quoting.compose(image),
        },
    }


def _taken_over(settings: Settings, facts: Facts, image: str) -> Context:
    """Volumes and networks as the file names them; `own_volume` is ours, empty where the store is another's."""
    mounts = takeover.volumes(settings, facts)
    taken = takeover.of(settings, facts)
    own = next((m["source"] for m in mounts if m["kind"] == "volume" and not m["external"]), "")
    quoted = [
        {**m, **{key: quoting.compose(str(m[key])) for key in ("source", "target") if m["kind"] == "bind"}}
        for m in mounts
    ]
    return {
        "own_volume": own,
        "volumes": quoted,
        "named_volumes": [mount for mount in quoted if mount["kind"] == "volume"],
        "networks": list(taken.networks) if taken else [],
        "image_there": takeover.image_there(image, facts),
        "replaced": taken.name if taken and taken.pending else "",
        "replaces": taken.recorded() if taken and taken.pending else {},
    }


def _swap(settings: Settings) -> Context:
    return {
        "kind": settings.swap_kind,
        "size": settings.swap_size,
        "size_mib": settings.swap_size >> 20,
        "path": settings.swap_path,
        "swappiness": settings.swap_swappiness,
    }


def _environment(variables: Mapping[str, str], found: Context, config_hash: str) -> Context:
    complete = {**variables, HASH_VARIABLE: config_hash}
    return {"environment": complete, "config_hash": config_hash, "words": _words(complete, found)}


def _words(environment: Mapping[str, str], found: Context) -> Context:
    if found["runtime"] == "systemd":
        return {"systemd": [quoting.assignment(name, value) for name, value in environment.items()]}
    if found["runtime"] == "docker":
        return {"compose": [[name, quoting.compose(value)] for name, value in environment.items()]}
    quote = quoting.double_quoted
    return {
        "json": [[quote(name), quote(value)] for name, value in environment.items()],
        "argv": [quote(word) for word in found["argv"]],
        "cwd": quote(found["cwd"]),
        "log": quote(found["paths"]["log"]),
        "pid": quote(found["paths"]["pid"]),
    }


def _config_hash(found: Context, server_files: Sequence[Target]) -> str:
    """Over version, image and the server's files without their comments: a new reason is no cause for a restart."""
    lines: list[str] = [found["version"], found["image"] if found["runtime"] == "docker" else ""]
    for target in server_files:
        lines += [line for line in text(target, found).splitlines() if not line.lstrip().startswith("#")]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _row(value: Any, *without: str) -> dict[str, Any]:
    """A dataclass as JSON would hold it: tuples become lists."""
    return {
        name: list(item) if isinstance(item, tuple) else item
        for name, item in vars(value).items()
        if name not in without
    }
