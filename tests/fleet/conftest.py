"""Real hosts for the tests in this directory; they boot while the other tests run."""

import shutil
import tempfile
from concurrent.futures import Future
from pathlib import Path

import pytest
from fleet import prepare
from fleet.command import Answer, reaper
from fleet.hosts import Host
from fleet.residue import Tree, tree
from fleet.world import MACHINE, Fleet

HERE = Path(__file__).parent
FLEET = pytest.StashKey[Fleet]()
WALK = pytest.StashKey[Future[tuple[Tree, Answer]]]()


def unfit(config: pytest.Config) -> str:
    """Why there are no real hosts in this session; empty when there are."""
    if not config.getoption("--fleet"):
        return "not asked for; `make test` asks, or give --fleet"
    missing = [program for program in prepare.PACKAGES.values() if shutil.which(program) is None]
    return prepare.reason_to_skip() or (f"not installed: {', '.join(missing)}; run `make prepare`" if missing else "")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks these tests, and puts them last so that hosts have time to boot."""
    ours = [item for item in items if HERE in item.path.parents]
    reason = unfit(config) if ours else ""
    for item in ours:
        item.add_marker(pytest.mark.fleet)
        item.add_marker(pytest.mark.timeout(1800))
        if reason:
            item.add_marker(pytest.mark.skip(reason=f"real hosts: {reason}"))
    items.sort(key=lambda item: HERE in item.path.parents)


def pytest_collection_finish(session: pytest.Session) -> None:
    wanted = any(HERE in item.path.parents for item in session.items)
    if wanted and not session.config.option.collectonly and not unfit(session.config):
        directory = Path(tempfile.mkdtemp(prefix="reaper-fleet-"))
        fleet = session.config.stash[FLEET] = Fleet(directory)
        session.config.stash[WALK] = fleet.later(walk_of_the_machine)


def walk_of_the_machine(fleet: Fleet) -> tuple[Tree, Answer]:
    """What lay on the machine, and its first `up`; begun early, since an emulated processor takes minutes for it."""
    before = tree(fleet.host(MACHINE))
    return before, reaper(fleet.inventory, "up", "--yes", "-l", MACHINE)


def pytest_sessionfinish(session: pytest.Session) -> None:
    fleet = session.config.stash.get(FLEET, None)
    if fleet is not None:
        fleet.close()
        shutil.rmtree(fleet.directory, ignore_errors=True)


@pytest.fixture(scope="session")
def fleet(pytestconfig: pytest.Config) -> Fleet:
    return pytestconfig.stash[FLEET]


@pytest.fixture(scope="session", params=["deb12", "deb13", "deb13-docker", pytest.param("vm13", marks=pytest.mark.vm)])
def host(request: pytest.FixtureRequest, fleet: Fleet) -> Host:
    return fleet.host(request.param)


@pytest.fixture(scope="session")
def walk(pytestconfig: pytest.Config) -> tuple[Tree, Answer]:
    return pytestconfig.stash[WALK].result()
