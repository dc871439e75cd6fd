"""All rules, in the order of the catalogue."""

from __future__ import annotations

from reaper_ops.core.doctor.rules import gpu, out_of_memory, pull, reachability, reported, security, slow, storage, web
from reaper_ops.core.doctor.rules.rule import Rule

GROUPS: dict[str, tuple[Rule, ...]] = {
    "Reachability": reachability.RULES,
    "HTTP, proxies and models": web.RULES,
    "Out of memory": out_of_memory.RULES,
    "Slow responses": slow.RULES,
    "GPU": gpu.RULES,
    "Pull and registry": pull.RULES,
    "Storage, permissions and configuration": storage.RULES,
    "Errors by their own words": reported.RULES,
    "Security": security.RULES,
}
RULES = tuple(rule for rules in GROUPS.values() for rule in rules)
