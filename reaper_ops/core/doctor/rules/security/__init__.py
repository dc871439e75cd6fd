"""What lies open (group H of the catalogue)."""

from reaper_ops.core.doctor.rules.security import exposure, posture

_OPEN, _UFW, _ORIGINS = exposure.RULES
_VERSION, _ROOT, _SECRETS = posture.RULES
RULES = (_OPEN, _UFW, _VERSION, _ORIGINS, _ROOT, _SECRETS)
