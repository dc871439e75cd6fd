"""Refused, timed out, reset: why nobody gets through (group A of the catalogue)."""

from reaper_ops.core.doctor.rules.reachability import (
    binding,
    containers,
    firewall,
    names,
    platform,
    service,
    start,
    unit_files,
)
from reaper_ops.core.doctor.rules.reachability import other_servers as strangers
from reaper_ops.core.doctor.rules.reachability import port_conflicts as rivals

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
