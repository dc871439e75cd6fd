"""Why answers are slow (group D of the catalogue)."""

from reaper_ops.core.rules.rule import Rule
from reaper_ops.core.rules.slow import discovery, gpu, loading, patience, processor, runaway, waiting

RULES: tuple[Rule, ...] = (
    *loading.RULES,
    *gpu.RULES,
    *waiting.RULES,
    *patience.RULES,
    *processor.RULES,
    *runaway.RULES,
    *discovery.RULES,
)
