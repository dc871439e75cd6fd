"""What a playbook run says of each host, from its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reaper_ops.core.inventory import complaint

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One playbook run: results per host in order, and which hosts could not be reached or failed.

    broken: host and id of each action that was not finished; steps: what a module says to do about its failure.
    """

    results: tuple[Event, ...]
    unreachable: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    broken: frozenset[tuple[str, str]] = frozenset()
    steps: Mapping[str, str] = field(default_factory=dict)

    @property
    def withheld(self) -> dict[str, tuple[str, ...]]:
        """By host: what was not done, because the host was no more as it was shown."""
        return {e["host"]: tuple(e["result"]["withheld"]) for e in self.results if e.get("result", {}).get("withheld")}

    def renewed(self, hosts: Sequence[str], later: Run) -> Run:
        """With what a later run says of these hosts."""

        def kept(texts: Mapping[str, str]) -> dict[str, str]:
            return {host: text for host, text in texts.items() if host not in hosts}

        return Run(
            tuple(event for event in self.results if event["host"] not in hosts) + later.results,
            {**kept(self.unreachable), **later.unreachable},
            {**kept(self.failed), **later.failed},
            frozenset(one for one in self.broken if one[0] not in hosts) | later.broken,
            {**kept(self.steps), **later.steps},
        )

    def of(self, host: str) -> tuple[Event, ...]:
        return tuple(event for event in self.results if event["host"] == host)


def collected(events: list[Event]) -> Run:
    results = tuple(event for event in events if event["event"] in {"ok", "changed", "skipped", "failed"})
    broken = [e for e in events if e["event"] == "failed" and not e.get("ignored")]
    lost = [e for e in events if e["event"] == "unreachable"]
    return Run(
        results,
        {e["host"]: _message(e) for e in lost},
        {e["host"]: _message(e) for e in broken},
        frozenset((e["host"], e.get("id") or e["task"]) for e in (*broken, *lost)),
        {e["host"]: str(e["result"]["next_step"]) for e in (*broken, *lost) if e.get("result", {}).get("next_step")},
    )


def _message(event: Event) -> str:
    text = complaint.of_result(event.get("result", {}))
    if event.get("result", {}).get("entered") is False:
        return text
    return f"{event['task']}: {text}" if event.get("task") and event["event"] == "failed" else text
