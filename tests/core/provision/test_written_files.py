"""Whatever value is accepted, the program that reads the file finds that value in it, and no key more."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import Phase, assume, example, given, settings
from hypothesis import strategies as st

from reaper_ops.core.inventory.settings import Settings, parse
from reaper_ops.core.mirror import desired_state
from reaper_ops.core.monitoring import files as monitoring
from reaper_ops.core.monitoring.desired_state import parse as parse_monitoring
from reaper_ops.core.provision import render
from reaper_ops.errors import ReaperError

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
SIGNS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F))]
SIGNS += [chr(code) for code in (*range(0x2066, 0x206A), 0xFEFF, 0xFFFE, 0xFFFF, 0xD800, 0xDFFF)]
NASTY = "\"'\\%$#:{}[],&*!|>-?@` \t\n\r\x00\x1b\x7f\x85\u2028\u2029\u202e\ufeffäß🦙;{{}}"
TEXT = st.text(st.one_of(st.sampled_from(NASTY), st.characters(codec="utf-8")), max_size=24)
"""As people write it, and as nobody should."""
CLEAN = st.text(
    st.one_of(
        st.sampled_from([sign for sign in NASTY if sign not in SIGNS]),
        st.characters(codec="utf-8", exclude_characters=SIGNS),
    ),
    max_size=24,
)
PATHS = CLEAN.map(lambda text: re.sub("[\"']", "-", text))


def kinds(name: str) -> list[Any]:
    """How a text can come in through a setting, with `%s` for the text; none for numbers and choices."""
    empty = getattr(Settings(), name)
    if isinstance(empty, tuple):
        return [["%s"], "JSON"]
    if isinstance(empty, dict):
        return [{"x": "%s"}, {"%s": 1}]
    return ["%s"] if isinstance(empty, str) or empty is None else []


def filled(kind: Any, text: str) -> Any:
    if kind == "JSON":
        return json.dumps([text])
    if isinstance(kind, dict):
        return {key.replace("%s", text): value if value == 1 else text for key, value in kind.items()}
    return [text] if isinstance(kind, list) else text


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if kinds(name)])
def test_no_setting_takes_a_sign_that_ends_a_line_or_turns_it(name: str) -> None:
    for kind in kinds(name):
        for sign in SIGNS:
            found, errors = parse("h", {name: filled(kind, f"a{sign}b")})
            assert found is None, (kind, sign)
            assert any(error.place.startswith(f"h/{name}") for error in errors)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ollama_bind", "fe80::1%eth0"),
        ("mirror_bind", "fe80::1%25"),
        ("mirror_bind", "[fe80::1%x]"),
        ("mirror_allow", ["fe80::1%eth0"]),
        ("mirror_push_allow", ["fe80::%a/64"]),
        ("mirror_resolvers", ["[fe80::1%eth0]"]),
        ("mirror_resolvers", ["999.1.1.1"]),
        ("mirror_upstream", "http://[fe80::1%eth0]"),
        ("mirror_upstream", "http://r:99999"),
        ("mirror_sources", {"r:70000": 81}),
        ("ollama_base_url", "http://[fe80::1%25eth0]:1"),
        ("ollama_https_proxy", "http://[fe80::1%eth0]:1"),
    ],
)
def test_addresses_have_no_zone(name: str, value: Any) -> None:
    found, errors = parse("h", {name: value, "exposure": "open"})
    assert found is None
    assert errors[0].place.startswith(f"h/{name}")


IMAGES = st.one_of(
    st.just("docker.io/library/nginx:1.28.0"), st.from_regex(r"[a-z./:@-]{1,20}:[0-9a-z]{1,4}", fullmatch=True), TEXT
)


@given(IMAGES, IMAGES, st.sampled_from(["10.0.0.5", "::", "fd00::5", "fe80::1%x"]))
@example("nginx:1\u2028    privileged: true", "registry:1\x85    pid: host", "10.0.0.5")
@example("nginx:1 # x", "registry:1,x: y", 'fe80::1%"\u2028    pid: host')
@settings(max_examples=150)
def test_compose_of_the_mirror(nginx: str, registry: str, bind: str) -> None:
    given = {"mirror_nginx_image": nginx, "mirror_registry_image": registry, "mirror_bind": bind}
    known, _ = parse("h", {"mirror_runtime": "docker", **given})
    assume(known is not None)
    read, plain = compose_of(known), compose_of(Settings(mirror_runtime="docker", mirror_bind="10.0.0.5"))
    assert {name: row["image"] for name, row in read["services"].items()} == {"nginx": nginx, "registry": registry}
    assert shape(read) == shape(plain)


def compose_of(known: Settings) -> Any:
    return yaml.safe_load(next(file.text for file in desired_state.of(known).files if file.id == "mirror/compose"))


def shape(value: Any) -> Any:
    """Keys and lengths, without the values."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    return [shape(part) for part in value] if isinstance(value, list) else type(value)


@given(CLEAN, PATHS, CLEAN)
@example('a"b', "%h$X", "\\")
@example("a\u2028b", "\x85x: y", "\u202e")
@settings(max_examples=150)
def test_compose_of_the_server(remotes: str, folder: str, no_proxy: str) -> None:
    given = {
        "ollama_env": {"OLLAMA_REMOTES": remotes},
        "ollama_no_proxy": [no_proxy],
        "ollama_https_proxy": "http://p:1",
    }
    given["ollama_models_dir"] = f"/srv/{folder}"
    known, _ = parse("h", {"ollama_runtime": "docker", **given})
    assume(known is not None)
    context = render.context(known, render.neutral("h"))
    [target] = [one for one in render.targets(known, render.neutral("h")) if one.id == "ollama/compose"]
    read = yaml.safe_load(render.text(target, context))["services"]["ollama"]
    environment = {name: str(value).replace("$$", "$") for name, value in read["environment"].items()}
    assert environment == {name: str(value) for name, value in context["environment"].items()}
    assert environment["OLLAMA_REMOTES"] == remotes
    binds = [row["source"] for row in read["volumes"] if row["type"] == "bind"]
    assert binds == [str(known.ollama_models_dir).replace("$", "$$")]
    assert "privileged" not in read


@given(CLEAN, PATHS)
@settings(max_examples=100)
def test_json_of_a_plain_process(remotes: str, home: str) -> None:
    given = {"ollama_env": {"OLLAMA_REMOTES": remotes}, "ollama_home": f"/srv/{home}", "ollama_runtime": "process"}
    known, _ = parse("h", given)
    assume(known is not None)
    facts = render.neutral("h")
    context = render.context(known, facts)
    [text] = [render.text(one, context) for one in render.targets(known, facts) if one.template.endswith("env.json.j2")]
    read = json.loads(text)
    assert set(read) == {"_", "argv", "cwd", "log", "pid", "environment"}
    assert read["environment"] == context["environment"]
    assert read["environment"]["OLLAMA_REMOTES"] == remotes
    assert read["cwd"] == known.ollama_home


SYSTEMD = Path("/usr/lib/systemd/systemd")
STUBS = ("sysinit", "basic", "shutdown", "multi-user", "network-online")


def dumped(folder: Path, unit: str) -> str:
    """What systemd itself made of the unit."""
    argv = [str(SYSTEMD), "--test", "--system", "--no-pager", f"--unit={unit}"]
    if os.geteuid() == 0:
        argv = ["setpriv", "--reuid=65534", "--clear-groups", *argv]
    env = {"PATH": PATH, "SYSTEMD_UNIT_PATH": str(folder), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(argv, capture_output=True, check=False, env=env)
    text = (done.stdout + done.stderr).decode("utf-8", "surrogateescape")
    return text.partition(f"\t-> Unit {unit}:\n")[2].partition("\n\t-> Unit ")[0]


@pytest.mark.skipif(not SYSTEMD.exists(), reason="systemd is not on this machine")
@given(st.lists(CLEAN, min_size=60, max_size=60))
@settings(max_examples=3, phases=[Phase.generate])
def test_systemd_reads_back_what_was_meant(values: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        read_back(Path(name), values)


def read_back(folder: Path, values: list[str]) -> None:
    for stub in STUBS:
        (folder / f"{stub}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    wanted, lines = {}, []
    for number, value in enumerate(values):
        known, _ = parse("h", {"ollama_env": {"OLLAMA_REMOTES": value}})
        if known is None:
            continue
        context = render.context(known, render.neutral("h"))
        [line] = [word for word in context["words"]["systemd"] if "OLLAMA_REMOTES" in word]
        lines.append("Environment=" + line.replace("OLLAMA_REMOTES", f"N{number}", 1))
        wanted[f"N{number}"] = value
    text = "\n".join(["[Service]", "Type=oneshot", "ExecStart=/bin/true", *lines, ""])
    (folder / "t.service").write_text(text)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    read = dict(re.findall(r"^\t\tEnvironment: (N\d+)=(.*)$", dumped(folder, "t.service"), re.MULTILINE))
    assert read == wanted
    assert len(read) > len(values) / 2


def token(text: str, name: str) -> list[str]:
    return re.findall(rf"^\s*{name} ([^;]*);$", text, re.MULTILINE)


REGISTRY = st.from_regex(r"[A-Za-z0-9_.-]{1,12}(:[0-9]{1,5})?", fullmatch=True)
PORTS = st.integers(1, 65535)
NETWORKS = st.one_of(
    st.ip_addresses(network="10.0.0.0/8").map(str), st.sampled_from(["fd00::/8", "10.0.0.0/8", "::/0"])
)


@pytest.mark.skipif(shutil.which("nginx", path=PATH) is None, reason="nginx is not on this machine")
@given(st.data())
@settings(max_examples=8)
def test_nginx_takes_every_accepted_setting(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("n")
    ca = folder / "ca.pem"
    shutil.copyfile("/etc/ssl/certs/ca-certificates.crt", ca)
    given: dict[str, Any] = {
        "mirror_runtime": "process",
        "mirror_dir": str(folder),
        "mirror_bind": data.draw(st.sampled_from(["127.0.0.1", "::1", "0.0.0.0", "127.9.9.9"])),
        "mirror_port": data.draw(st.integers(1024, 65535)),
        "mirror_upstream": data.draw(st.one_of(st.just("none"), REGISTRY.map("https://{}".format))),
        "mirror_sources": data.draw(st.dictionaries(REGISTRY, PORTS, max_size=3)),
        "mirror_own_namespaces": data.draw(st.lists(st.from_regex(r"[\w-]{1,9}", fullmatch=True), max_size=2)),
        "mirror_allow": data.draw(st.lists(NETWORKS, max_size=3)),
        "mirror_push_allow": data.draw(st.lists(NETWORKS, max_size=2)),
        "mirror_resolvers": data.draw(
            st.lists(st.sampled_from(["10.0.0.1", "[fd00::1]:53", "1.1.1.1:5353"]), max_size=2)
        ),
        "mirror_slice": data.draw(st.integers(1 << 20, 1 << 30)),
        "mirror_rate": data.draw(st.one_of(st.none(), st.integers(1 << 20, 1 << 33))),
        "mirror_ca_file": str(ca),
    }
    known, _ = parse("h", given)
    assume(known is not None and "mirror_dir" in given)
    assert known is not None
    mirror = desired_state.of(known)
    for name in ("conf", "log", "tmp", "cache", "own", "sockets", "run"):
        Path(mirror.paths[name]).mkdir(parents=True, exist_ok=True)
    text = next(file.text for file in mirror.files if file.id == "mirror/nginx")
    Path(mirror.paths["nginx"]).write_text(text)
    argv = ["nginx", "-T", "-e", "stderr", "-c", mirror.paths["nginx"]]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={"PATH": PATH})
    hard = [line for line in done.stderr.splitlines() if "[emerg]" in line and "host not found" not in line]
    assert hard == []
    assert text in done.stdout or done.returncode != 0
    bind = f"[{known.mirror_bind}]" if ":" in str(known.mirror_bind) else known.mirror_bind
    ports = [known.mirror_port, *known.mirror_sources.values()]
    assert sorted(word for word in token(text, "listen") if "unix:" not in word) == sorted(f"{bind}:{p}" for p in ports)


@pytest.mark.parametrize("value", ["10\nkernel.core_pattern = |/bin/x", "1;x", "0x10", "\u0661", "1.5", "", " 1\x85"])
def test_files_of_numbers_take_numbers_only(value: str) -> None:
    known, _ = parse("h", {"swap_kind": "zram", "swap_swappiness": value})
    assert known is None


@given(st.integers(0, 200), st.integers(1 << 20, 1 << 40))
@settings(max_examples=20)
def test_sysctl_and_zram_have_these_keys(swappiness: int, size: int) -> None:
    known, facts = Settings(swap_kind="zram", swap_swappiness=swappiness, swap_size=size), render.neutral("h")
    context = render.context(known, facts)
    texts = {one.template: render.text(one, context) for one in render.targets(known, facts) if one.role == "swap"}
    rows = dict(line.split(" = ") for line in texts["swap/sysctl.conf.j2"].splitlines() if not line.startswith("#"))
    assert rows == {"vm.swappiness": str(swappiness), "vm.page-cluster": "0"}
    zram = configparser.ConfigParser()
    zram.read_string(texts["swap/zram-generator.conf.j2"])
    assert dict(zram["zram0"]) == {
        "zram-size": str(size >> 20),
        "compression-algorithm": "zstd",
        "swap-priority": "100",
    }


@given(TEXT, TEXT, TEXT)
@example("http://a/\u2028x", "127.0.0.1:9", "5m")
@settings(max_examples=150)
def test_prometheus_and_alertmanager_read_back(path: str, host: str, wait: str) -> None:
    given = {"webhook": f"http://a/{path}", "metrics": f"{host}:9434", "wait": wait or "5m"}
    given = {name: value for name, value in given.items() if accepted(name, value)}
    assume(given)
    known = parse_monitoring(given)
    read = yaml.safe_load(monitoring.alertmanager(known)["alertmanager.yml"])
    assert [row.get("webhook_configs", [{}])[0].get("url", "") for row in read["receivers"]] == [known.webhook]
    scraped = yaml.safe_load(monitoring.prometheus(known)["prometheus.yml"])["scrape_configs"]
    assert scraped[0]["static_configs"] == [{"targets": [known.metrics]}]
    assert set(read) == {"route", "inhibit_rules", "receivers"}


def accepted(name: str, value: str) -> bool:
    try:
        parse_monitoring({name: value})
    except ReaperError:
        return False
    return True
