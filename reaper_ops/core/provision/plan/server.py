"""Plans for the Ollama server itself, by runtime, and for its models."""

from __future__ import annotations

from collections.abc import Sequence

from reaper_ops.core.health import probe
from reaper_ops.core.provision import release, takeover
from reaper_ops.core.provision.plan import effect, store
from reaper_ops.core.provision.plan.model import Action, PlanInput
from reaper_ops.core.values import same_model

CONFIG = "REAPER_OPS_CONFIG"


def native(case: PlanInput) -> list[Action]:
    actions: list[Action] = []
    adopted = case.desired.context["adopt"]
    if case.facts.user_groups is None and not adopted:
        actions.append(Action("ollama/user", case.desired.context["user"], "the server's user does not exist"))
    actions += _release(case)
    if not adopted:
        actions += _bin_link(case)
    actions += store.models_dir(case)
    actions += effect.with_overrides(case, case.file_actions("ollama/"))
    actions += effect.former(case)
    unit = case.facts.unit
    if unit is None or not unit.enabled:
        actions.append(Action("ollama/enable", "ollama.service", "is not enabled at boot"))
    return actions + _run(case, "ollama.service", bool(unit and unit.active), actions)


def process(case: PlanInput) -> list[Action]:
    actions = _release(case) + case.file_actions("ollama/")
    return actions + _run(case, "ollama serve", case.facts.process is not None, actions)


def container(case: PlanInput) -> list[Action]:
    actions = store.models_dir(case) + case.file_actions("ollama/")
    if (adopted := _adopted(case)) is not None:
        return [*actions, adopted]
    there = case.facts.container
    want = case.desired.context["config_hash"]
    if there is None or there.state != "running":
        actions.append(Action("ollama/container", "ollama", f"the container is {there.state if there else 'missing'}"))
    elif there.environ.get(CONFIG) != want:
        actions.append(Action("ollama/container", "ollama", "runs from an older configuration"))
    elif edited := _runs_from(case, actions):
        actions.append(Action("ollama/container", "ollama", f"was started from {edited} as it is now"))
    return actions


def _adopted(case: PlanInput) -> Action | None:
    """The container of somebody else, where it is still there under our name."""
    taken = takeover.of(case.settings, case.facts)
    if taken is None or not taken.pending:
        return None
    context = case.desired.context
    overridden = taken.overridden(
        context["compose"]["publish"],
        context["image"],
        context["environment"],
        context["gpu"]["form"],
        context["memory_max"],
    )
    return Action("ollama/adopt", f"container {taken.foreign.name}", takeover.reason(taken, overridden))


RUN_FROM = frozenset({"ollama/unit", "ollama/settings", "ollama/compose", "ollama/environment"})
RUNTIMES = {"systemd": native, "process": process, "docker": container}


def server(case: PlanInput) -> list[Action]:
    return RUNTIMES[case.settings.ollama_runtime](case)


def _release(case: PlanInput) -> list[Action]:
    context, version = case.desired.context, case.settings.ollama_version
    link = case.facts.files.get(context["paths"]["link"])
    linked = bool(link and link.link and link.link.rstrip("/").rsplit("/", 1)[-1] == version)
    if version in case.facts.releases and linked:
        return []
    if version in case.facts.releases:
        return [Action("ollama/release", version, "is unpacked, but not the current one")]
    arch = context["arch"]
    amd = case.gpu_vendor() == "amd"
    wanted = release.archives(case.settings, arch, amd=amd, jetpack=case.facts.system.jetpack)
    return [
        Action("ollama/release", archive.url, f"version {version} is not on the host", bytes=_size(case, archive.name))
        for archive in wanted
    ]


def _size(case: PlanInput, name: str) -> int | None:
    return case.desired.sizes.get(name)


def _bin_link(case: PlanInput) -> list[Action]:
    paths = case.desired.context["paths"]
    there = case.facts.files.get(paths["bin_link"])
    target = f"{paths['link']}/bin/ollama"
    if there is None or (there.link is None and there.content is None):
        return [Action("ollama/link", paths["bin_link"], "is missing")]
    if there.link is not None and there.link != target and there.link.startswith(context_prefix(paths["link"])):
        return [Action("ollama/link", paths["bin_link"], f"points to {there.link}")]
    return []


def context_prefix(link: str) -> str:
    return link.rsplit("/", 1)[0] + "/"


def _runs_from(case: PlanInput, actions: list[Action]) -> str:
    """A drifted file that the server was started from: somebody edited it, and restarted."""
    started = case.facts.process.started if case.facts.process else None
    for path in (action.target for action in actions if action.id in RUN_FROM):
        file = case.facts.files.get(path)
        if started is not None and file is not None and file.mtime is not None and file.mtime <= started:
            return path
    return ""


def _run(case: PlanInput, what: str, active: bool, actions: list[Action]) -> list[Action]:
    process_ = case.facts.process
    if not active or process_ is None:
        return [Action("ollama/start", what, "is not running")]
    if process_.environ.get(CONFIG) != case.desired.context["config_hash"]:
        return [Action("ollama/restart", what, "runs from an older configuration")]
    edited = _runs_from(case, actions)
    reason = f"was started from {edited} as it is now" if edited else effect.runs_otherwise(case)
    return [Action("ollama/restart", what, reason)] if reason else []


def models(case: PlanInput) -> list[Action]:
    there = present_models(case)
    return [
        Action("models/pull", name, "is not on the host", bytes=_size(case, name))
        for name in case.settings.models()
        if not any(same_model(name, other) for other in there)
    ]


def present_models(case: PlanInput) -> Sequence[str]:
    """Models in /api/tags, or in the store on disk while the server does not answer."""
    for exchange in case.facts.exchanges:
        if exchange.path == "/api/tags" and exchange.status == 200:
            found = probe.listing(exchange)
            return [model.name for model in found.models] if found else []
    return case.facts.models_on_disk or ()
