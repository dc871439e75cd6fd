"""The mirror that a fleet uses without naming it, where it serves; and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from reaper_ops.adapters import ansible, mirror
from reaper_ops.adapters.ansible import Source
from reaper_ops.core.inventory import Inventory
from reaper_ops.core.mirror import site
from reaper_ops.core.mirror.site import Site
from reaper_ops.core.settings import Settings
from reaper_ops.errors import ReaperError

MANY = 2


@dataclass(frozen=True)
class Chosen:
    """site: None where every host keeps its own way. note: for the user."""

    site: Site | None = None
    note: str = ""

    def settings(self, host: str, known: Settings) -> Settings:
        return self.site.settings(host, known) if self.site else known

    def inventory(self, known: Inventory) -> Inventory:
        return Inventory(tuple(replace(one, settings=self.settings(one.name, one.settings)) for one in known.hosts))

    def variables(self) -> dict[str, Any]:
        return {"reaper_site_mirror": self.site.variables()} if self.site else {}


def choose(source: Source, known: Inventory, strategy: str | None = None) -> Chosen:
    """For more than one host without a mirror: that of the inventory, if there is one alone and it answers.

    strategy: as `models pull` takes it; who asks for the mirror gets it for one host too.
    """
    least = 1 if strategy == "mirror" else MANY
    if strategy not in {None, "mirror"} or len(site.without(known.hosts)) < least:
        return Chosen()
    everybody = known if source.limit is None else ansible.inventory(replace(source, limit=None))
    found = site.of(everybody.hosts, known.hosts)
    if found is None or len(found.serves) < least:
        return Chosen()
    if mirror.serves(found.url):
        return Chosen(found, f"hosts that name no mirror ({len(found.serves)}) use that of the inventory, {found.url}")
    step = "`reaper-ops models mirror up` brings it up, `ollama_mirror` names another"
    if strategy == "mirror":
        raise ReaperError(found.host, f"is the site mirror, and does not answer at {found.url}", step)
    return Chosen(None, f"the site mirror does not answer at {found.url}, so each host pulls by itself: {step}")
