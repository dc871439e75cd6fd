"""The wish of a host: its typed settings, how they are read from variables, and what cannot go together."""

from reaper_ops.core.settings.model import Settings, names, newest_release
from reaper_ops.core.settings.reading import PREFIXES, parse, parse_set, relevant

__all__ = ["PREFIXES", "Settings", "names", "newest_release", "parse", "parse_set", "relevant"]
