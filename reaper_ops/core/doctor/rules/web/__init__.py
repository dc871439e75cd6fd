"""What HTTP says between client and server: hosts, origins, proxies, models (group B of the catalogue)."""

from reaper_ops.core.doctor.rules.web import models, proxies

RULES = (*proxies.RULES, *models.RULES)
