"""Refused, timed out, reset: why nobody gets through (group A of the catalogue)."""

from reaper_ops.core.rules.reachability import service

RULES = (*service.RULES,)
