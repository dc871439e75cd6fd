"""Evidence of several hosts in one run: sick ones are named, and hold nobody; a bundle tells the same as the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from reaper_ops.adapters import bundle
from reaper_ops.adapters.ansible import Source
from reaper_ops.core import facts
from reaper_ops.core.doctor.bundle import SavedHost
from reaper_ops.core.inventory.hosts import Inventory
from reaper_ops.flows.inventory import gather
from reaper_ops.flows.inventory.gather import Gathered

INVENTORY = """\
all:
  vars: {{ansible_connection: local, ollama_runtime: process, ollama_home: {home}/ollama, reaper_patience: 12}}
  hosts:
    good: {{ollama_port: 18401, ollama_https_proxy: "http://user:geheim@proxy:3128"}}
    hung: {{ollama_port: 18402, ansible_python_interpreter: {home}/hung}}
    bare: {{ollama_port: 18403, ansible_python_interpreter: {home}/bare}}
"""


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> tuple[Inventory, Gathered]:
    home = tmp_path_factory.mktemp("hosts")
    (home / "hosts.yml").write_text(INVENTORY.format(home=home))
    program(home / "hung", "exec sleep 40")
    program(home / "bare", "echo 'no python here' >&2; exit 127")
    return gather.survey(Source((str(home / "hosts.yml"),)), evidence=True)


def test_a_host_that_hangs_and_one_without_python_hold_nobody(read: tuple[Inventory, Gathered]) -> None:
    _, found = read
    assert set(found.facts) == {"good"}
    assert "Timed out" in found.problems["hung"]
    assert "no python here" in found.problems["bare"]


def test_a_host_gives_its_traces_and_the_clock(read: tuple[Inventory, Gathered]) -> None:
    traces = read[1].facts["good"].traces
    assert traces is not None
    assert traces.listeners
    assert traces.processes
    assert traces.clock_skew == 0.0
    assert traces.swap_rate is not None
    assert traces.asked["ipv4"][0].error == "refused"
    assert traces.stores is not None
    assert [store.mode for store in traces.stores if store.path.endswith("ollama/models")] == [""]


def test_from_its_bundle_a_host_is_the_same(read: tuple[Inventory, Gathered], tmp_path: Path) -> None:
    inventory, found = read
    wanted = inventory.by_name["good"].settings
    saved = SavedHost("good", wanted, "http://127.0.0.1:18401", found.facts["good"].exchanges, found.answers["good"])
    for name in ("e.tar.gz", "e"):
        bundle.write(tmp_path / name, [saved])
        (kept,) = bundle.read(tmp_path / name)
        assert facts.parse("good", kept.settings, kept.answers or {}) == found.facts["good"]
        assert (kept.url, kept.exchanges) == (saved.url, saved.exchanges)
    assert b"geheim" not in b"".join(path.read_bytes() for path in (tmp_path / "e").rglob("*") if path.is_file())
