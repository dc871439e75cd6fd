"""From settings and facts to the actions that `up` takes, and nothing more."""

from __future__ import annotations

from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import takeover
from reaper_ops.core.provision.plan import blockers as obstacles
from reaper_ops.core.provision.plan import host, server, swap
from reaper_ops.core.provision.plan.model import Action, Desired, DesiredState, Plan, PlanInput

__all__ = ["Action", "Desired", "DesiredState", "Plan", "PlanInput", "plan"]

PLANNERS = {
    "baseline": host.baseline,
    "swap": swap.actions,
    "docker": host.docker,
    "gpu": host.gpu,
    "ollama": server.server,
    "models": server.models,
}


def plan(settings: Settings, facts: Facts, desired: DesiredState) -> Plan:
    """The difference between desired state and facts, in the order of the roles; empty when there is none."""
    if not settings.ollama_managed:
        return Plan(facts.host)
    if slow := takeover.engine_too_slow(settings, facts):
        return Plan(facts.host, blockers=(slow,))
    case = PlanInput(settings, facts, desired)
    blockers = obstacles.blockers(case)
    actions = [action for planner in PLANNERS.values() for action in planner(case)]
    if actions or (facts.manifest or {}).get("state") == "intended":
        actions.append(Action("manifest/record", desired.context["paths"]["manifest"], "records what reaper_ops owns"))
    return Plan(facts.host, tuple(actions), tuple(blockers), tuple(obstacles.warnings(case, actions)))
