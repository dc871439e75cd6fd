"""What an engine holds that others made, under names that ours would have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reaper_ops.core.facts.traces import Published

KEPT = "ollama-before-reaper_ops"
PROJECT = "reaper_ops"
PROJECT_LABEL = "com.docker.compose.project"


@dataclass(frozen=True)
class ForeignMount:
    """kind is `volume` or `bind`; source its name or path."""

    kind: str
    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Foreign:
    """A container that somebody else made. `kept` when an earlier run of ours set it aside under another name."""

    name: str
    image: str
    state: str
    restart: str = ""
    network: str = ""
    networks: tuple[str, ...] = ()
    mounts: tuple[ForeignMount, ...] = ()
    published: tuple[Published, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    gpu: tuple[str, ...] = ()
    memory_limit: int | None = None
    privileged: bool = False
    project: str = ""

    @property
    def kept(self) -> bool:
        return self.name == KEPT


@dataclass(frozen=True)
class Held:
    """A volume or network, and the Compose project that made it; empty where none did."""

    name: str
    project: str = ""

    @property
    def ours(self) -> bool:
        return self.project == PROJECT
