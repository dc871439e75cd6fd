"""The collection in a play that is not ours, and `--tags`: run by Ansible itself, as a plain process here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from reaper_ops import assets

RESULT = "{{ {'todo': reaper.todo, 'owned': reaper.owned} | to_json }}"


def run(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    home = tmp_path / "a home"
    known = f"ollama_runtime=process ollama_home='{home}' ollama_models=\"['tiny']\""
    (tmp_path / "hosts").write_text(
        f"me ansible_connection=local ansible_python_interpreter={sys.executable} {known}\n"
    )
    code = f"import sys; sys.path.append({str(assets.collections())!r}); import ansible.__main__ as a; a.main()"
    argv = [sys.executable, "-c", code, "playbook", "-i", str(tmp_path / "hosts"), *words]
    return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)


def foreign(tmp_path: Path, role: dict[str, Any]) -> str:
    result = {"content": RESULT, "dest": str(tmp_path / "result"), "mode": "0600"}
    after = {"name": "After the role", "ansible.builtin.copy": result, "check_mode": False}
    play = {"hosts": "all", "gather_facts": False, "roles": [role], "post_tasks": [after]}
    (tmp_path / "play.json").write_text(json.dumps([play]))
    return str(tmp_path / "play.json")


def test_a_role_by_itself_takes_the_variables_that_its_specs_describe(tmp_path: Path) -> None:
    done = run(tmp_path, "--check", foreign(tmp_path, {"role": "reaper_ops.ollama.ollama", "ollama_port": 29436}))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "result").read_text())
    assert found["todo"] == ["ollama/release", "ollama/environment", "ollama/start", "manifest/record"]
    assert found["owned"]["processes"] == [f"{tmp_path}/a home/env.json"]
    assert not (tmp_path / "a home").exists()


def test_a_wrong_value_is_refused_by_the_specs(tmp_path: Path) -> None:
    done = run(tmp_path, "--check", foreign(tmp_path, {"role": "reaper_ops.ollama.ollama", "ollama_port": "http"}))
    assert done.returncode == 2
    assert "ollama_port" in done.stdout


def test_a_role_that_has_nothing_to_do_lets_the_play_go_on(tmp_path: Path) -> None:
    done = run(tmp_path, foreign(tmp_path, {"role": "reaper_ops.ollama.docker"}))
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "result").read_text())["todo"] == []


def test_tags_choose_from_the_plan(tmp_path: Path) -> None:
    words = ("-e", "ollama_port=29437", "reaper_ops.ollama.site")
    done = run(tmp_path, "--tags", "ollama/environment", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    home = tmp_path / "a home"
    assert "29437" in (home / "env.json").read_text()
    assert not (home / "releases").exists()
    manifest = json.loads((home / "reaper_ops/manifest.json").read_text())
    assert str(home / "env.json") in manifest["files"]


def test_tags_that_nothing_has_are_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "--check", "--tags", "ollama/enviroment", "reaper_ops.ollama.site")
    assert done.returncode == 2
    assert "--tags ollama/enviroment names no role and no action of `reaper-ops plan`" in done.stdout
