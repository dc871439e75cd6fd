"""The parts of a host's evidence, by the names they have in a bundle, and which of them were not read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings


@dataclass(frozen=True)
class EvidencePart:
    """read: whether facts hold it. asks: ids of the questions that it comes from. runtimes: where it exists."""

    read: Callable[[Facts], bool]
    asks: tuple[str, ...]
    runtimes: tuple[str, ...] = ("systemd", "docker", "process")


def _trace(name: str) -> Callable[[Facts], bool]:
    return lambda facts: facts.traces is not None and getattr(facts.traces, name) is not None


PARTS: Mapping[str, EvidencePart] = {
    "http": EvidencePart(lambda facts: bool(facts.exchanges), ("api",)),
    "journal.log": EvidencePart(lambda facts: facts.journal is not None, ("log",)),
    "kernel.log": EvidencePart(lambda facts: facts.kernel is not None, ("kernel-journal", "kernel-ring")),
    "systemctl-show.txt": EvidencePart(lambda facts: facts.unit is not None, ("unit",), ("systemd",)),
    "systemctl-cat.txt": EvidencePart(_trace("unit_text"), ("unit-text",), ("systemd",)),
    "docker-inspect.json": EvidencePart(_trace("containers"), ("containers",), ("docker",)),
    "meminfo.txt": EvidencePart(lambda facts: facts.memory is not None, ("meminfo",)),
    "ss.txt": EvidencePart(_trace("listeners"), ("listeners",)),
    "ps.txt": EvidencePart(_trace("processes"), ("processes",)),
    "cgroup.txt": EvidencePart(_trace("cgroup"), ("server-cgroup",), ("systemd", "docker")),
    "store.txt": EvidencePart(_trace("stores"), ("stores",)),
    "mounts.txt": EvidencePart(_trace("mounts"), ("mounts",)),
    "firewall.txt": EvidencePart(_trace("firewall"), ("firewall",), ("systemd", "docker")),
}


def missing(settings: Settings, facts: Facts | None) -> dict[str, str]:
    """Parts that were not read, with the reason where one is known."""
    if facts is None:
        return dict.fromkeys(PARTS, "the host was not read")
    found: dict[str, str] = {}
    for name, part in PARTS.items():
        if settings.ollama_runtime in part.runtimes and not part.read(facts):
            why = next((facts.unread[ask] for ask in part.asks if ask in facts.unread), "")
            found[name] = why or "not there"
    return found


def understood(facts: Facts, answers: Mapping[str, Any]) -> Facts:
    """The facts, which now also say of which parts there is text that nobody can read."""
    odd = {
        ask: "is there, and cannot be understood"
        for part in PARTS.values()
        for ask in part.asks
        if not part.read(facts) and ask not in facts.unread and _text(answers.get(ask))
    }
    return replace(facts, unread={**facts.unread, **odd}) if odd else facts


def _text(answer: object) -> bool:
    texts = [answer.get("stdout"), answer.get("content")] if isinstance(answer, Mapping) else []
    return any(isinstance(text, str) and text.strip() for text in texts)
