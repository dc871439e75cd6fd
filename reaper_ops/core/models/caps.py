"""A cap on the bytes from the internet, and who keeps it: Ollama has none, so something in front of it must."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from urllib.parse import urlsplit

from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.models import names
from reaper_ops.core.values import binary_size
from reaper_ops.errors import ReaperError

PLACE = "--limit-rate"
Sources = Callable[[Settings, Iterable[str]], Container[str]]


def check(
    rate: int, hosts: Iterable[Host], every: Iterable[Host], sources: Sources, *, only: tuple[str, ...] = ()
) -> None:
    """Refuses a pull by `hosts` that could go faster; `every` host of the inventory may be the mirror.

    sources: of a host's models, those that come from the site mirror.
    only: the models that are asked for; all that a host wants where none are named.
    """
    mirrors = [host for host in every if host.settings.mirror_runtime != "none"]
    keys = {names.key(name) for name in only}
    for host in hosts:
        wanted = [name for name in host.settings.models() if not keys or names.key(name) in keys]
        mirrored = sources(host.settings, wanted)
        past = [name for name in wanted if name not in mirrored]
        if past:
            problem = f"{host.name} pulls {names.short(past[0])} from its registry by itself, and Ollama has no cap"
            raise ReaperError(PLACE, problem, "use --strategy swarm, or a site mirror with mirror_rate")
        if wanted:
            _mirror_keeps(rate, host, mirrors)


def _mirror_keeps(rate: int, host: Host, mirrors: list[Host]) -> None:
    url = str(host.settings.ollama_mirror)
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = [one for one in mirrors if _is(one, parts.hostname or "")] or (mirrors if len(mirrors) == 1 else [])
    known = [one for one in found if port in {one.settings.mirror_port, *one.settings.mirror_sources.values()}]
    if not known:
        problem = f"the site mirror {url} is no host of this inventory, so nothing is known of its cap"
        raise ReaperError(PLACE, problem, "leave the option out, and set mirror_rate where the mirror is set up")
    cap = known[0].settings.mirror_rate
    if cap is None or cap > rate:
        has = "takes all it can get" if cap is None else f"takes {binary_size(cap)} per second"
        step = f"set mirror_rate: {binary_size(rate)} for {known[0].name}, then run `reaper-ops models mirror up`"
        raise ReaperError(PLACE, f"the site mirror {known[0].name} {has} from the internet", step)


def _is(mirror: Host, name: str) -> bool:
    return name in {mirror.name, mirror.address, mirror.settings.mirror_bind}
