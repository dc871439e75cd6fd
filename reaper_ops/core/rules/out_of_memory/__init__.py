"""Memory of the host, its limits and the GPU (group C of the catalogue)."""

from reaper_ops.core.rules.out_of_memory import kills

RULES = (*kills.RULES,)
