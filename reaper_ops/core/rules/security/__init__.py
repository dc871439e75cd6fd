"""What lies open (group H of the catalogue)."""

from reaper_ops.core.rules.rule import Rule

RULES: tuple[Rule, ...] = ()
