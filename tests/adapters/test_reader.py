"""The reader's program says the same as the module, whatever Python runs it and whatever the host prints besides."""

import json
import subprocess
import sys

import pytest

from reaper_ops.adapters import reader
from reaper_ops.core import facts
from reaper_ops.core.inventory import settings

SAME = {"kind": "file", "path": "/proc/version"}


def run(asks: list[dict[str, object]], root: str = "", *, interpreter: str | None = sys.executable) -> str:
    command = reader.command(interpreter)
    done = subprocess.run(
        ["sh", "-c", command], input=reader.program(asks, root), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("runtime", ["systemd", "docker", "process"])
def test_every_ask_is_answered(runtime: str) -> None:
    wanted, errors = settings.parse("host", {"ollama_runtime": runtime})
    assert wanted is not None, errors
    asks = facts.asks(wanted)
    found = reader.answers(run(asks))
    assert found is not None
    assert set(found) == {ask["id"] for ask in asks}
    assert facts.parse("host", wanted, found).system.python == ".".join(map(str, sys.version_info[:3]))


def test_same_answer_as_the_module() -> None:
    asks = [
        {"id": "a", **SAME},
        {"id": "b", "kind": "nonsense"},
        {"id": "c", "kind": "which", "names": ["sh", "no-sh"]},
    ]
    options = ["localhost", "-c", "local", "-m", "reaper_ops.ollama.reaper_read", "-a", json.dumps({"asks": asks})]
    argv = [sys.executable, "-m", "ansible", "adhoc", "-e", f"ansible_python_interpreter={sys.executable}", *options]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment())
    assert reader.answers(run(asks)) == json.loads(done.stdout.partition("=>")[2])["answers"]


def environment() -> dict[str, str]:
    import os

    from reaper_ops import assets

    return {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(assets.collections())}


def test_stand_ins_are_read_below_the_root(tmp_path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/version").write_text("a stand-in")
    found = reader.answers(run([{"id": "a", **SAME}], str(tmp_path)))
    assert found is not None
    assert found["a"]["content"] == "a stand-in"


def test_the_first_python_that_is_there_is_taken() -> None:
    assert reader.answers(run([{"id": "a", **SAME}], interpreter=None)) is not None


def test_a_name_with_blanks_and_quotes_is_no_command() -> None:
    assert reader.command("/opt/it's here/python") == "'/opt/it'\"'\"'s here/python' -ES -"


def test_noise_around_the_answers_is_passed_over() -> None:
    assert reader.answers('Welcome!\n{"a": 1}\n\nreaper_read:{"a": {"error": "x"}}\nbye\n') == {"a": {"error": "x"}}


@pytest.mark.parametrize("output", ["", "Welcome!", "reaper_read:{", 'sh: python3: not found\n{"answers": {}}'])
def test_no_answers(output: str) -> None:
    assert reader.answers(output) is None
