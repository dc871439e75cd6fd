"""An adopted server keeps its home and its models, whether it runs or not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from reaper_ops.core.facts.model import Facts, HostFile, Process, System, Unit
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import layout, render

FOREIGN = "[Service]\nExecStart=/usr/local/bin/ollama serve\n"
ADOPT = Settings(ollama_adopt=True)


def facts(unit: str, environ: Mapping[str, str] | None = None, dropin: str = "", user: str = "ollama") -> Facts:
    files = {layout.UNIT: HostFile(layout.UNIT, unit)}
    if dropin:
        files[layout.DROPIN] = HostFile(layout.DROPIN, dropin)
    return Facts(
        host="h",
        system=System(),
        unit=Unit("ollama.service", {"LoadState": "loaded", "User": user}),
        process=Process(1, "/usr/local/bin/ollama", environ) if environ is not None else None,
        files=files,
    )


@pytest.mark.parametrize(
    ("found", "home", "models"),
    [
        (facts(FOREIGN), "/usr/share/ollama", "/usr/share/ollama/.ollama/models"),
        (facts(FOREIGN, user=""), "/root", "/root/.ollama/models"),
        (facts(FOREIGN, {"HOME": "/srv/o"}), "/srv/o", "/srv/o/.ollama/models"),
        (facts(FOREIGN, {"OLLAMA_MODELS": "/data"}), "/usr/share/ollama", "/data"),
        (facts(FOREIGN + 'Environment="OLLAMA_MODELS=/data/50%% \\"x\\""\n'), "/usr/share/ollama", '/data/50% "x"'),
        (facts(FOREIGN + "Environment=OLLAMA_MODELS=/data\n"), "/usr/share/ollama", "/data"),
        (facts(FOREIGN, dropin='Environment="HOME=/srv/o"\n'), "/srv/o", "/srv/o/.ollama/models"),
    ],
)
def test_home_and_store_of_an_adopted_unit(found: Facts, home: str, models: str) -> None:
    place = layout.of(ADOPT, found)
    assert (place.adopted, place.home, place.models_dir) == (True, home, models)


def test_what_adoption_writes_is_what_the_next_reading_finds() -> None:
    before = facts(FOREIGN, {"HOME": "/srv/o", "OLLAMA_MODELS": '/srv/50% "x"'})
    written = render.files(ADOPT, before)[layout.DROPIN]
    stopped = facts(FOREIGN, dropin=written)
    assert layout.of(ADOPT, stopped) == layout.of(ADOPT, before)
    assert render.files(ADOPT, stopped) == render.files(ADOPT, before)


def test_a_unit_of_a_package_is_foreign_and_ours_is_not() -> None:
    package = Unit("ollama.service", {"LoadState": "loaded", "FragmentPath": "/usr/lib/systemd/system/ollama.service"})
    assert layout.is_foreign(Facts("h", System(), unit=package))
    assert layout.is_foreign(facts(FOREIGN))
    assert not layout.is_foreign(facts(f"# {layout.MARKER}\n{FOREIGN}"))
    assert not layout.is_foreign(render.neutral("h"))


def test_a_foreign_unit_is_left_alone_when_adoption_is_not_asked_for() -> None:
    assert not layout.of(Settings(), facts(FOREIGN)).adopted
