"""The action plugins read what their host prints, whatever sudo and a terminal print around it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleError

from reaper_ops import assets

PLUGINS = assets.collection("plugins/action")
AROUND = "[sudo via ansible, key=abc] password: \nWe trust you have received the usual lecture.\n"


def plugin(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"action_{name}", PLUGINS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def noisy(command: str, in_data: bytes = b"") -> dict[str, Any]:
    """A host with a terminal: sudo's words before and after, and carriage returns."""
    done = subprocess.run(["sh", "-c", command], input=in_data, capture_output=True, check=False)
    text = AROUND + done.stdout.decode() + "Connection closed.\n"
    return {"rc": done.returncode, "stdout": text.replace("\n", "\r\n"), "stderr": ""}


def made(module: ModuleType) -> Any:
    action = module.ActionModule.__new__(module.ActionModule)
    action._low_level_execute_command = noisy
    return action


def test_the_result_of_work_in_the_background_is_read(tmp_path: Path) -> None:
    results = tmp_path / "job"
    results.write_text(json.dumps({"changed": True, "models": [{"name": "tiny"}], "finished": 1}))
    action = made(plugin("ollama_pull"))
    assert action._collect(str(results)) == {"changed": True, "models": [{"name": "tiny"}]}
    assert not results.exists()


def test_work_that_goes_on_is_watched_and_its_progress_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = plugin("ollama_pull")
    progress, results = tmp_path / "progress", tmp_path / "job"
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(module, "Shown", lambda host: SimpleNamespace(event=shown.append))
    rows = iter([{"model": "tiny", "completed": 1, "pid": 1}, {"model": "tiny", "completed": 2, "pid": 1}])

    def work(_seconds: float) -> None:
        row = next(rows, None)
        if row is None:
            results.write_text(json.dumps({"changed": True, "finished": 1}))
        else:
            progress.write_text(json.dumps(row) + "\n")

    # the plugin's own view of the module: a thread that some other test left behind sleeps as ever
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=work))
    results.write_text(json.dumps({"started": 1, "finished": 0}))
    made(module)._follow("gpu1", str(progress), str(tmp_path / "heartbeat"), str(results))
    assert [row["completed"] for row in shown] == [1, 2, 2]


def test_bytes_that_cannot_be_written_say_why_in_the_words_of_the_program(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match=r"blob: cannot be written: sh: .*cd"):
        made(plugin("store_put"))._write(b"data", str(tmp_path / "missing" / "blob"), 0)
    made(plugin("store_put"))._write(b"data", str(tmp_path / "blob"), 0)
    assert (tmp_path / "blob").read_bytes() == b"data"
