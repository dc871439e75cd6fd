"""The rendered files before the programs that read them: systemd and Compose."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from golden_shapes import GOLDEN, shape, with_file, written

from reaper_ops.core.provision.layout import UNIT

UNITS = Path("/usr/lib/systemd/system")
needs_systemd = pytest.mark.skipif(
    not (shutil.which("systemd-analyze") and UNITS.is_dir()), reason="systemd-analyze is not on this machine"
)


def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root directory with the distribution's units and programs under the names that our units start."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(UNITS, root / UNITS.relative_to("/"), symlinks=True)
    program = root / "opt/ollama/current/bin/ollama"
    program.parent.mkdir(parents=True)
    shutil.copy2("/bin/true", program)
    return root


def installed(root: Path, name: str) -> Path:
    """The root with the unit files of one shape, and of the unit that it takes over."""
    place = root / "etc/systemd/system"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    foreign = {path: file.content for path, file in shape(name)[1].files.items() if file.content}
    for path, text in {**foreign, **written(name)}.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return root


@needs_systemd
@pytest.mark.parametrize("name", with_file("zz-reaper_ops.conf"))
def test_systemd_accepts_the_unit_with_its_settings(machine: Path, name: str) -> None:
    done = run("systemd-analyze", "verify", f"--root={installed(machine, name)}", "ollama.service")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_the_check_sees_a_mistake_in_the_settings(machine: Path) -> None:
    installed(machine, "cpu-systemd")
    with (machine / UNIT.lstrip("/")).with_suffix(".service.d").joinpath("zz-reaper_ops.conf").open("a") as conf:
        conf.write("MemoryMaxx=1\n")
    done = run("systemd-analyze", "verify", f"--root={machine}", "ollama.service")
    assert "MemoryMaxx" in done.stderr


@needs_systemd
@pytest.mark.parametrize("name", with_file("zz-reaper_ops.conf"))
def test_the_unit_is_exposed_at_most_1_5(machine: Path, name: str) -> None:
    root = installed(machine, name)
    done = run("systemd-analyze", "security", "--offline=true", f"--root={root}", "--threshold=15", "ollama.service")
    assert done.returncode == 0, done.stdout[-200:]
    assert "Overall exposure level" in done.stdout


def compose_missing() -> str:
    if not shutil.which("docker"):
        return "docker is not on this machine"
    return "" if run("docker", "compose", "version").returncode == 0 else "Compose v2 is not on this machine"


@pytest.mark.skipif(bool(compose_missing()), reason=compose_missing())
@pytest.mark.parametrize("name", with_file("compose.yaml"))
def test_compose_accepts_the_file(name: str) -> None:
    done = run("docker", "compose", "-f", GOLDEN / name / "files/etc/reaper_ops/compose.yaml", "config", "-q")
    if "gpus" in done.stderr and "not allowed" in done.stderr:
        pytest.skip("this Compose is older than 2.30 and does not know `gpus`")
    assert (done.returncode, done.stderr) == (0, "")
