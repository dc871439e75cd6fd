"""Real hosts for the tests in this directory and in tests/faults; they boot while the other tests run."""

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from fleet import prepare, standin, story
from fleet.command import Answer, reaper
from fleet.hosts import Host
from fleet.residue import Tree, tree
from fleet.stage import Stage
from fleet.world import ENGINE, MACHINE, Fleet

from reaper_ops.adapters import ansible
from reaper_ops.adapters.ansible import Source
from reaper_ops.flows.provision.up import changes

HERE = Path(__file__).parent
ROOMS = (HERE, HERE.parent / "faults")
SHAPES = "test_shapes.py"
ORDER = ("test_hosts.py", "test_life.py", "test_mirror.py", "test_faults.py", "test_removal.py", SHAPES)
HOSTS_AT_ONCE = 3
FLEET = pytest.StashKey[Fleet]()
WALK = pytest.StashKey[Future[tuple[Tree, Answer]]]()


def unfit(config: pytest.Config, *, shapes: bool = False) -> str:
    """Why there are no real hosts in this session; empty when there are."""
    asked = config.getoption("--fleet") or (shapes and (config.getoption("--shape") or config.getoption("--shapes")))
    if not asked:
        return "not asked for; `make test` asks, or give --fleet"
    missing = [program for program in prepare.PACKAGES.values() if shutil.which(program) is None]
    return prepare.reason_to_skip() or (f"not installed: {', '.join(missing)}; run `make prepare`" if missing else "")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks these tests, and puts them last so that hosts have time to boot."""
    ours = [item for item in items if item.path.parent in ROOMS]
    kinds = {item.path.name == SHAPES for item in ours}
    reasons = {shapes: unfit(config, shapes=shapes) for shapes in kinds}
    for item in ours:
        reason = reasons[item.path.name == SHAPES]
        item.add_marker(pytest.mark.fleet)
        item.add_marker(pytest.mark.timeout(1800))
        if reason:
            item.add_marker(pytest.mark.skip(reason=f"real hosts: {reason}"))
    items.sort(key=lambda item: ORDER.index(item.path.name) if item in ours else -1)


def pytest_collection_finish(session: pytest.Session) -> None:
    wanted = any(item.path.parent in ROOMS and item.path.name != SHAPES for item in session.items)
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


@pytest.fixture(scope="session")
def bare(fleet: Fleet) -> dict[str, Tree]:
    """What lay on each container host before the first `up`."""
    return {host.name: tree(host) for host in fleet.hosts(with_machine=False)}


@pytest.fixture(scope="session")
def predicted(fleet: Fleet, bare: dict[str, Tree]) -> dict[str, tuple[str, ...]]:
    """What Ansible's own --check says that an apply on deb12 would change."""
    return changes(ansible.playbook("site.yml", Source((str(fleet.inventory),)), limit="deb12", check=True))


@pytest.fixture(scope="session")
def first(fleet: Fleet, predicted: dict[str, tuple[str, ...]]) -> Answer:
    return reaper(fleet.inventory, "up", "--yes", "-l", f"all:!{MACHINE}")


@pytest.fixture(scope="session")
def second(fleet: Fleet, first: Answer, walk: tuple[Tree, Answer]) -> Answer:
    """The whole fleet, after the image, which no registry could give, was brought to the engine."""
    standin.build(fleet.client, fleet.image("trixie"))
    standin.load(ENGINE)
    return reaper(fleet.inventory, "up", "--yes")


@pytest.fixture(scope="session")
def told(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[tuple[list[str], float]]]]:
    """The stories of the chosen shapes, told a few at a time beside each other."""
    wanted = [item.callspec.params["shape"] for item in request.session.items if item.path.name == SHAPES]  # type: ignore[attr-defined]
    directory = Path(tempfile.mkdtemp(prefix="reaper-shapes-"))
    stage = Stage(directory)
    with ThreadPoolExecutor(max_workers=HOSTS_AT_ONCE) as pool:
        yield {name: pool.submit(story.tell, name, stage) for name in wanted}
        pool.shutdown(wait=True, cancel_futures=True)
    stage.close()
    shutil.rmtree(directory, ignore_errors=True)
