"""A host's typed settings, how they are read from variables, and which combinations are invalid."""

from reaper_ops.core.inventory.settings.model import names
from reaper_ops.core.inventory.settings.reading import PREFIXES, parse, parse_set, relevant
from reaper_ops.core.inventory.settings.whole import Settings

__all__ = ["PREFIXES", "Settings", "names", "parse", "parse_set", "relevant"]
