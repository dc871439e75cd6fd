"""reaper_uninstall removes what the manifest lists, keeps what changed, and leaves the rest of a host alone."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import modern_store

from .conftest import Module

RECORD = Module("reaper_manifest")


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def snapshot(root: Path) -> dict[str, str]:
    found = {}
    for directory, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(directory, name)
            found[str(path)] = os.readlink(path) if path.is_symlink() else "" if path.is_dir() else path.read_text()
    return found


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A bare host: something of somebody else in every place that we use."""
    root = tmp_path / "host"
    for name in ("etc/systemd/system/other.service", "var/lib/other/data", "etc/fstab"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("foreign")
    return root


def install(host: Path) -> dict[str, Any]:
    """What `up` does to a host of runtime systemd, in small."""
    unit, dropin = host / "etc/systemd/system/ollama.service", host / "etc/systemd/system/ollama.service.d/10.conf"
    state, opt, link = host / "var/lib/ollama", host / "opt/ollama", host / "usr/bin/ollama"
    entries = {
        "files": {str(unit): None, str(dropin): None},
        "links": {str(link): str(opt / "current/bin/ollama")},
        "directories": [str(dropin.parent), str(opt)],
        "state": [str(state)],
        "models": [str(state / "models")],
        "releases": [str(opt)],
    }
    manifest = str(host / "var/lib/reaper_ops/manifest.json")
    RECORD(path=manifest, phase="intended", entries=entries)
    for path in (unit, dropin):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# reaper_ops {path.name}")
        entries["files"][str(path)] = sha(path)
    program = opt / "1.0.0/bin/ollama"
    program.parent.mkdir(parents=True)
    program.write_text("program")
    (opt / "1.0.0/.reaper_ops.json").write_text(json.dumps({"archives": {}}))
    os.symlink("1.0.0", opt / "current")
    link.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(opt / "current/bin/ollama", link)
    for name in ("models/blobs/sha256-x", "models/manifests/r/l/m/t", ".ollama/id_ed25519"):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text("x")
    RECORD(path=manifest, phase="done", entries=entries)
    (Path(manifest).parent / "pulls.json").write_text("{}")
    (Path(manifest).parent / "pull.lock").write_text("")
    return {"path": manifest}


def without_empty(tree: dict[str, str], *folders: Path) -> dict[str, str]:
    return {name: text for name, text in tree.items() if name not in {str(folder) for folder in folders}}


def test_no_residue_with_models_purged(module: Any, host: Path) -> None:
    before = snapshot(host)
    args = install(host)
    done = module.predicted(**args, purge_models=True)
    assert done["kept"] == []
    assert without_empty(snapshot(host), host / "opt", host / "usr", host / "usr/bin") == before
    assert not module(**args)["changed"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"packages": ["vim"]}, "packages vim: was not shown"),
        ({"files": {"/etc/other": None}}, "files /etc/other: was not shown"),
        ({"links": {"/usr/bin/ollama": "/elsewhere"}}, "links /usr/bin/ollama: was not shown"),
    ],
)
def test_more_than_was_shown_is_not_removed(module: Any, host: Path, change: dict[str, Any], told: str) -> None:
    args = install(host)
    shown = json.loads(Path(args["path"]).read_text())
    kinds = {kind: ({**shown[kind], **more} if kind in {"files", "links"} else more) for kind, more in change.items()}
    Path(args["path"]).write_text(json.dumps({**shown, **kinds}))
    before = snapshot(host)
    done = module(**args, shown=shown)
    assert (done["changed"], done["removed"], done["withheld"]) == (False, [], [told])
    assert snapshot(host) == before


def test_what_was_there_before_us_is_no_more_said_to_be_so(module: Any, host: Path) -> None:
    args = install(host)
    now = json.loads(Path(args["path"]).read_text())
    done = module(**args, shown={**now, "existed": [*now["existed"], "directories /srv"]})
    assert done["withheld"] == ["directories /srv: existed before reaper_ops, and the manifest no longer says so"]


def test_as_much_or_less_than_was_shown_is_removed(module: Any, host: Path) -> None:
    args = install(host)
    now = json.loads(Path(args["path"]).read_text())
    done = module(**args, shown={**now, "packages": ["vim"]})
    assert (done["withheld"], bool(done["removed"]), done["manifest"]) == ([], True, now)


def test_a_directory_that_server_and_mirror_share_goes_with_the_last_of_them(module: Any, host: Path) -> None:
    shared = host / "etc/reaper_ops"
    manifests = []
    for name in ("server", "mirror"):
        file = shared / name / "file"
        manifests.append(str(host / "var/lib" / name / "manifest.json"))
        entries = {"files": {str(file): None}, "directories": [str(file.parent)]}
        RECORD(path=manifests[-1], phase="intended", entries=entries)
        file.parent.mkdir(parents=True)
        file.write_text("reaper_ops")
        RECORD(path=manifests[-1], phase="done", entries=entries)
    assert module.predicted(path=manifests[0])["kept"] == []
    assert sorted(path.name for path in shared.iterdir()) == ["mirror"]
    assert module.predicted(path=manifests[1])["kept"] == []
    assert not shared.exists()


def store(host: Path, **models: str) -> Path:
    """A store with a model for each name: its manifest names its own blob, and one that all share."""
    top = host / "var/lib/ollama/models"
    for name, blob in models.items():
        layers = [{"digest": f"sha256:{blob}"}, {"digest": "sha256:shared"}]
        (top / "manifests/r/l" / name).mkdir(parents=True, exist_ok=True)
        (top / "manifests/r/l" / name / "latest").write_text(json.dumps({"layers": layers}))
        (top / "blobs").mkdir(exist_ok=True)
        for digest in (blob, "shared"):
            (top / f"blobs/sha256-{digest}").write_text(digest)
    return top


def test_models_that_were_there_before_are_never_purged(module: Any, host: Path) -> None:
    top = store(host, theirs="a")
    before = snapshot(top)
    args = install(host)
    store(host, ours="b")
    done = module.predicted(**args, purge_models=True)
    assert any("existed before reaper_ops" in line for line in done["kept"]), done["kept"]
    assert snapshot(top) == before


def test_models_in_the_layout_of_0_40_that_were_there_before_are_never_purged(module: Any, host: Path) -> None:
    top = host / "var/lib/ollama/models"
    modern_store.migrated(top, "theirs")
    before = snapshot(top)
    args = install(host)
    modern_store.migrated(top, "ours", "other weights")
    assert len(snapshot(top)) > len(before)
    module.predicted(**args, purge_models=True)
    assert snapshot(top) == before


def test_a_store_in_the_layout_of_0_40_that_is_ours_goes_whole(module: Any, host: Path) -> None:
    before = snapshot(host)
    args = install(host)
    modern_store.migrated(host / "var/lib/ollama/models", "ours")
    assert module.predicted(**args, purge_models=True)["kept"] == []
    assert without_empty(snapshot(host), host / "opt", host / "usr", host / "usr/bin") == before


def test_a_model_of_theirs_that_was_updated_since_keeps_the_blobs_that_it_names_now(module: Any, host: Path) -> None:
    top = store(host, theirs="a")
    args = install(host)
    store(host, theirs="newer")
    module(**args, purge_models=True)
    assert {path.name for path in (top / "blobs").iterdir()} == {"sha256-a", "sha256-newer", "sha256-shared"}


def test_what_an_earlier_down_left_is_ours_and_what_came_meanwhile_is_not(module: Any, host: Path) -> None:
    args = install(host)
    module(**args)
    top = store(host, meanwhile="c")
    install(host)
    module(**args, purge_models=True)
    assert {path.name for path in (top / "blobs").iterdir()} == {"sha256-c", "sha256-shared"}


def test_models_stay_unless_asked_and_a_later_round_purges_them(module: Any, host: Path) -> None:
    before = snapshot(host)
    args = install(host)
    done = module.predicted(**args)
    assert [line.split(":")[0] for line in done["kept"]] == [f"models {host}/var/lib/ollama/models"]
    assert (host / "var/lib/ollama/models/blobs/sha256-x").exists()
    assert not (host / "var/lib/ollama/.ollama").exists()
    assert os.listdir(host / "var/lib/reaper_ops") == ["before.json"]
    install(host)
    module.predicted(**args, purge_models=True)
    assert without_empty(snapshot(host), host / "opt", host / "usr", host / "usr/bin") == before


def test_a_file_of_the_run_before_goes_when_the_last_run_broke_off(module: Any, host: Path) -> None:
    args = install(host)
    unit = host / "etc/systemd/system/ollama.service"
    RECORD(path=args["path"], phase="intended", entries={"files": {str(unit): "f" * 64}})
    done = module.predicted(**args, purge_models=True)
    assert done["kept"] == []
    assert not unit.exists()


def test_a_package_that_was_there_before_stays(module: Any, host: Path) -> None:
    path = host / "manifest.json"
    manifest = {"schema": 1, "state": "done", "packages": ["bash"], "existed": ["packages bash"]}
    path.write_text(json.dumps(manifest))
    assert module(path=str(path), check=True)["removed"] == []


def test_changed_file_is_kept_and_stays_in_the_manifest(module: Any, host: Path) -> None:
    args = install(host)
    unit = host / "etc/systemd/system/ollama.service"
    unit.write_text("# reaper_ops, edited by an operator")
    done = module.predicted(**args)
    assert any(f"file {unit}: was changed" in line for line in done["kept"])
    assert json.loads(Path(args["path"]).read_text())["files"].keys() == {str(unit)}
    forced = module.predicted(**args, force=True)
    assert f"file {unit}" in forced["removed"]
    assert not unit.exists()
    assert not Path(args["path"]).exists()


def test_foreign_things_in_our_places_are_kept(module: Any, host: Path) -> None:
    args = install(host)
    (host / "var/lib/ollama/notes").write_text("mine")
    (host / "opt/ollama/2.0.0").mkdir()
    (host / "opt/ollama/2.0.0/built-by-hand").write_text("mine")
    link = host / "usr/bin/ollama"
    link.unlink()
    os.symlink("/somewhere", link)
    done = module.predicted(**args, purge_models=True)
    text = "\n".join(done["kept"])
    assert "notes" in text
    assert "now points elsewhere" in text
    assert (host / "var/lib/ollama/notes").exists()
    assert (host / "opt/ollama/2.0.0/built-by-hand").exists()
    assert link.is_symlink()


def test_what_was_there_before_stays(module: Any, host: Path) -> None:
    conf = host / "etc/systemd/zram-generator.conf"
    conf.write_text("[zram0]")
    path = str(host / "manifest.json")
    RECORD(path=path, phase="intended", entries={"files": {str(conf): "0" * 64}})
    done = module.predicted(path=path)
    assert done["removed"] == []
    assert "existed before" in done["kept"][0]
    assert conf.exists()


def test_json_keys_go_only_with_our_value(module: Any, host: Path) -> None:
    daemon, path = host / "etc/docker/daemon.json", str(host / "manifest.json")
    daemon.parent.mkdir()
    daemon.write_text('{"log-driver": "local", "features": {"cdi": true}}')
    entries = {"json": {str(daemon): ["runtimes/nvidia", "features/cdi", "features/more"]}}
    RECORD(path=path, phase="intended", entries=entries)
    ours = {"log-driver": "local", "features": {"cdi": True, "more": 1}, "runtimes": {"nvidia": {"path": "x"}}}
    daemon.write_text(json.dumps(ours))
    RECORD(path=path, phase="done", entries=entries)
    daemon.write_text(json.dumps({**ours, "features": {"cdi": True, "more": 2}}))
    done = module.predicted(path=path)
    assert json.loads(daemon.read_text()) == {"log-driver": "local", "features": {"cdi": True, "more": 2}}
    assert "features/more: was changed" in done["kept"][0]


def test_json_file_that_we_made_goes_when_empty(module: Any, host: Path) -> None:
    daemon, path = host / "etc/docker/daemon.json", str(host / "manifest.json")
    entries = {"json": {str(daemon): ["features/cdi"]}, "directories": [str(daemon.parent)]}
    RECORD(path=path, phase="intended", entries=entries)
    daemon.parent.mkdir()
    daemon.write_text('{"features": {"cdi": true}}')
    RECORD(path=path, phase="done", entries=entries)
    module.predicted(path=path)
    assert not daemon.parent.exists()


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


def test_process_runtime_leaves_nothing(module: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    spec, program = home / "env.json", home / "bin" / "ollama"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nwhile :; do sleep 1; done\n")
    program.chmod(0o755)
    log, pid = home / "ollama.log", home / "ollama.pid"
    spec.write_text(json.dumps({"argv": [str(program), "serve"], "environment": {}, "log": str(log), "pid": str(pid)}))
    running = Module("ollama_process")(spec=str(spec))["pid"]
    log.with_name("ollama.log.1").write_text("old")
    entries = {
        "files": {str(name): None for name in (spec, log, pid, program)},
        "processes": [str(spec)],
        "directories": [str(home)],
        "models": [str(home / "models")],
    }
    manifest = home / "reaper_ops/manifest.json"
    manifest.parent.mkdir()
    manifest.write_text(json.dumps({"state": "done", **entries}))
    done = module.predicted(path=str(manifest))
    assert done["removed"][0] == f"process {spec}"
    assert done["kept"] == []
    assert not alive(running)
    assert not home.exists()


@pytest.mark.parametrize("before", [True, False])
def test_keys_of_the_server_go_unless_they_were_there_before(module: Any, tmp_path: Path, before: bool) -> None:
    home, path = tmp_path / "home", str(tmp_path / "m.json")
    key = home / ".ollama" / "id_ed25519"
    key.parent.mkdir(parents=True)
    (home / "notes").write_text("mine")
    if not before:
        key.parent.rmdir()
    RECORD(path=path, phase="intended", entries={"directories": [str(home)], "models": [str(home / "models")]})
    for name in (key, home / "models" / "blobs" / "x"):
        name.parent.mkdir(parents=True, exist_ok=True)
    key.write_text("secret")
    module.predicted(path=path)
    assert key.exists() == before
    assert (home / "notes").exists()
    assert not (home / "models" / "blobs").exists()


FAKE = """#!{python}
import json, os, sys
state = {state!r}
line = " ".join([os.path.basename(sys.argv[0])] + sys.argv[1:])
open(state + "/calls", "a").write(line + "\\n")
answers = json.load(open(state + "/answers"))
for start in sorted(answers, key=len, reverse=True):
    if line.startswith(start):
        sys.stdout.write(answers[start][1])
        sys.exit(answers[start][0])
"""


def fakes(tmp_path: Path, answers: dict[str, tuple[int, str]], *names: str) -> dict[str, str]:
    folder = tmp_path / "fakes"
    folder.mkdir()
    for name in names:
        (folder / name).write_text(FAKE.format(python=sys.executable, state=str(tmp_path)))
        (folder / name).chmod(0o755)
    (tmp_path / "answers").write_text(json.dumps(answers))
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines()


def test_units_projects_and_packages_through_their_tools(module: Any, tmp_path: Path) -> None:
    env = fakes(
        tmp_path,
        {
            "systemctl show": (0, "ActiveState=active\nUnitFileState=enabled\n"),
            "docker volume ls": (0, ""),
            "docker ps -aq": (0, ""),
            "docker ps -a -q --filter": (0, "c1\n"),
            "dpkg-query": (0, "ii  docker.io\nii  runc\nii  zstd\nii  keeper\n"),
            "apt-get -s -q remove docker.io runc zstd": (0, "Remv docker.io\nRemv runc\nRemv zstd\nRemv keeper\n"),
            "apt-get -s -q remove zstd": (0, "Remv zstd\nRemv keeper\n"),
            "apt-get -s -q remove docker.io": (0, "Remv docker.io\n"),
            "apt-get -s -q remove runc": (0, "Remv runc\nRemv docker.io\n"),
            "apt-get -s -q remove docker.io runc ": (0, "Remv runc\nRemv docker.io\n"),
        },
        *("systemctl", "docker", "dpkg-query", "apt-get"),
    )
    manifest = tmp_path / "m.json"
    entries = {
        "units": ["ollama.service"],
        "projects": {"reaper_ops": str(tmp_path / "compose.yaml")},
        "volumes": ["reaper_ops_ollama"],
        "packages": ["docker.io", "runc", "zstd"],
    }
    manifest.write_text(json.dumps({"state": "done", **entries}))
    done = module(path=str(manifest), env=env)
    made = calls(tmp_path)
    assert "systemctl disable --now ollama.service" in made
    assert "docker compose -p reaper_ops down --remove-orphans" in made
    assert not any("volume rm" in line for line in made)
    assert "apt-get -y -q purge docker.io runc" in made
    assert done["removed"][:2] == ["unit ollama.service", "project reaper_ops"]
    kept = "\n".join(done["kept"])
    assert "volume reaper_ops_ollama: holds the models" in kept
    assert "package zstd: another package needs it" in kept
    assert json.loads(manifest.read_text())["packages"] == ["zstd"]


def test_engine_with_other_things_in_it_stays(module: Any, tmp_path: Path) -> None:
    env = fakes(
        tmp_path,
        {"docker volume ls": (0, "theirs\n"), "docker": (0, ""), "dpkg-query": (0, "ii  docker.io\n")},
        *("docker", "dpkg-query", "apt-get"),
    )
    manifest = tmp_path / "m.json"
    manifest.write_text(json.dumps({"packages": ["docker.io"]}))
    done = module(path=str(manifest), env=env)
    assert done["kept"] == ["package docker.io: Docker still holds 1 volumes"]
    assert not any("purge" in line for line in calls(tmp_path))


def test_silent_engine_keeps_what_is_in_it_for_later(module: Any, tmp_path: Path) -> None:
    env = fakes(tmp_path, {"docker": (1, "Cannot connect")}, "docker")
    manifest = tmp_path / "m.json"
    manifest.write_text(json.dumps({"projects": {"p": "/f"}, "volumes": ["v"]}))
    done = module(path=str(manifest), env=env)
    assert len(done["kept"]) == 2
    assert "does not answer" in done["kept"][0]
    assert json.loads(manifest.read_text())["projects"] == {"p": "/f"}


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: makes a system user")
def test_user_and_group_for_real(module: Any, tmp_path: Path) -> None:
    name, path = "reaperopstest", str(tmp_path / "m.json")
    RECORD(path=path, phase="intended", entries={"users": [name], "groups": [name]})
    subprocess.run(["useradd", "--system", "--user-group", "--no-create-home", name], check=True)
    try:
        done = module.predicted(path=path)
        assert done["removed"] == [f"user {name}", f"group {name}"]
        assert subprocess.run(["id", name], capture_output=True).returncode != 0
    finally:
        subprocess.run(["userdel", name], capture_output=True)


def test_no_manifest_means_nothing_to_do(module: Any, tmp_path: Path) -> None:
    assert not module(path=str(tmp_path / "none.json"))["changed"]


NAMES = st.lists(st.sampled_from(["a", "b", "c/d", "c/e", "f/g/h"]), unique=True, max_size=5)


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(foreign=NAMES, ours=NAMES, edited=NAMES)
def test_round_trip_gives_the_host_back(
    tmp_path_factory: pytest.TempPathFactory, foreign: list[str], ours: list[str], edited: list[str]
) -> None:
    root = tmp_path_factory.mktemp("host")
    for name in foreign:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("foreign")
    before, path = snapshot(root), str(root / "m.json")
    new = [name for name in ours if name not in foreign]
    folders = {str((root / name).parent) for name in ours} | {str(root / "f")}
    entries = {"files": {str(root / n): hashlib.sha256(b"ours").hexdigest() for n in ours}, "directories": [*folders]}
    RECORD(path=path, phase="intended", entries=entries)
    for name in new:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("ours")
    RECORD(path=path, phase="done", entries=entries)
    touched = [name for name in edited if name in new]
    for name in touched:
        (root / name).write_text("edited")
    Module("reaper_uninstall")(path=path)
    after = snapshot(root)
    kept = {str(root / name): "edited" for name in touched}
    files = {name: text for name, text in after.items() if text and not name.endswith(("m.json", "before.json"))}
    assert files == {**{name: text for name, text in before.items() if text}, **kept}
    assert os.path.exists(path) == bool(touched)


@pytest.mark.parametrize(
    ("was", "wanted"),
    [
        (("active", "enabled"), ["systemctl daemon-reload", "systemctl restart ollama.service"]),
        (("inactive", "disabled"), ["systemctl disable ollama.service", "systemctl stop ollama.service"]),
    ],
)
def test_a_unit_that_was_taken_over_is_given_back_before_the_release_goes(
    module: Any, tmp_path: Path, was: tuple[str, str], wanted: list[str]
) -> None:
    dropin, opt = tmp_path / "ollama.service.d/zz-reaper_ops.conf", tmp_path / "opt"
    show = {"systemctl show": (0, f"ActiveState={was[0]}\nUnitFileState={was[1]}\n")}
    env = fakes(tmp_path, show, "systemctl")
    manifest = str(tmp_path / "state/manifest.json")
    entries = {"adopted": {"ollama.service": None}, "files": {str(dropin): None}, "releases": [str(opt)]}
    RECORD(path=manifest, phase="intended", entries=entries, env=env)
    dropin.parent.mkdir()
    dropin.write_text("# reaper_ops")
    entries["files"][str(dropin)] = sha(dropin)
    (opt / "1.0.0").mkdir(parents=True)
    (opt / "1.0.0/.reaper_ops.json").write_text(json.dumps({"archives": {}}))
    (tmp_path / "answers").write_text(
        json.dumps({"systemctl show": [0, "ActiveState=active\nUnitFileState=enabled\n"]})
    )
    RECORD(path=manifest, phase="done", entries=entries, env=env)
    (tmp_path / "calls").write_text("")
    done = module(path=manifest, env=env)
    assert not dropin.exists()
    assert not (opt / "1.0.0").exists()
    assert [line for line in calls(tmp_path) if line in wanted] == wanted
    assert done["removed"].index("adopted unit ollama.service") < done["removed"].index(f"release {opt}")


def test_settings_of_ours_that_somebody_edited_keep_what_the_server_runs_from(module: Any, tmp_path: Path) -> None:
    dropin, opt = tmp_path / "ollama.service.d/zz-reaper_ops.conf", tmp_path / "opt"
    env = fakes(tmp_path, {"systemctl show": (0, "ActiveState=active\nUnitFileState=enabled\n")}, "systemctl")
    manifest = str(tmp_path / "state/manifest.json")
    entries = {"adopted": {"ollama.service": None}, "files": {str(dropin): "0" * 64}, "releases": [str(opt)]}
    RECORD(path=manifest, phase="done", entries=entries, env=env)
    dropin.parent.mkdir()
    dropin.write_text("edited")
    (opt / "1.0.0").mkdir(parents=True)
    (opt / "1.0.0/.reaper_ops.json").write_text(json.dumps({"archives": {}}))
    done = module(path=manifest, env=env)
    assert (opt / "1.0.0").exists()
    assert [line.split(":")[0] for line in done["kept"]] == [
        f"file {dropin}",
        "adopted unit ollama.service",
        f"release {opt}",
    ]


def test_an_empty_directory_that_was_given_to_the_server_is_its_owners_again(module: Any, tmp_path: Path) -> None:
    place, manifest = tmp_path / "data/models", str(tmp_path / "state/manifest.json")
    place.mkdir(parents=True, mode=0o750)
    place.chmod(0o750)
    entries = {"directories": [str(place)], "models": [str(place)]}
    RECORD(path=manifest, phase="intended", entries=entries)
    place.chmod(0o755)
    (place / "blobs").mkdir()
    (place / "blobs/sha256-x").write_text("x")
    RECORD(path=manifest, phase="done", entries=entries)
    done = module(path=manifest)
    assert any("still belongs to the server" in line for line in done["kept"])
    assert place.stat().st_mode & 0o777 == 0o755
    RECORD(path=manifest, phase="intended", entries=entries)
    module(path=manifest, purge_models=True)
    assert list(place.iterdir()) == []


def test_owner_and_mode_of_a_directory_that_stays_are_given_back_once_it_is_empty(module: Any, tmp_path: Path) -> None:
    place, manifest = tmp_path / "data/models", str(tmp_path / "state/manifest.json")
    place.mkdir(parents=True)
    place.chmod(0o750)
    entries = {"directories": [str(place)], "models": [str(place)]}
    RECORD(path=manifest, phase="intended", entries=entries)
    place.chmod(0o755)
    (place / "blobs").mkdir()
    (place / "blobs/sha256-x").write_text("x")
    RECORD(path=manifest, phase="done", entries=entries)
    assert module(path=manifest, purge_models=True)["kept"] == []
    assert place.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("purge", [True, False])
def test_a_home_that_was_there_has_its_mode_again_and_no_store_of_ours(
    module: Any, tmp_path: Path, purge: bool
) -> None:
    """systemd gives the state directory of a service a mode of its own."""
    home, manifest = tmp_path / "home", str(tmp_path / "state/manifest.json")
    home.mkdir()
    home.chmod(0o755)
    (home / "own.txt").write_text("mine")
    entries = {"homes": [str(home)], "models": [str(home / "models")]}
    RECORD(path=manifest, phase="intended", entries=entries)
    home.chmod(0o750)
    (home / "models/blobs").mkdir(parents=True)
    (home / "models/blobs/sha256-x").write_text("x")
    RECORD(path=manifest, phase="done", entries=entries)
    module(path=manifest, purge_models=purge)
    assert home.stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in home.iterdir()) == (["own.txt"] if purge else ["models", "own.txt"])
    if not purge:
        RECORD(path=manifest, phase="intended", entries=entries)
        module(path=manifest, purge_models=True)
        assert [path.name for path in home.iterdir()] == ["own.txt"]


def test_an_empty_store_that_was_there_stays(module: Any, tmp_path: Path) -> None:
    home, manifest = tmp_path / "home", str(tmp_path / "state/manifest.json")
    (home / "models").mkdir(parents=True)
    (home / "own.txt").write_text("mine")
    RECORD(path=manifest, phase="intended", entries={"homes": [str(home)], "models": [str(home / "models")]})
    module(path=manifest, purge_models=True)
    assert (home / "models").is_dir()


def test_a_home_that_holds_the_manifest_goes_with_it(tmp_path: Path, module: Any) -> None:
    home = tmp_path / "home"
    manifest = str(home / "reaper_ops/manifest.json")
    entries = {"directories": [str(home)], "models": [str(home / "models")]}
    RECORD(path=manifest, phase="intended", entries=entries)
    (home / "models/blobs").mkdir(parents=True)
    (home / "models/blobs/sha256-x").write_text("x")
    for name in ("pulls.json", "pull.lock"):
        (home / "reaper_ops" / name).write_text("{}")
    RECORD(path=manifest, phase="done", entries=entries)
    assert module(path=manifest, purge_models=True)["kept"] == []
    assert not home.exists()
