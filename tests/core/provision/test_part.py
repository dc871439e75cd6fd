"""A role that is used by itself, and `--tags`: part of a plan, and only that part recorded as ours."""

from __future__ import annotations

from reaper_ops.core.facts.model import Facts, System
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import desired_state

BARE = Facts("gpu1", System(os_id="debian", version_id="13", arch="x86_64", init="systemd", uid=0, machine="aa"))
WHOLE = desired_state.derive(Settings(swap_kind="file", swap_size="1G", ollama_models=["tiny:latest"]), BARE)


def test_the_whole_host_has_a_server_and_swap() -> None:
    assert {"swap", "ollama", "models", "manifest"} <= set(WHOLE.for_roles()["roles"])
    assert WHOLE.for_roles()["owned"]["units"] == ["ollama.service"]


def test_a_role_by_itself_does_and_records_only_what_it_is_about() -> None:
    reaper = WHOLE.part(["swap"]).for_roles()
    assert reaper["roles"] == ["swap", "manifest"]
    assert {id_.split("/")[0] for id_ in reaper["todo"]} == {"swap", "manifest"}
    assert reaper["owned"]["swap"] == ["/swapfile"]
    assert set(reaper["owned"]) == {"files", "packages", "swap", "fstab"}
    assert [path for path in reaper["owned"]["files"] if "ollama.service" in path] == []


def test_a_server_by_itself_is_recorded_whole() -> None:
    reaper = WHOLE.part(["ollama"]).for_roles()
    assert "swap" not in reaper["owned"]
    assert reaper["owned"]["units"] == ["ollama.service"]
    assert "models/pull" not in reaper["todo"]


def test_one_action() -> None:
    assert WHOLE.part(["ollama/settings"]).plan.todo == ("ollama/settings", "manifest/record")


def test_nothing_chosen_is_nothing_to_do() -> None:
    assert WHOLE.part(["docker"]).plan.todo == ()
