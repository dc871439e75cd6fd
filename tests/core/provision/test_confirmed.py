"""What was confirmed, against what a host turns out to be afterwards: less is done, more is not."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from golden_shapes import shape
from hypothesis import given
from hypothesis import strategies as st

from reaper_ops import assets
from reaper_ops.core.facts.gpu_chain import Gpu, PciGpu
from reaper_ops.core.facts.model import Docker, Facts, HostFile, Process, System, Unit
from reaper_ops.core.inventory import hosts as inventory
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.mirror.site import Chosen, Site
from reaper_ops.core.provision import arguments, choices, confirmed, desired_state
from reaper_ops.core.provision.confirmed import OTHER_MACHINE, Confirmed
from reaper_ops.errors import ReaperError
from reaper_ops.flows.inventory.gather import Gathered
from reaper_ops.flows.provision import plan as planning

ROLES = assets.collection("roles")
PLUGIN = assets.collection("plugins/action/ollama_plan.py")
BARE = Facts(
    "gpu1",
    System(os_id="debian", version_id="13", arch="x86_64", init="systemd", uid=0, machine="aa"),
    packages={"ca-certificates": "1"},
    tools={"zstd": "/usr/bin/zstd"},
)
WANTED = Settings(ollama_models=["tiny:latest"])
CARD = Gpu(pci=(PciGpu("0000:01:00.0", "10de", "2231"),), modules=("nvidia", "nvidia_uvm"), driver="580.95")


def confirm(settings: Settings, facts: Facts) -> Confirmed:
    intent = desired_state.derive(settings, facts)
    return choices.confirm(intent, choices.of(intent))


def after(settings: Settings, facts: Facts, *, again: bool = False) -> Confirmed:
    """What a later reading wants, as the action plugin computes it."""
    intent = desired_state.derive(settings, facts)
    steps = confirmed.of_roles(intent.steps(), choices.LATER) if again else intent.steps()
    return Confirmed(facts.system.machine, steps)


def unit(active: str, enabled: str) -> Unit:
    return Unit("ollama.service", {"LoadState": "loaded", "ActiveState": active, "UnitFileState": enabled})


def settled(settings: Settings, facts: Facts) -> Facts:
    """The same host after `up`."""
    intent = desired_state.derive(settings, facts)
    return replace(
        facts,
        files={
            **{file.path: HostFile(file.path, file.content) for file in intent.files},
            "/opt/ollama/current": HostFile("/opt/ollama/current", None, link=settings.ollama_version),
            "/usr/local/bin/ollama": HostFile("/usr/local/bin/ollama", None, link="/opt/ollama/current/bin/ollama"),
        },
        releases=(settings.ollama_version,),
        user_groups=("ollama",),
        unit=unit("active", "enabled"),
    )


def edited(facts: Facts, path: str) -> Facts:
    return replace(facts, files={**facts.files, path: HostFile(path, "# by hand\n")})


UNIT = "/etc/systemd/system/ollama.service"
CHANGES: dict[str, tuple[Facts, Facts, Settings, str]] = {
    "file edited": (settled(WANTED, BARE), edited(settled(WANTED, BARE), UNIT), WANTED, f"ollama/unit {UNIT}: "),
    "file made where none was": (BARE, edited(BARE, UNIT), WANTED, "ollama/unit"),
    "package removed": (BARE, replace(BARE, packages={}), WANTED, "baseline/packages ca-certificates: "),
    "new GPU": (BARE, replace(BARE, gpu=CARD), WANTED, "gpu/modules "),
    "port": (BARE, BARE, WANTED.model_copy(update={"ollama_port": 11500}), "ollama/settings "),
    "model gone": (
        replace(settled(WANTED, BARE), models_on_disk=("tiny:latest",)),
        settled(WANTED, BARE),
        WANTED,
        "models/pull tiny:latest: is not on the host",
    ),
    "version changed in the inventory": (
        BARE,
        BARE,
        WANTED.model_copy(update={"ollama_version": "0.32.13"}),
        "ollama/release ",
    ),
    "server stopped": (
        replace(settled(WANTED, BARE), models_on_disk=("tiny:latest",)),
        replace(settled(WANTED, BARE), unit=unit("failed", "disabled")),
        WANTED,
        "ollama/enable ollama.service: ",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_more_than_was_confirmed_is_told(name: str) -> None:
    before, now, settings, told = CHANGES[name]
    found = confirm(WANTED, before).differences(after(settings, now))
    assert any(line.startswith(told) for line in found), found


def test_less_than_was_confirmed_is_no_difference() -> None:
    given_ = confirm(WANTED, BARE)
    assert given_.differences(after(WANTED, BARE)) == ()
    assert given_.differences(after(WANTED, settled(WANTED, BARE))) == ()
    assert given_.differences(Confirmed("aa")) == ()


def test_another_machine_is_another_machine() -> None:
    other = replace(BARE, system=replace(BARE.system, machine="bb"))
    assert confirm(WANTED, BARE).differences(after(WANTED, other)) == (OTHER_MACHINE,)
    unknown = replace(BARE, system=replace(BARE.system, machine=""))
    assert confirm(WANTED, BARE).differences(after(WANTED, unknown)) == ()


def test_a_mirror_that_the_fleet_uses_without_naming_it_is_confirmed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"ansible_host": "192.0.2.1", "ollama_models": ["tiny:latest"]}
    known = inventory.parse({"_meta": {"hostvars": {"gpu1": row}}, "all": {"hosts": ["gpu1"]}}, {})
    mirror = Site("mirror", "http://192.0.2.9:8080", ("gpu1",), {"registry.ollama.ai": 8080})
    monkeypatch.setattr(planning, "_sizes", lambda wanted: {})
    planned = planning.compute(known, Gathered({"gpu1": BARE}))
    shown = planning.confirmable(replace(planned, mirror=Chosen(mirror))).confirmed["gpu1"]
    wanted = mirror.settings("gpu1", known.hosts[0].settings)
    assert shown.differences(after(wanted, BARE)) == ()
    assert [line.split(" ")[0] for line in shown.differences(after(known.hosts[0].settings, BARE))] == ["models/pull"]


def test_the_way_over_json_loses_nothing() -> None:
    facts = replace(BARE, gpu=CARD)
    found = confirm(Settings(ollama_runtime="docker", docker_install=True), facts)
    assert found.choices
    assert confirmed.parse("x", json.loads(json.dumps(found.as_json()))) == found


@pytest.mark.parametrize(
    "value",
    [None, [], {"steps": []}, {"steps": {"a": 1}}, {"steps": {"a": {"targets": {}, "digest": 1}}}, {"machine": 1},
     {"choices": {}}, {"choices": [1]}, {"steps": {"a": {"targets": {"t": 1}, "digest": ""}}}],
)  # fmt: skip
def test_what_is_no_plan_is_refused(value: Any) -> None:
    with pytest.raises(ReaperError):
        confirmed.parse("x", value)


versions = st.tuples(st.integers(0, 40), st.integers(0, 50)).map(lambda pair: f"{pair[0]}.{pair[1]}.1")


@given(versions, versions, versions, st.sampled_from([None, ("nvidia.com/gpu=all",), ("nvidia.com/gpu=0",)]))
def test_whatever_engine_is_installed_it_was_among_the_choices(
    engine: str, compose: str, toolkit: str, spec: tuple[str, ...] | None
) -> None:
    settings = Settings(ollama_runtime="docker", docker_install=True)
    before = replace(BARE, gpu=CARD)
    new = replace(
        before,
        docker=Docker(engine, compose, running=True),
        gpu=replace(CARD, toolkit=toolkit, cdi=spec),
        packages={**before.packages, "docker.io": "1", "docker-cli": "1", "docker-compose": "1"},
    )
    given_ = confirm(settings, before)
    assert given_.differences(after(settings, new, again=True), later=True) == ()


def test_a_form_that_was_no_choice_is_withheld() -> None:
    settings = Settings(ollama_runtime="docker", docker_install=True)
    before = replace(BARE, gpu=CARD)
    new = replace(before, docker=Docker("28.5.1", "2.40", running=True), gpu=replace(CARD, toolkit="1.19.0"))
    other = settings.model_copy(update={"ollama_env": {"OLLAMA_DEBUG": "1"}})
    given_ = confirm(settings, before)
    assert given_.differences(after(other, new, again=True), later=True) != ()
    assert given_.differences(after(settings, new, again=True), later=False) != ()


def test_an_engine_that_is_there_leaves_no_choice() -> None:
    settings, facts = shape("nvidia-gpus")
    assert choices.of(desired_state.derive(settings, facts)) == ()


def test_the_choices_are_shown_with_their_difference() -> None:
    from reaper_ops.formats.provision import plan_text

    intent = desired_state.derive(Settings(ollama_runtime="docker", docker_install=True), replace(BARE, gpu=CARD))
    text = plan_text.render([intent.plan], {}, choices={"gpu1": choices.of(intent)})
    for form in ("cdi", "cdi-deploy", "gpus"):
        assert re.search(rf"^    {form}: ", text, re.MULTILINE)
    assert "gpu/cdi" in text
    assert re.search(r"^ +\+ .*nvidia\.com/gpu=all", text, re.MULTILINE)


def tasks(value: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for task in value for one in (tasks(task["block"]) if "block" in task else [task])]


def uses() -> list[tuple[str, str]]:
    """Each action with each name under `reaper` that one of its tasks is given."""
    found = []
    for path in sorted(ROLES.glob("*/tasks/*.yml")):
        if path.parts[-3] == "mirror":
            continue
        for task in tasks(yaml.safe_load(path.read_text())):
            ids = [tag for tag in task.get("tags", []) if "/" in tag]
            names = re.findall(r"reaper\.([a-z_]+(?:\.[a-z_]+)*)", json.dumps(task))
            found += [(ids[0], name) for name in names if ids]
    return found


def test_every_argument_of_an_action_is_in_its_digest() -> None:
    covered_elsewhere = {"todo", "plan", "templates", "targets", "owned"}
    lacking = [
        (id_, name)
        for id_, name in uses()
        if name.split(".")[0] not in covered_elsewhere
        and not any(name == known or name.startswith(f"{known}.") for known in arguments.ARGUMENTS[id_])
    ]
    assert lacking == []


def test_every_action_of_the_roles_is_known() -> None:
    ids = {id_ for id_, _ in uses()}
    assert ids <= set(arguments.ARGUMENTS)
    assert len(ids) > 20


def test_an_engine_that_appeared_after_the_plan_is_told_at_the_first_reading() -> None:
    settings = Settings(ollama_runtime="docker", docker_install=True)
    packages = {**BARE.packages, "docker-ce": "5:29"}
    now = replace(BARE, docker=Docker("29.1.3", "2.40.3", running=True), packages=packages)
    found = confirm(settings, BARE).differences(after(settings, now))
    assert [line.split(" ")[0] for line in found] == ["ollama/compose", "ollama/container"]


def test_a_server_that_stopped_after_the_plan_is_told() -> None:
    there = replace(settled(WANTED, BARE), models_on_disk=())
    running = replace(there, process=None)
    assert "ollama/start" in confirm(WANTED, running).steps
    config = desired_state.derive(WANTED, there).context["config_hash"]
    up = replace(there, process=Process(7, "/opt/ollama/current/bin/ollama", environ={"REAPER_OPS_CONFIG": config}))
    found = confirm(WANTED, up).differences(after(WANTED, replace(running, unit=unit("failed", "enabled"))))
    assert found == ("ollama/start ollama.service: is not running (not in the plan)",)


@pytest.mark.parametrize("again", [False, True])
def test_a_blocker_that_appeared_is_a_difference_of_its_host(again: bool) -> None:
    spec = importlib.util.spec_from_file_location("ollama_plan", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    action = object.__new__(module.ActionModule)
    action._task = SimpleNamespace(args={"again": again})
    no_root = replace(BARE, system=replace(BARE.system, uid=1000))
    found = action._beyond(confirm(WANTED, BARE), desired_state.derive(WANTED, no_root))
    assert [line.split(": ")[0] for line in found] == ["cannot be changed any more"]
    assert action._beyond(confirm(WANTED, BARE), desired_state.derive(WANTED, BARE)) == []
