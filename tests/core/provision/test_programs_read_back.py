"""The programs that read rendered files take every value that we accept, and find that value: a few generated ones."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from core.provision.test_written_files import CLEAN, PATHS, accepted
from hypothesis import Phase, assume, example, given, settings
from hypothesis import strategies as st
from watchers import checked, program

from reaper_ops.core.inventory.settings import parse
from reaper_ops.core.mirror import desired_state as mirror_state
from reaper_ops.core.monitoring.desired_state import parse as parse_monitoring
from reaper_ops.core.monitoring.files import KINDS
from reaper_ops.core.provision import render

FEW = settings(max_examples=4, phases=[Phase.explicit, Phase.generate])


def compose_missing() -> str:
    if not shutil.which("docker"):
        return "docker is not on this machine"
    done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "Compose v2 is not on this machine"


needs_compose = pytest.mark.skipif(bool(compose_missing()), reason=compose_missing())


@given(CLEAN, st.sampled_from(["10.0.0.9", "watch-1.example", "[fd00::9]"]), st.sampled_from(["5m", "1h30m", "90s"]))
@example("$x{{ .Labels }}%\"'\\#&?a=b", "10.0.0.9", "5m")
@FEW
def test_promtool_and_amtool_take_what_is_accepted(path: str, host: str, wait: str) -> None:
    program("promtool"), program("amtool")
    given = {"webhook": f"http://a/{path}", "metrics": f"{host}:9434", "textfile": f"{host}:9100", "wait": wait}
    given = {name: value for name, value in given.items() if accepted(name, value)}
    assume("wait" in given)
    known = parse_monitoring(given)
    with tempfile.TemporaryDirectory() as name:
        for produce in KINDS.values():
            for file, text in produce(known).items():
                (Path(name) / file).write_text(text)
        checked("promtool", "check", "config", Path(name) / "prometheus.yml")
        checked("promtool", "check", "rules", "--lint=all", "--lint-fatal", Path(name) / "reaper_ops.rules.yml")
        checked("amtool", "check-config", Path(name) / "alertmanager.yml")


def composed(text: str) -> dict[str, object]:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        argv = ["docker", "compose", "-f", file.name, "config", "--format", "json"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)["services"]
    return found


@needs_compose
@given(CLEAN, PATHS)
@example("${HOME:-x} $$ \"'\\ # : %", "a b$HOME")
@FEW
def test_compose_reads_back_the_server(remotes: str, folder: str) -> None:
    given = {"ollama_env": {"OLLAMA_REMOTES": remotes}, "ollama_models_dir": f"/srv/{folder}"}
    known, _ = parse("h", {"ollama_runtime": "docker", **given})
    assume(known is not None)
    assert known is not None
    facts = render.neutral("h")
    [text] = [text for path, text in render.files(known, facts).items() if path.endswith("compose.yaml")]
    read = composed(text)
    assert set(read) == {"ollama"}
    server = read["ollama"]
    assert isinstance(server, dict)
    assert str(server["environment"]["OLLAMA_REMOTES"]).replace("$$", "$") == remotes
    binds = [str(row["source"]).replace("$$", "$") for row in server["volumes"] if row["type"] == "bind"]
    assert binds == [known.ollama_models_dir]
    assert not {"privileged", "pid", "network_mode"} & set(server)


@needs_compose
@given(st.from_regex(r"[a-z./]{1,12}:[0-9a-z]{1,4}", fullmatch=True), st.sampled_from(["10.0.0.5", "fd00::5"]))
@FEW
def test_compose_reads_back_the_mirror(image: str, bind: str) -> None:
    given = {"mirror_nginx_image": image, "mirror_bind": bind}
    known, _ = parse("h", {"mirror_runtime": "docker", **given})
    assume(known is not None)
    assert known is not None
    read = composed(next(file.text for file in mirror_state.of(known).files if file.id == "mirror/compose"))
    assert set(read) == {"nginx", "registry"}
    nginx = read["nginx"]
    assert isinstance(nginx, dict)
    assert nginx["image"] == image
    assert "privileged" not in nginx
