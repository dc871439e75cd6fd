"""What a host may turn out to be once engine, driver and toolkit are installed: each outcome with its own plan.

The versions that decide are those of `gpu_form` and `render`; between two of them every version gives the same plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from reaper_ops.core.facts.gpu_chain import DeviceNode
from reaper_ops.core.facts.model import Docker, Facts
from reaper_ops.core.provision import confirmed, desired_state, gpu_form
from reaper_ops.core.provision.confirmed import Confirmed, Steps
from reaper_ops.core.provision.desired_state import Intent
from reaper_ops.core.provision.plan import Action
from reaper_ops.core.provision.render import START_INTERVAL_ENGINE

DECISIVE = frozenset({"docker/packages", "gpu/driver", "gpu/toolkit"})
LATER = frozenset({"gpu", "ollama", "models", "manifest"})
"""Roles that run after a second reading, and what is recorded after them."""
OLD = (0, 1)
ENGINES = tuple(sorted({OLD, gpu_form.CDI_FIRST, gpu_form.CDI_07, gpu_form.CDI_DEFAULT, START_INTERVAL_ENGINE}))
COMPOSES = ((2, 0), gpu_form.COMPOSE_CDI)
TOOLKITS = (OLD, gpu_form.TOOLKIT_CDI_07)
SPECS = (None, ("nvidia.com/gpu=0",))
VIDEO = 44
"""The group that Debian's driver gives its device nodes."""


@dataclass(frozen=True)
class PlanChoice:
    """name: how the GPU is given; reason: what decides; actions: what would be done in this case."""

    name: str
    reason: str
    actions: tuple[Action, ...]
    steps: Steps


def of(intent: Intent) -> tuple[PlanChoice, ...]:
    """The outcomes that differ from the plan as it is shown; none where nothing decisive is installed."""
    if not DECISIVE & set(intent.plan.todo):
        return ()
    shown = confirmed.of_roles(intent.steps(), LATER)
    found: dict[str, PlanChoice] = {}
    for facts in _outcomes(intent):
        other = desired_state.derive(intent.settings, facts)
        steps = confirmed.of_roles(other.steps(), LATER)
        if any(shown.get(id_) != step for id_, step in steps.items()):
            found.setdefault(confirmed.digest({id_: step.digest for id_, step in steps.items()}), _choice(other, steps))
    return tuple(found.values())


def confirm(intent: Intent, choices: tuple[PlanChoice, ...] = ()) -> Confirmed:
    return Confirmed(intent.facts.system.machine, intent.steps(), tuple(choice.steps for choice in choices))


def _choice(intent: Intent, steps: Steps) -> PlanChoice:
    gpu = intent.context["gpu"]
    engine = "the engine is 25.0 or newer" if intent.context["compose"]["start_interval"] else "the engine is older"
    about = gpu["reason"] if gpu["vendor"] != "none" else engine
    actions = tuple(a for a in intent.plan.actions if a.id in steps)
    return PlanChoice(gpu["form"] if gpu["vendor"] != "none" else "without a GPU", about, actions, steps)


def _outcomes(intent: Intent) -> Iterator[Facts]:
    """One for each GPU form and reading of the Compose file; engine and GPU not set up yet: that is the most to do."""
    seen = set()
    for facts in _combinations(intent.facts, frozenset(intent.plan.todo)):
        engine = gpu_form.version(facts.docker.engine) if facts.docker else None
        mark = (gpu_form.choose(intent.settings, facts), (engine or OLD) >= START_INTERVAL_ENGINE)
        if mark not in seen:
            seen.add(mark)
            yield facts


def _combinations(facts: Facts, todo: frozenset[str]) -> Iterator[Facts]:
    rows = product(
        [*map(_text, ENGINES), None] if "docker/packages" in todo else [""],
        map(_text, COMPOSES) if "docker/packages" in todo else [""],
        map(_text, TOOLKITS) if "gpu/toolkit" in todo else [""],
        SPECS if "gpu/toolkit" in todo else [facts.gpu.cdi],
        [(), (DeviceNode("/dev/nvidia0", VIDEO, "0660"),)] if "gpu/driver" in todo else [()],
    )
    for engine, compose, toolkit, spec, nodes in rows:
        docker = facts.docker if engine == "" else None if engine is None else Docker(engine, compose, running=True)
        gpu = replace(facts.gpu, cdi=spec, toolkit=toolkit or facts.gpu.toolkit, nodes=(*facts.gpu.nodes, *nodes))
        yield replace(facts, docker=docker, gpu=replace(gpu, driver="new") if "gpu/driver" in todo else gpu)


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
