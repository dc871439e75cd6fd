"""`models lock` and `models update`: ask the registries, compare, write the lock."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from reaper_ops.adapters import ansible, fan_out, lockfile
from reaper_ops.adapters.ansible import Source
from reaper_ops.adapters.registry import Registry
from reaper_ops.core.models import desired as wanted
from reaper_ops.core.models import lock_update as locking
from reaper_ops.core.models import names
from reaper_ops.core.models.lock import MADE, Lock, Locked, from_manifest
from reaper_ops.core.models.lock_update import Locking
from reaper_ops.errors import ReaperError

AT_ONCE = 8


def lock(source: Source, path: Path, *, write: bool = True) -> Locking:
    """Locks what is not locked yet, and says which tags have moved; their entries stay."""
    return _run(source, path, None, write)


def update(source: Source, path: Path, only: Iterable[str] = (), *, write: bool = True) -> Locking:
    """Lets the lock follow its tags: all, or those of the names in `only`."""
    return _run(source, path, tuple(only), write)


def _run(source: Source, path: Path, move: tuple[str, ...] | None, write: bool) -> Locking:
    hosts = wanted.managed(ansible.inventory(source))
    asked = tuple(wanted.every(hosts))
    before = lockfile.read(path) or Lock()
    moving = _moving(asked, move)
    made = {name: one for name in asked if (one := before.get(name)) and one.source.startswith(MADE)}
    found, problems = resolve([name for name in asked if name not in made], wanted.insecure(hosts))
    result = locking.merge(before, asked, {**found, **made}, problems, moving)
    if write and (result.lock != before or not (path.exists() or result.failed)):
        lockfile.write(path, result.lock)
    return result


def _moving(asked: tuple[str, ...], move: tuple[str, ...] | None) -> frozenset[str]:
    keys = frozenset(names.key(name) for name in asked)
    if move is None:
        return frozenset()
    for name in move:
        if names.key(name) not in keys:
            raise ReaperError(name, "no host wants this model", "`reaper-ops models sets` shows what is wanted")
    return frozenset(names.key(name) for name in move) or keys


def resolve(asked: Iterable[str], insecure: frozenset[str]) -> tuple[dict[str, Locked], dict[str, str]]:
    """Entries of the names whose registry answers, and the problems of the others."""
    by_host: dict[str, list[str]] = {}
    for name in asked:
        by_host.setdefault(names.split(name).host, []).append(name)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found: dict[str, Locked] = {}
    problems: dict[str, str] = {}
    for host, its in by_host.items():
        scheme = "http" if host.lower() in insecure else "https"
        with Registry(f"{scheme}://{host}") as registry:
            answers = fan_out.each(its, partial(_resolve, registry, now), at_once=AT_ONCE)
            for name, answer in zip(its, answers, strict=True):
                if isinstance(answer, Locked):
                    found[name] = answer
                else:
                    problems[name] = answer
    return found, problems


def _resolve(registry: Registry, now: str, name: str) -> Locked | str:
    try:
        manifest = registry.manifest(names.split(name))
        return from_manifest(name, manifest.data, manifest.digest, manifest.url, now)
    except ReaperError as error:
        return str(error)
