"""The site mirror on real hosts, natively and by Compose: the others pull from it, and it goes without a trace."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fleet import standin
from fleet.command import Answer, reaper
from fleet.residue import tree
from fleet.world import ENGINE, Fleet

from reaper_ops.core.inventory.settings import Settings

MODEL = "small:latest"
PORT = 5080
IMAGES = tuple(str(Settings.model_fields[f"mirror_{part}_image"].default) for part in ("nginx", "registry"))


@pytest.fixture(scope="module", params=[("deb13", "systemd"), (ENGINE, "docker")], ids=lambda param: str(param[1]))
def site(request: pytest.FixtureRequest, fleet: Fleet, second: Answer) -> Iterator[tuple[str, Path]]:
    """The host of the mirror, and the inventory that adds it; the hosts are found without it, and left so."""
    assert second.rc == 0
    name, runtime = request.param
    before = tree(fleet.host(name))
    written = fleet.directory / f"mirror-{runtime}.yml"
    written.write_text(yaml.safe_dump({"all": {"children": {"fleet": {"hosts": _hosts(fleet, name, runtime)}}}}))
    yield name, written
    left = reaper(fleet.inventory, "models rm", "-i", str(written), "--yes", MODEL)
    gone = reaper(fleet.inventory, "models mirror down", "-i", str(written), "--yes")
    assert (left.rc, gone.rc) == (0, 0), left.stdout + gone.stdout
    assert tree(fleet.host(name)).differences(before) == []


def _hosts(fleet: Fleet, name: str, runtime: str) -> dict[str, dict[str, object]]:
    services, address = fleet.services, fleet.host(name).address
    others = {"ollama_mirror": f"http://{address}:{PORT}", "ollama_models": [MODEL]}
    mirror = {"mirror_runtime": runtime, "mirror_port": PORT, "mirror_upstream": f"http://{services.registry.name}"}
    return {host: mirror if host == name else others for host in ("deb12", "deb13", ENGINE)}


def test_hosts_pull_from_the_mirror(fleet: Fleet, site: tuple[str, Path]) -> None:
    name, written = site
    more = ("-i", str(written))
    if name == ENGINE:
        standin.build_mirror(fleet.client, fleet.image("trixie"))
        standin.load(name, standin.MIRROR, *IMAGES)
    up = reaper(fleet.inventory, "models mirror up", *more, "--yes")
    assert up.rc == 0, up.stdout + up.stderr
    again = reaper(fleet.inventory, "models mirror up", *more, "--yes")
    assert (again.rc, again.document["todo"]) == (0, {name: []})

    registry = fleet.services.registry
    before = Counter(registry.sent)
    pulled = reaper(fleet.inventory, "models pull", *more, "-l", f"deb12,deb13,{ENGINE},!{name}")
    assert pulled.rc == 0, pulled.stdout + pulled.stderr
    came = registry.sent - before
    one_copy = {digest: (registry.root / "blobs" / digest.replace(":", "-")).stat().st_size for digest in came}
    assert 0 < sum(one_copy.values()) <= sum(came.values()) <= 1.02 * sum(one_copy.values())

    told = reaper(fleet.inventory, "models mirror status", *more)
    assert told.rc == 0, told.stdout
    listed = reaper(fleet.inventory, "models list", *more, "-l", f"deb12,deb13,{ENGINE},!{name}")
    assert listed.rc == 0, listed.stdout
