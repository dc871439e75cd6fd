"""`probe`: ask every server, read sick hosts, judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from reaper_ops.adapters import ansible, sweep
from reaper_ops.adapters.ansible import OnEvent, Source
from reaper_ops.core import shell, url
from reaper_ops.core.doctor.reading import needs_reading
from reaper_ops.core.doctor.rules.state import judge
from reaper_ops.core.facts import exchanges
from reaper_ops.core.facts.answers import mapping
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.health import probe as core
from reaper_ops.core.health.report import HostReport, Report
from reaper_ops.core.inventory.hosts import Host, Inventory
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.isolation import NEXT_STEP, alone
from reaper_ops.flows.inventory import gather as gathering
from reaper_ops.flows.inventory.gather import Gathered

Heard = Mapping[str, tuple[Exchange, ...]]
Gather = Callable[[Sequence[str]], Gathered]


def probe(
    source: Source,
    inventory: Inventory,
    *,
    known: Gathered | None = None,
    deep: bool = False,
    direct: bool = False,
    on_event: OnEvent | None = None,
) -> Report:
    """The state of every host.

    known: what was just read of hosts, so it is not read again. direct: everything is asked from here, no host is
    read. Else a server on a remote loopback is asked on its host, and managed hosts that are sick, local or asked
    deeply are read.
    """

    def gather(hosts: Sequence[str]) -> Gathered:
        return gathering.gather(source, inventory, hosts, on_event)

    asked = [host for host in inventory.hosts if direct or host.is_direct]
    heard = dict(sweep.sweep({host.name: _url(host) for host in asked}, core.ladder(deep=deep)))
    found = known or Gathered()
    if not direct:
        found = _read(inventory, heard, found, gather, deep)
        heard |= _on_hosts(source, inventory, heard, found, deep, on_event)
    judged = tuple(_report_of(host, heard.get(host.name), found, source.typed) for host in inventory.hosts)
    return Report("probe", judged, time.time())


def probe_url(text: str, *, deep: bool = False) -> Report:
    """One server by its URL, without any inventory."""
    address = url.parse(text)
    heard = sweep.sweep({address.host: str(address)}, core.ladder(deep=deep))
    settings = Settings.model_validate({"ollama_managed": False, "ollama_port": address.port})
    seen = core.observe(address.host, _as_written(text, address), heard[address.host])
    judged = alone(address.host, lambda: judge(settings, seen), _broken(seen.url, address.host))
    return Report("probe", (judged,), time.time())


def _broken(place: str, host: str) -> Callable[[str], HostReport]:
    return lambda said: HostReport(host, None, url=place, problem=said, next_step=NEXT_STEP)


def _as_written(text: str, address: url.BaseUrl) -> str:
    """The full URL; a port that only the scheme implied stays unwritten, so that the judge sees it."""
    return text.strip() if address.assumed_port else str(address)


def _url(host: Host) -> str:
    return str(url.parse(host.base_url))


def _read(inventory: Inventory, heard: Heard, known: Gathered, gather: Gather, deep: bool) -> Gathered:
    wanted = [host.name for host in inventory.hosts if needs_reading(host, heard.get(host.name), deep=deep)]
    missing = [name for name in wanted if name not in known.facts and name not in known.problems]
    more = gather(missing)
    return known.joined(more)


def _on_hosts(
    source: Source, inventory: Inventory, heard: Heard, found: Gathered, deep: bool, on_event: OnEvent | None
) -> dict[str, tuple[Exchange, ...]]:
    """What servers said that were asked on their hosts; `deep` takes a second round, once /api/ps is known."""
    rest = [host for host in inventory.hosts if host.name not in heard and host.name in found.facts]
    said = {host.name: found.facts[host.name].exchanges for host in rest}
    asks = {
        host.name: [exchanges.ask("deep", host.settings, [request])]
        for host in rest
        if deep and (request := core.deep_request(core.observe(host.name, "", said[host.name]).loaded)) is not None
    }
    if asks:
        run = ansible.playbook(
            "ask.yml", source, on_event=on_event, limit=",".join(asks), variables={"reaper_asks": asks}
        )
        for event in run.results:
            answer = mapping(mapping(mapping(event.get("result")).get("answers")).get("deep"))
            said[event["host"]] += exchanges.rows(answer.get("exchanges"))
    return said


def _judge(host: Host, heard: tuple[Exchange, ...], found: Gathered | None = None, words: str = "") -> HostReport:
    seen = core.observe(host.name, _url(host), heard)
    facts = found.facts.get(host.name) if found else None
    return judge(host.settings, seen, facts, host.settings.models(), source=words)


def _report_of(host: Host, heard: tuple[Exchange, ...] | None, found: Gathered, words: str) -> HostReport:
    return alone(host.name, lambda: _judged(host, heard, found, words), _broken(_url(host), host.name))


def _judged(host: Host, heard: tuple[Exchange, ...] | None, found: Gathered, words: str) -> HostReport:
    problem = found.problem(host.name)
    if heard is None or (not heard and host.name not in found.facts):
        return HostReport(
            host.name,
            None,
            url=_url(host),
            problem=problem or "its facts could not be read",
            next_step=found.steps.get(host.name) or f"ansible {words} {shell.word_or(host.name, 'HOST')} -m ping",
        )
    report = _judge(host, heard, found, words)
    note = (f"the host itself could not be read: {found.problems[host.name]}",) if problem else ()
    return replace(report, notes=(*report.notes, *note))
