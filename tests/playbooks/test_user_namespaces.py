"""A host without user namespaces, made inside of one: its root sets his own limit to none."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from reaper_ops.core import facts
from reaper_ops.core.inventory.settings import Settings

MODULE = "reaper_read"
ASKS = [ask for ask in facts.asks(Settings()) if ask["id"] in {"identity", "user-namespaces"}]


def root_with(limit: int) -> list[str]:
    """A command that runs another as root of a user namespace in which so many more can be made."""
    made = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    if (done := subprocess.run([*made, "true"], capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"this machine makes no user namespaces: {done.stderr.strip()}")
    return [*made, f'echo {limit} > /proc/sys/user/max_user_namespaces && exec "$@"', "sh"]


@pytest.mark.parametrize(
    ("limit", "reason"), [(0, "user.max_user_namespaces leaves no room for one"), (100, "")], ids=["none", "some"]
)
def test_whether_a_host_makes_user_namespaces_is_tried(module: Callable[..., Any], limit: int, reason: str) -> None:
    answers = module(under=root_with(limit), asks=ASKS)["answers"]
    assert answers["identity"]["uid"] == 0
    assert facts.parse("here", Settings(), answers).system.no_user_namespaces == reason
