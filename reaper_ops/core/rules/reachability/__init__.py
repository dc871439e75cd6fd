"""Refused, timed out, reset: why nobody gets through (group A of the catalogue)."""

from reaper_ops.core.rules.reachability import (
    binding,
    containers,
    firewall,
    names,
    platform,
    rivals,
    service,
    start,
    strangers,
    unit_files,
)

RULES = (
    *service.RULES,
    *rivals.RULES,
    *binding.RULES,
    *containers.RULES,
    *firewall.RULES,
    *names.RULES,
    *strangers.RULES,
    *start.RULES,
    *platform.RULES,
    *unit_files.RULES,
)
