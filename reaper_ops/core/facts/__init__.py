"""What a host is: the questions to ask it, and the reading of its answers. Every subject has both in one file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reaper_ops.core.facts import (
    disks,
    docker,
    evidence,
    exchanges,
    files,
    gpu,
    holders,
    listening,
    memory,
    packages,
    place,
    process,
    sources,
    store,
    system,
    tracing,
    unit,
)
from reaper_ops.core.facts.answers import Answers, Ask
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings

TRACES = tracing.TRACES
SUBJECTS = (
    *(system, memory, disks, gpu, docker, holders, unit, process, listening, place, files, packages),
    *(sources, store, exchanges, evidence),
)


def asks(settings: Settings, *, traces: bool = False) -> list[Ask]:
    """Every question for `reaper_read`, each with an id of its own; with `traces`, those of a diagnosis too."""
    found = [ask for subject in SUBJECTS for ask in subject.asks(settings)]
    return [*found, *tracing.asks(settings)] if traces else found


def parse(host: str, settings: Settings, answers: Mapping[str, Any]) -> Facts:
    """Facts of one host. Any answers are taken: what is absent or odd is None, and `unread` says why.

    With traces where a diagnosis asked: its answers have the times of the controller.
    """
    given = Answers(answers)
    return Facts(
        host=host,
        system=system.parse(given),
        memory=memory.parse(given),
        swaps=memory.parse_swaps(given),
        sysctls=memory.parse_sysctls(given),
        disks=disks.parse(settings, given),
        readonly=disks.parse_readonly(given),
        gpu=gpu.parse(given),
        docker=docker.parse(given),
        unit=unit.parse(given),
        process=process.parse(given),
        listening=listening.parse(settings, given),
        unit_files=unit.parse_files(given),
        **_places(given),
        container=docker.parse_container(given),
        foreign=holders.parse_foreign(given),
        volumes=holders.parse_volumes(given),
        networks=holders.parse_networks(given),
        images=holders.parse_images(given),
        files=files.parse(given),
        packages=packages.parse(given),
        sources=sources.parse(given),
        tools=system.tools(given),
        releases=store.parse_releases(given),
        **_store(given),
        user_groups=store.parse_user_groups(given),
        manifest=files.parse_manifest(given),
        exchanges=exchanges.parse(given),
        journal=evidence.parse_log(given),
        kernel=evidence.parse_kernel(given),
        cgroup_oom_kills=process.oom_kills(given),
        unread={**evidence.unread(given), **given.unread(), **docker.late(given)},
        traces=tracing.parse(given) if tracing.ASKED_AT in answers else None,
    )


def _store(given: Answers) -> dict[str, Any]:
    return {
        "models_on_disk": store.parse_models(given),
        "blobs": store.parse_blobs(given),
        "pulled": store.parse_pulled(given),
        "identities": store.parse_identities(given),
    }


def _places(given: Answers) -> dict[str, Any]:
    return {"models_place": place.parse(given), "exposed": place.parse_exposed(given)}
