"""The form in which a container gets its GPU, and what the host needs for it."""

from __future__ import annotations

import pytest
from golden_shapes import shape
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops.core.provision import desired_state, gpu_form


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("28.2.2", (28, 2)),
        ("v2.26.1-4", (2, 26)),
        ("20.10.24+dfsg1", (20, 10)),
        ("NVIDIA Container Toolkit CLI version 1.18.0", (1, 18)),
        ("", None),
        (None, None),
        ("dev", None),
    ],
)
def test_versions_are_read_as_programs_print_them(text: str | None, parsed: tuple[int, int] | None) -> None:
    assert gpu_form.version(text) == parsed


@given(st.text())
@settings(max_examples=100)
def test_any_text_is_a_version_or_none(text: str) -> None:
    found = gpu_form.version(text)
    assert found is None or len(found) == 2


@pytest.mark.parametrize(
    ("name", "form", "todo"),
    [
        ("nvidia-cdi", "cdi", set()),
        ("nvidia-cdi-old-compose", "cdi-deploy", {"gpu/daemon"}),
        ("nvidia-cdi-0.6", "cdi", {"gpu/cdi", "gpu/daemon"}),
        ("nvidia-cdi-switched-off", "gpus", {"gpu/daemon"}),
        ("nvidia-gpus", "gpus", {"gpu/daemon"}),
        ("nvidia-deploy", "deploy", {"gpu/daemon"}),
        ("nvidia-uuids-gpus", "gpus", {"gpu/daemon"}),
        ("nvidia-without-driver-docker", "none", set()),
        ("unread-docker", "deploy", {"gpu/repository", "gpu/toolkit", "gpu/daemon"}),
        ("amd-docker", "devices", set()),
        ("cpu-docker", "none", set()),
    ],
)
def test_the_plan_prepares_the_engine_for_the_form(name: str, form: str, todo: set[str]) -> None:
    intent = desired_state.derive(*shape(name))
    assert intent.context["gpu"]["form"] == form
    assert {id_ for id_ in intent.plan.todo if id_.startswith("gpu/") and id_ != "gpu/modules"} == todo


def test_the_engine_is_given_what_the_form_needs() -> None:
    cdi = desired_state.derive(*shape("nvidia-cdi-old-compose")).for_roles()["sources"]["daemon"]
    legacy = desired_state.derive(*shape("nvidia-deploy")).for_roles()["sources"]["daemon"]
    assert cdi == {"features": {"cdi": True}}
    assert list(legacy) == ["runtimes"]
