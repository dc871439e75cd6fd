"""Errors that name their cause in one line (systemd, loaders, limits, drivers, proxies), and those that nothing
explains."""

from reaper_ops.core.doctor.rules.reported import gpus, programs, requests, unexplained, units

RULES = (*units.RULES, *programs.RULES, *gpus.RULES, *requests.RULES, *unexplained.RULES)
