"""Why the GPU is not used, or faulty (group E of the catalogue)."""

from reaper_ops.core.doctor.rules.gpu import amd, card, cgroups, container, cuda, driver, library, wsl

RULES = (
    *driver.RULES,
    *cuda.RULES,
    *library.RULES,
    *container.RULES,
    *cgroups.RULES,
    *wsl.RULES,
    *amd.RULES,
    *card.RULES,
)
