"""What differs between a mirror's host and its desired state, and what will be owned there."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reaper_ops import assets
from reaper_ops.core.facts import place
from reaper_ops.core.facts.answers import Answers, Ask, as_json
from reaper_ops.core.facts.model_store import PlacePart
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.mirror import desired_state as desired
from reaper_ops.core.mirror import reach
from reaper_ops.core.mirror.desired_state import MirrorState
from reaper_ops.core.mirror.reach import Peer
from reaper_ops.core.provision import confirmed
from reaper_ops.core.provision.confirmed import Confirmed, ConfirmedStep
from reaper_ops.core.provision.plan import rights
from reaper_ops.core.provision.plan.model import Action

_NAMESERVER = re.compile(r"^nameserver\s+([0-9a-fA-F.:]+)\s*$", re.MULTILINE)
MOST_RESOLVERS = 3


@dataclass(frozen=True)
class Found:
    """What the host is: texts of our files, packages, units, and the configuration that answers."""

    home: str
    resolvers: tuple[str, ...]
    files: Mapping[str, str]
    packages: frozenset[str]
    enabled: frozenset[str]
    active: frozenset[str]
    answers_with: str
    has_user: bool
    debian: bool
    has_manifest: bool
    exposed: PlacePart | None = None


def asks(settings: Settings, others: Iterable[Peer] = ()) -> list[Ask]:
    """Without the home of the user, a path below it is asked for as `~`. others: hosts of the inventory."""
    places = desired.paths(settings, "~")
    rows = desired.FILES[settings.mirror_runtime]
    found: list[Ask] = [
        {"id": "identity", "kind": "identity"},
        {"id": "resolv", "kind": "file", "path": "/etc/resolv.conf"},
        {"id": "resolved", "kind": "file", "path": "/run/systemd/resolve/resolv.conf"},
        {"id": "debian", "kind": "file", "path": "/etc/debian_version"},
        {"id": "user", "kind": "user", "name": desired.USER},
        {"id": "health", "kind": "http", "base_url": local_url(settings), "requests": [{"path": "/reaper_ops/health"}]},
        {"id": "manifest", "kind": "file", "path": places["manifest"]},
        *reach.asks(settings, others),
    ]
    if settings.mirror_runtime == "process":
        found.append({"id": "exposed", "kind": "exposed", "path": places["data"]})
    found += [{"id": path, "kind": "file", "path": places[path]} for _, _, path, _ in rows]
    if settings.mirror_runtime == "systemd":
        query = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${binary:Package}\\n", *desired.PACKAGES, "nginx*"]
        found.append({"id": "packages", "kind": "command", "argv": query})
        for unit in desired.UNITS:
            words = ["systemctl", "show", unit, "-p", "ActiveState,UnitFileState"]
            found.append({"id": unit, "kind": "command", "argv": words})
    return found


def local_url(settings: Settings) -> str:
    return str(desired.of(settings).context["local_url"])


def read(settings: Settings, raw: Mapping[str, Any]) -> Found:
    answers = Answers(raw)
    rows = desired.FILES[settings.mirror_runtime]
    identity, user = answers.get("identity"), answers.get("user")
    texts = {path: answers.content(path) for _, _, path, _ in rows}
    states = {unit: answers.out(unit) or "" for unit in desired.UNITS}
    packages = answers.command("packages")
    return Found(
        home=str(identity.get("home") or "~"),
        resolvers=_resolvers(answers),
        files={path: text for path, text in texts.items() if text is not None},
        packages=_installed(packages.out if packages else ""),
        enabled=frozenset(unit for unit, text in states.items() if "UnitFileState=enabled" in text),
        active=frozenset(unit for unit, text in states.items() if "ActiveState=active" in text),
        answers_with=_hash(answers),
        has_user=bool(user.get("exists")),
        debian=answers.content("debian") is not None,
        has_manifest=answers.content("manifest") is not None,
        exposed=place.parse_exposed(answers),
    )


def _installed(text: str) -> frozenset[str]:
    rows = [line.split() for line in text.splitlines()]
    return frozenset(row[1].partition(":")[0] for row in rows if len(row) == 2 and row[0] == "ii")


def _resolvers(answers: Answers) -> tuple[str, ...]:
    """systemd's stub is for programs that ask it; nginx asks what is behind it."""
    for id_ in ("resolved", "resolv"):
        found = _NAMESERVER.findall(answers.content(id_) or "")
        if found:
            return tuple(f"[{item}]" if ":" in item else item for item in found[:MOST_RESOLVERS])
    return ()


def _hash(answers: Answers) -> str:
    rows = answers.get("health").get("exchanges") or [{}]
    document = as_json(rows[-1].get("body") if isinstance(rows[-1], Mapping) else None)
    return str(document.get("config", "")) if isinstance(document, Mapping) else ""


def blockers(settings: Settings, found: Found) -> tuple[str, ...]:
    if settings.mirror_runtime == "systemd" and not found.debian:
        return ("mirror_runtime: systemd needs Debian's packages nginx and docker-registry; use docker on this host",)
    return tuple(rights.exposed(found.exposed, desired.paths(settings, found.home)["data"], "mirror_dir"))


def actions(settings: Settings, found: Found, mirror: MirrorState) -> tuple[Action, ...]:
    todo: list[Action] = []
    runtime = settings.mirror_runtime
    if runtime == "systemd":
        todo += [
            Action("mirror/packages", name, "is not installed")
            for name in desired.PACKAGES
            if name not in found.packages and not (name.startswith("nginx") and _has_nginx(found))
        ]
    if runtime == "systemd" and not found.has_user:
        todo.append(Action("mirror/user", desired.USER, "does not exist"))
    if not found.has_manifest:
        todo.append(Action("mirror/directories", mirror.paths["data"], "is not set up"))
    rows = zip(mirror.files, desired.FILES[runtime], strict=True)
    todo += [action for file, (_, _, key, _) in rows for action in _file(file, found.files.get(key))]
    if runtime == "systemd":
        todo += [Action("mirror/enable", unit, "is not enabled") for unit in desired.UNITS if unit not in found.enabled]
    running = found.answers_with == mirror.config_hash and (runtime != "systemd" or set(desired.UNITS) <= found.active)
    if not running:
        why = "runs from an older configuration" if found.answers_with else "does not answer"
        todo.append(Action("mirror/start", mirror.context["local_url"], f"{why}; {reach.description(settings)}"))
    return tuple(todo)


def _has_nginx(found: Found) -> bool:
    return any(name in found.packages for name in ("nginx-light", "nginx", "nginx-full", "nginx-extras"))


def _file(file: desired.MirrorFile, before: str | None) -> list[Action]:
    if before == file.text:
        return []
    old, new = (before or "").splitlines(keepends=True), file.text.splitlines(keepends=True)
    lines = difflib.unified_diff(old, new, f"{file.path} (on the host)", f"{file.path} (desired)")
    return [
        Action(file.id, file.path, "is missing" if before is None else "differs from the desired state", "".join(lines))
    ]


def owned(settings: Settings, mirror: MirrorState, todo: tuple[Action, ...]) -> dict[str, Any]:
    """Entries of the manifest: only what we bring. Cache and logs are emptied before the directories go."""
    runtime, paths = settings.mirror_runtime, mirror.paths
    ids = {action.id for action in todo}
    entries: dict[str, Any] = {
        "files": {file.path: hashlib.sha256(file.text.encode()).hexdigest() for file in mirror.files},
        "directories": [paths["data"], *([] if runtime == "process" else [paths["conf"]])],
    }
    if runtime == "systemd":
        entries["units"] = list(desired.UNITS)
        entries["packages"] = [action.target for action in todo if action.id == "mirror/packages"]
        users = [desired.USER] if "mirror/user" in ids else []
        users += [name for name in desired.LEFT_USERS if name in entries["packages"]]
        entries |= {"users": users, "groups": users}
    elif runtime == "docker":
        entries["projects"] = {desired.PROJECT: paths["compose"]}
        entries["images"] = list(mirror.context["images"].values())
    else:
        entries["processes"] = [paths["spec"]]
    return entries


GIVEN = ("paths", "user", "uid", "project", "images", "config_hash", "local_url")
"""What the tasks are given beside the files."""


def confirm(settings: Settings, raw: Mapping[str, Any]) -> Confirmed:
    """The actions as they are confirmed: targets with their reasons, and a digest of all that their tasks are given."""
    found = read(settings, raw)
    mirror = desired.of(settings, found.home, found.resolvers)
    texts = {file.id: [file.text, file.path, file.mode] for file in mirror.files}
    before = {id_: found.files.get(key) for id_, key in _keys(mirror, settings).items()}
    given = {name: mirror.context.get(name) for name in GIVEN}
    targets: dict[str, dict[str, str]] = {}
    for action in actions(settings, found, mirror):
        targets.setdefault(action.id, {})[action.target] = action.reason
    steps = {
        id_: ConfirmedStep(rows, confirmed.digest([texts[id_], before[id_]] if id_ in texts else given))
        for id_, rows in targets.items()
    }
    return Confirmed(str(Answers(raw).get("identity").get("machine") or ""), steps)


def _keys(mirror: MirrorState, settings: Settings) -> dict[str, str]:
    rows = zip(mirror.files, desired.FILES[settings.mirror_runtime], strict=True)
    return {file.id: key for file, (_, _, key, _) in rows}


def for_role(settings: Settings, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The variable `reaper` of the role: context, files, what to do and what will be owned."""
    found = read(settings, raw)
    mirror = desired.of(settings, found.home, found.resolvers)
    todo = actions(settings, found, mirror)
    targets: dict[str, list[str]] = {}
    for action in todo:
        targets.setdefault(action.id, []).append(action.target)
    return {
        **mirror.context,
        "todo": list(targets),
        "targets": targets,
        "files": [vars(file) for file in mirror.files if file.id in targets],
        "owned": owned(settings, mirror, todo),
        "actions": [vars(action) for action in todo],
        "blockers": [*blockers(settings, found), *reach.blockers(settings, raw)],
        "units": list(desired.UNITS),
        "project": desired.PROJECT,
        "templates": str(assets.templates()),
    }
