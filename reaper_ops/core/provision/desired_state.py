"""Settings and facts together: the context of the templates, the files, the plan, and what we will own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from reaper_ops import assets
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.models import request as delivery
from reaper_ops.core.provision import arguments, ownership, release, render, repositories
from reaper_ops.core.provision.confirmed import Steps
from reaper_ops.core.provision.plan import Desired, DesiredState, Plan, plan
from reaper_ops.core.provision.plan.download import Download, of_model

_SLOW = "a start that only takes long needs a larger ollama_start_timeout"
LOG_STEPS = {
    "systemd": f"`journalctl -u ollama -n 100 --no-pager` on the host says more; {_SLOW}",
    "docker": f"`docker logs --tail 100 ollama` on the host says more; {_SLOW}",
    "process": f"{{log}} on the host says more; {_SLOW}",
}


@dataclass(frozen=True)
class Intent:
    settings: Settings
    facts: Facts
    context: Mapping[str, Any]
    files: tuple[Desired, ...]
    plan: Plan
    server: bool = True
    """Whether the server itself is part of it."""

    def for_roles(self) -> dict[str, Any]:
        """The variable `reaper` of the roles and templates."""
        system = self.facts.system
        return {
            **self.context,
            "todo": list(self.plan.todo),
            "roles": list(dict.fromkeys(id_.split("/")[0] for id_ in self.plan.todo)),
            "plan": self.plan.targets(),
            "owned": ownership.entries(self.settings, self.context, self.files, self.plan, server=self.server),
            "templates": str(assets.templates()),
            "family": system.family,
            "os_id": system.os_id,
            "codename": system.codename,
            "start_timeout": self.settings.ollama_start_timeout,
            "log_step": LOG_STEPS[self.settings.ollama_runtime].format(log=self.context["paths"].get("log", "")),
            "insecure_registries": sorted(delivery.plain_http(self.settings)),
            "mirrored": delivery.sources(self.settings),
            "proxy": self.settings.ollama_https_proxy or "",
            "archives": self.archives(),
            "runner": self.runner(),
            "sources": repositories.for_roles(system, self.context["arch"], self.context["gpu"]["form"]),
        }

    def part(self, chosen: Collection[str]) -> Intent:
        """What these roles or actions make of it; the rest of the host is neither changed nor recorded as ours."""
        plan = self.plan.part(chosen)
        files = tuple(file for file in self.files if file.id in plan.todo)
        return replace(self, plan=plan, files=files, server=any(id_.startswith("ollama/") for id_ in plan.todo))

    def steps(self) -> Steps:
        """The actions as they are confirmed."""
        return arguments.steps(self.plan, self.for_roles(), {file.id: file for file in self.files}, self.facts)

    def runner(self) -> str:
        link = self.context["paths"].get("link")
        docker = self.settings.ollama_runtime == "docker"
        return "" if docker or not link else release.runner(self.settings.ollama_version, link)

    def archives(self) -> list[dict[str, str]]:
        """Arguments of the module ollama_release; `source` is a file on the controller that is copied first."""
        rows, place = [], self.context["paths"].get("release_dest", "").rpartition("/")[0]
        for archive in self._wanted_archives():
            row = {"name": archive.name, "proof": archive.proof}
            if archive.url.startswith("/"):
                row |= {"source": archive.url, "path": f"{place}/.incoming/{archive.name}"}
            else:
                row["url"] = archive.url
            row |= {"sha256": archive.sha256} if archive.sha256 else {"checksum_url": archive.checksum_url or ""}
            rows.append(row)
        return rows

    def _wanted_archives(self) -> tuple[release.ReleaseArchive, ...]:
        if self.settings.ollama_runtime == "docker":
            return ()
        vendor = self.context["gpu"]["vendor"]
        return release.archives(
            self.settings, self.context["arch"], amd=vendor == "amd", jetpack=self.facts.system.jetpack
        )

    def downloads(self) -> tuple[Download, ...]:
        """What the plan fetches from elsewhere, for asking its size."""
        found: list[Download] = []
        if "ollama/release" in self.plan.todo:
            found += [Download(archive.name, archive.url) for archive in self._wanted_archives()]
        models = self.plan.targets().get("models/pull", [])
        return tuple(found + [of_model(self.settings, name) for name in models])


def derive(settings: Settings, facts: Facts, sizes: Mapping[str, int] | None = None) -> Intent:
    """Everything that follows from a host's settings and facts. Pure: the same input gives the same plan anywhere."""
    context = render.context(settings, facts)
    files = tuple(
        Desired(target.id, target.path, render.text(target, context), target.mode)
        for target in render.targets(settings, facts)
    )
    return Intent(settings, facts, context, files, plan(settings, facts, DesiredState(context, files, sizes or {})))
