"""A bundle goes into the mirror of a site without internet, and hosts pull it from there with the same digest."""

from __future__ import annotations

import shutil

import pytest
from mirror import site
from subject import Starter, simulated

from reaper_ops.cli.program import run
from reaper_ops.flows.models import bundle as models_bundle

SIZE = 2 * site.SLICE + 7


@pytest.fixture
def bundle(short, upstream):
    digest = site.publish(upstream.root, "library/big:1", SIZE)
    origin = f"http://localhost:{upstream.server_address[1]}"
    models_bundle.create(short / "b.tar", lock_path=short / "none.lock", only=("big:1",), origin=origin)
    return short / "b.tar", digest


def test_a_mirror_without_internet_serves_what_a_bundle_brought(short, resolver, bundle, capfd):
    place, digest = bundle
    starter = Starter("simulated", simulated(short / "tree"), short / "servers")
    with site.running(site.settings(short / "m", "none", resolver)) as mirror:
        try:
            assert run(["models", "bundle", "load", str(place), "--to-mirror", f"http://{mirror}"]) == 0
            assert "big:1  brought" in capfd.readouterr().out
            server = starter.start(REAPER_OPS_LAB_PATIENCE="0.01").wait_ready()
            assert server.pull(f"{mirror}/library/big:1").lines()[-1] == {"status": "success"}
            held = {row["name"]: row["digest"] for row in server.ask("GET", "/api/tags").json()["models"]}
        finally:
            starter.stop()
        assert run(["models", "bundle", "load", str(place), "--to-mirror", f"http://{mirror}"]) == 0
        assert "big:1  was there" in capfd.readouterr().out
    assert held == {f"{mirror}/library/big:1": digest}


def test_a_mirror_that_takes_no_push_says_what_would_let_it(short, resolver, upstream, bundle, capfd):
    origin = f"http://localhost:{upstream.server_address[1]}"
    shutil.rmtree(upstream.root / "blobs")
    with site.running(site.settings(short / "m", origin, resolver)) as mirror:
        assert run(["models", "bundle", "load", str(bundle[0]), "--to-mirror", f"http://{mirror}"]) == 1
    assert "mirror_own_namespaces" in capfd.readouterr().err
