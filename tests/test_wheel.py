"""What is installed is complete: it works from any directory, without the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUILD = """
import sys
from hatchling.builders.wheel import WheelBuilder
print(next(WheelBuilder(sys.argv[1]).build(directory=sys.argv[2])))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run([sys.executable, "-c", BUILD, ROOT, out], capture_output=True, text=True, check=True)
    return Path(done.stdout.split()[-1])


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    place = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    return place


def run(installed, *words):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "reaper_ops", *words],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_every_shipped_file_is_in_the_wheel_and_nothing_else(wheel):
    tracked = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout: the list of tracked files is not known")
    shipped = ("templates/", "inventories/example/", "inventories/lab/")
    wanted = {f"reaper_ops/_assets/{name}" for name in tracked.stdout.split() if name.startswith(shipped)}
    wanted |= {name for name in tracked.stdout.split() if name.startswith("reaper_ops/")}
    with zipfile.ZipFile(wheel) as archive:
        there = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name for name in wanted if (ROOT / name.replace("reaper_ops/_assets/", "")).exists()} <= there
    assert not any("__pycache__" in name or name.endswith(".pyc") for name in there)


def test_version_and_plan_work_from_anywhere(installed, tmp_path):
    code, out, _ = run(installed, "--version")
    assert (code, out.split()[0]) == (0, "reaper-ops")
    (tmp_path / "hosts.ini").write_text(
        f"me ansible_connection=local ansible_python_interpreter={sys.executable} ollama_runtime=process "
        f"ollama_home={tmp_path}/home ollama_port=29434\n"
    )
    code, out, err = run(installed, "plan", "-i", str(tmp_path / "hosts.ini"), "-o", "json")
    assert code == 0, err
    assert '"ollama/release"' in out
