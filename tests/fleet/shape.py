"""A shape: a folder that says how a host is found and what must then be true. README.md in shapes/ has the words."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

FOLDER = Path(__file__).parent / "shapes"
FILES = frozenset({"expect.yml", "prepare.sh", "settings.yml"})


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HostPart(Part):
    """The container: Debian's name, volumes and tmpfs by place, an engine inside, a second host to jump through."""

    suite: Literal["bookworm", "trixie"] = "bookworm"
    volumes: tuple[str, ...] = ()
    tmpfs: dict[str, str] = {}
    docker: bool = False
    jump: bool = False
    releases: bool = False


class PlanPart(Part):
    """Of `plan`: exit code, ids of actions that are there or not, regular expressions that some line matches."""

    settings: dict[str, Any] = {}
    exit: int = 0
    actions: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    blockers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


class UpPart(Part):
    settings: dict[str, Any] = {}
    exit: int = 0
    state: str = "healthy"
    problem: str = ""
    notes: tuple[str, ...] = ()


class InterruptPart(Part):
    """What befalls the first `up` when the action `at` starts; the second one is what the rest speaks of."""

    at: str
    by: Literal["ctrl-c", "kill", "pause", "cut"]
    settings: dict[str, Any] = {}


class DownPart(Part):
    options: tuple[str, ...] = ()
    exit: int = 0
    kept: tuple[str, ...] = ()


class LeftPart(Part):
    """A difference after `down` that is right, and why."""

    line: str
    reason: str = Field(min_length=10)


class Shape(Part):
    about: str = Field(min_length=10)
    ci: bool
    host: HostPart = HostPart()
    variants: tuple[PlanPart, ...] = ()
    plan: PlanPart | None = PlanPart()
    interrupt: InterruptPart | None = None
    controllers: int = Field(1, ge=1, le=3)
    up: UpPart | None = UpPart()
    then: tuple[tuple[str, ...], ...] = ()
    after: tuple[str, ...] = ()
    again: bool = True
    down: DownPart | None = DownPart()
    left: tuple[LeftPart, ...] = ()
    after_down: tuple[str, ...] = ()


def names() -> list[str]:
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def read(name: str) -> Shape:
    return Shape.model_validate(yaml.safe_load((FOLDER / name / "expect.yml").read_text()))


def settings(name: str) -> dict[str, Any]:
    path = FOLDER / name / "settings.yml"
    found: dict[str, Any] = yaml.safe_load(path.read_text()) if path.exists() else {}
    return found
