"""What `doctor --fix` may do: proposals out of a diagnosis, what speaks against each now, and in which order."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reaper_ops.core.doctor.diagnosis import Cause, Diagnosis, FleetDiagnosis
from reaper_ops.core.doctor.finding import Automate
from reaper_ops.core.doctor.remedy import ACTIONS
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.health.probe import observe
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import layout
from reaper_ops.core.provision.plan import Action as PlanAction

FIRST = ("own", "mount", "remove-partial", "remove-blob", "remove-model", "stop-process", "reload")
LAST = ("start", "restart", "unload", "pull")
UNDO = {"mount": "unmount", "remove-partial": "restore", "remove-blob": "restore", "remove-model": "restore"}
NAMED = {
    "unload": ("model",),
    "pull": ("model",),
    "remove-model": ("model", "path"),
    "remove-blob": ("blob",),
    "remove-partial": ("blob",),
    "stop-process": ("pid",),
    "own": ("path",),
    "mount": ("path",),
}
FRESH = 900
"""Seconds since a partial blob was last written for which its download counts as under way."""


@dataclass(frozen=True)
class Proposal:
    """One action on one host, for one cause. against: what it would disturb now; then it is asked, never just done.

    plan: what `apply` would do on the host, and nothing else.
    """

    host: str
    id: str
    action: str
    text: str
    command: str
    automate: Automate
    values: Mapping[str, str]
    against: tuple[str, ...] = ()
    plan: tuple[PlanAction, ...] = ()

    @property
    def is_safe(self) -> bool:
        return self.automate is Automate.SAFE and not self.against

    def task(self, action: str = "") -> dict[str, object]:
        """As the playbook takes it."""
        return {"action": action or self.action, "of": self.action, "id": self.id, "values": dict(self.values)}


@dataclass(frozen=True)
class FixOutcome:
    """done: it ran. helped: the cause is gone, as a second look says. undone: it was taken back."""

    proposal: Proposal
    done: bool
    helped: bool = False
    undone: bool = False
    problem: str = ""


def proposals(
    checkup: FleetDiagnosis, facts: Mapping[str, Facts | None], ours: Mapping[str, tuple[str, ...]] | None = None
) -> tuple[Proposal, ...]:
    """What can be done for the causes of all hosts; consequences heal with their cause.

    ours: by host the directories below which a remedy may change owners; see `directories`.
    """
    found: dict[tuple[str, str, tuple[tuple[str, str], ...]], Proposal] = {}
    for host in checkup.hosts:
        for proposal in _of_host(host, facts.get(host.host), (ours or {}).get(host.host, ())):
            found.setdefault((proposal.host, proposal.action, tuple(sorted(proposal.values.items()))), proposal)
    return tuple(found.values())


def directories(settings: Settings, facts: Facts | None) -> tuple[str, ...]:
    """The server's home, its store, and the home of its user: what a remedy may give to that user."""
    if facts is None:
        return ()
    found = layout.of(settings, facts)
    known = (found.home, found.models_dir, (facts.traces.user_home if facts.traces else "") or "")
    return tuple(dict.fromkeys(path for path in known if path.startswith("/") and path != "/"))


def _of_host(host: Diagnosis, facts: Facts | None, ours: tuple[str, ...]) -> list[Proposal]:
    return [
        Proposal(
            host=host.host,
            id=cause.finding.id,
            action=step.action,
            text=step.text,
            command=step.command,
            automate=step.automate,
            values=_values(cause, step.action, facts),
            against=(*hurts(step.action, facts), *astray(step.action, _values(cause, step.action, facts), ours)),
        )
        for cause in host.causes
        for step in cause.steps
        if step.action and step.automate is not Automate.NEVER
    ]


def astray(action: str, values: Mapping[str, str], ours: tuple[str, ...]) -> tuple[str, ...]:
    """Why a path is not to be acted on: a log line or a name on the disk may say whatever the service wants."""
    path = values.get("path", "")
    if path and (not path.startswith("/") or posixpath.normpath(path) != path or not path.isprintable()):
        return (f"{path!r} is no plain path: it may lead elsewhere, and the host refuses it",)
    inside = any(path == top or path.startswith(top.rstrip("/") + "/") for top in ours)
    if action == "own" and not inside:
        return (f"{path} lies outside {' and '.join(ours) or 'our own directories'}: the host refuses it",)
    return ()


def _values(cause: Cause, action: str, facts: Facts | None) -> dict[str, str]:
    """Only what the action names, so that two causes that want the same thing want it once."""
    kept = NAMED.get(action, ())
    values = {name: cause.finding.values[name] for name in kept if name in cause.finding.values}
    began = _began(values["pid"], facts) if "pid" in values else None
    return values if began is None else {**values, "began": str(began)}


def _began(pid: str, facts: Facts | None) -> int | None:
    """When the process was started, by the host's clock: its number may be another's by the time it is ended."""
    if facts is None or facts.traces is None or facts.traces.now is None:
        return None
    ages = (row.age for row in facts.traces.processes or () if str(row.pid) == pid)
    age = next((age for age in ages if age is not None), None)
    return None if age is None else round(facts.traces.now) - age


def in_order(chosen: Sequence[Proposal]) -> tuple[tuple[Proposal, ...], tuple[Proposal, ...], tuple[Proposal, ...]]:
    """Before the host converges, that itself, and after it."""

    def of(actions: Sequence[str]) -> tuple[Proposal, ...]:
        return tuple(sorted((p for p in chosen if p.action in actions), key=lambda p: actions.index(p.action)))

    return of(FIRST), of(("apply",)), of(LAST)


def hurts(action: str, facts: Facts | None) -> tuple[str, ...]:
    """What the action would disturb on this host as it is now."""
    if facts is None:
        return ()
    return tuple(text for name in ACTIONS[action].disturbs if (text := DISTURBED[name](facts)))


def _answers(facts: Facts) -> str:
    """Models in memory; a server that is down has none, whatever /api/ps said before."""
    loaded = observe(facts.host, "", facts.exchanges).loaded
    if not loaded:
        return ""
    names = ", ".join(model.name for model in loaded)
    return (
        f"{names} {'is' if len(loaded) == 1 else 'are'} loaded: running answers end, and the next ones wait for a load"
    )


def _pulls(facts: Facts) -> str:
    blobs = [blob for store in (facts.traces.stores or () if facts.traces else ()) for blob in store.blobs or ()]
    fresh = [b for b in blobs if "-partial" in b.name and b.age is not None and b.age < FRESH]
    if not fresh:
        return ""
    youngest = min(fresh, key=lambda blob: blob.age or 0)
    return f"a download was written to {youngest.age} s ago ({youngest.name[:19]}...): a restart may throw it away"


def _gpu_containers(facts: Facts) -> str:
    containers = (facts.traces.containers if facts.traces else None) or ()
    running = [one.name for one in containers if one.gpu and one.state == "running"]
    return f"{', '.join(running)} can lose the GPU when systemd reads its units again" if running else ""


DISTURBED: Mapping[str, Callable[[Facts], str]] = {
    "answers": _answers,
    "pulls": _pulls,
    "gpu-containers": _gpu_containers,
}
