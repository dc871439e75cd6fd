"""Pulls and the registry (group F of the catalogue)."""

from reaper_ops.core.rules.rule import Rule

RULES: tuple[Rule, ...] = ()
