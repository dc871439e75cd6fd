"""Pull and registry: why a model does not come, or is of no use (group F of the catalogue)."""

from reaper_ops.core.doctor.rules.pull import free_space as room
from reaper_ops.core.doctor.rules.pull import models, network, registry, tls, transfer

RULES = (
    *network.RULES,
    *tls.RULES,
    *transfer.RULES,
    *registry.RULES,
    *room.RULES,
    *models.RULES,
)
