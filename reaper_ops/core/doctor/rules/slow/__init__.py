"""Why answers are slow (group D of the catalogue)."""

from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.slow import discovery, gpu, loading, processor, runaway
from reaper_ops.core.doctor.rules.slow import load_timeouts as patience
from reaper_ops.core.doctor.rules.slow import queueing as waiting

RULES: tuple[Rule, ...] = (
    *loading.RULES,
    *gpu.RULES,
    *waiting.RULES,
    *patience.RULES,
    *processor.RULES,
    *runaway.RULES,
    *discovery.RULES,
)
