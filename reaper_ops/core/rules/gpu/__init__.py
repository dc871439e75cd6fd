"""Why the GPU is not used, or faulty (group E of the catalogue)."""

from reaper_ops.core.rules.rule import Rule

RULES: tuple[Rule, ...] = ()
