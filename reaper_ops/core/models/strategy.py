"""How the bytes of models get to hosts: one object per strategy, which knows all that depends on it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.models import caps, request
from reaper_ops.core.models.transport import Way
from reaper_ops.errors import ReaperError

MANY = 2
ONE_COPY = "a site mirror (`ollama_mirror`) or --strategy swarm brings each byte over the internet once"


class Strategy:
    """Where none is named: each host as its settings say, from its mirror or from the registries.

    giver: where bytes come from that cross the site's own network. lone_hosts: how many hosts without a mirror it
    takes to use the mirror of the inventory; None: never. insists: that mirror must answer.
    """

    name = ""
    giver = "from the mirror"
    lone_hosts: int | None = MANY
    insists = False
    seeded = False
    pushed = False

    def sources(self, settings: Settings, models: Iterable[str] | None = None) -> dict[str, str]:
        """The names under which the host pulls these models, where they are not their own."""
        return request.sources(settings, models)

    def local(self, settings: Settings) -> Collection[str]:
        """Models whose bytes come over the site's own network."""
        return self.sources(settings)

    def transport(self, via: Way | None) -> Way | None:
        return via

    def check(self, hosts: Iterable[Host], via: Way | None) -> None:
        """ReaperError where hosts cannot be given models like this."""

    def cap(self, rate: int) -> dict[str, int] | None:
        """Options by which the pull itself stays below the rate; None where the mirrors of the hosts must."""
        return None

    def remark(self, many: int) -> tuple[str, ...]:
        """many: hosts that pulled from registries. Nobody asked for one copy over the internet for each of them."""
        return (f"{many} hosts pulled from the registries, each by itself: {ONE_COPY}",) if many > 1 else ()


class NamedStrategy(Strategy):
    lone_hosts: int | None = None

    def remark(self, many: int) -> tuple[str, ...]:
        return ()


class DirectPull(NamedStrategy):
    """Each host from the registry."""

    name = "direct"

    def sources(self, settings: Settings, models: Iterable[str] | None = None) -> dict[str, str]:
        return {}


class MirrorPull(NamedStrategy):
    """Each host from the site mirror."""

    name = "mirror"
    lone_hosts = 1
    insists = True

    def check(self, hosts: Iterable[Host], via: Way | None) -> None:
        without = [host.name for host in hosts if host.settings.models() and host.settings.ollama_mirror is None]
        if without:
            step = "name the site mirror, or use --strategy direct"
            raise ReaperError(f"{without[0]}/ollama_mirror", "is not set", step)


class Swarm(NamedStrategy):
    """Hosts from each other, by aria2; always through Ansible."""

    name = "swarm"
    giver = "from the swarm"
    seeded = True

    def local(self, settings: Settings) -> Collection[str]:
        return settings.models()

    def transport(self, via: Way | None) -> Way | None:
        return "host"

    def check(self, hosts: Iterable[Host], via: Way | None) -> None:
        if via == "api":
            step = "leave it out, or take another --strategy"
            raise ReaperError("--via api", "a swarm writes into the hosts' stores", step)

    def cap(self, rate: int) -> dict[str, int] | None:
        return {"reaper_limit_rate": rate}


class Push(DirectPull):
    """From this machine to hosts that reach no registry."""

    name = "push"
    giver = "from this machine"
    pushed = True

    def local(self, settings: Settings) -> Collection[str]:
        return settings.models()

    def cap(self, rate: int) -> dict[str, int] | None:
        problem = "is not for a push: this machine fetches each blob once, as fast as it can"
        raise ReaperError(caps.PLACE, problem, "--push-rate caps what each host gets")


AS_CONFIGURED = Strategy()
DIRECT, MIRROR, SWARM, PUSH = DirectPull(), MirrorPull(), Swarm(), Push()
STRATEGIES: Mapping[str, Strategy] = {one.name: one for one in (DIRECT, MIRROR, SWARM, PUSH)}


def named(name: str | None) -> Strategy:
    return STRATEGIES[name] if name else AS_CONFIGURED
