"""The mirror's files by runtime, what differs on a host, and what is owned; no host is needed."""

from __future__ import annotations

import json

import pytest
import yaml

from reaper_ops.core.inventory.settings import Settings, parse
from reaper_ops.core.mirror import desired_state, plan, status
from reaper_ops.formats.mirror import mirror as formats

DISABLED = {"rc": 0, "stdout": "ActiveState=active\nUnitFileState=disabled"}


def settings(**more):
    return Settings(**{"mirror_runtime": "systemd", **more})


def answers(wanted, **files):
    mirror = desired_state.of(wanted, "/root", ("10.0.0.1",))
    texts = {
        key: {"content": file.text}
        for file, (_, _, key, _) in zip(mirror.files, desired_state.FILES[wanted.mirror_runtime], strict=True)
    }
    health = {"exchanges": [{"status": 200, "body": json.dumps({"config": mirror.config_hash})}]}
    packages = "ii  nginx\nii  docker-registry\nrc  nginx-full\n"
    units = {
        unit: {"rc": 0, "stdout": "ActiveState=active\nUnitFileState=enabled\n", "stderr": ""}
        for unit in desired_state.UNITS
    }
    return {
        "identity": {"home": "/root"},
        "resolv": {"content": "search lan\nnameserver 10.0.0.1\n"},
        "debian": {"content": "12.11\n"},
        "user": {"exists": True},
        "manifest": {"content": "{}"},
        "health": health,
        "packages": {"rc": 0, "stdout": packages, "stderr": ""},
        **units,
        **texts,
        **files,
    }


def todo(wanted, **files):
    return [(row["id"], row["target"]) for row in plan.for_role(wanted, answers(wanted, **files))["actions"]]


def test_converged_host_has_nothing_to_do():
    assert todo(settings()) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"packages": {"rc": 1, "stdout": "ii  nginx-light\n", "stderr": ""}}, ("mirror/packages", "docker-registry")),
        ({"user": {"exists": False}}, ("mirror/user", "reaper_mirror")),
        ({"nginx": {"content": "old"}}, ("mirror/nginx", "/etc/reaper_ops/mirror/nginx.conf")),
        ({"health": {"exchanges": [{"status": None}]}}, ("mirror/start", "http://127.0.0.1:80")),
        (
            {"health": {"exchanges": [{"status": 200, "body": '{"config":"x"}'}]}},
            ("mirror/start", "http://127.0.0.1:80"),
        ),
        ({"reaper_mirror.service": DISABLED}, ("mirror/enable", "reaper_mirror.service")),
    ],
)
def test_one_difference_is_one_action(change, expected):
    assert todo(settings(), **change) == [expected]


def test_fresh_host_gets_all_and_owns_only_that():
    wanted = settings()
    role = plan.for_role(wanted, {"debian": {"content": "13"}, "resolv": {"content": "nameserver 10.0.0.1"}})
    assert role["owned"]["packages"] == ["nginx", "docker-registry"]
    assert role["owned"]["users"] == role["owned"]["groups"] == ["reaper_mirror", "docker-registry"]
    assert set(role["owned"]["files"]) == {file["path"] for file in role["files"]}
    later = plan.for_role(wanted, answers(wanted))["owned"]
    assert (later["packages"], later["users"]) == ([], [])


def test_native_needs_debian():
    assert "docker" in plan.for_role(settings(), {})["blockers"][0]
    assert plan.for_role(settings(mirror_runtime="docker"), {})["blockers"] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("nameserver 10.0.0.1\nnameserver fd00::1\n", ["10.0.0.1", "[fd00::1]"]), ("# nothing\n", []), (None, [])],
)
def test_resolvers_are_those_of_the_host(text, expected):
    assert list(plan.read(settings(), {"resolv": {"content": text}}).resolvers) == expected


def test_compose_file_holds_both_programs():
    mirror = desired_state.of(settings(mirror_runtime="docker", mirror_sources={"hf.co": 8081}, mirror_bind="10.0.0.5"))
    compose = yaml.safe_load(next(file.text for file in mirror.files if file.id == "mirror/compose"))
    assert compose["services"]["nginx"]["ports"] == ["10.0.0.5:80:8000", "10.0.0.5:8081:8001"]
    assert compose["services"]["registry"]["network_mode"] == "none"
    nginx = next(file.text for file in mirror.files if file.id == "mirror/nginx")
    assert "listen 8000;" in nginx
    assert "resolver 127.0.0.11 " in nginx


def test_every_change_of_a_file_is_another_configuration():
    assert desired_state.of(settings()).config_hash != desired_state.of(settings(mirror_slice="8M")).config_hash
    image = settings(mirror_runtime="docker", mirror_nginx_image="nginx:1.29.1")
    assert desired_state.of(settings(mirror_runtime="docker")).config_hash != desired_state.of(image).config_hash


def test_tls_is_verified_by_default():
    nginx = desired_state.of(settings()).files[0].text
    assert "proxy_ssl_verify on;" in nginx
    assert 'set $registry "https://registry.ollama.ai";' in nginx


@pytest.mark.parametrize(
    ("variables", "place", "part"),
    [
        ({"mirror_runtime": "process"}, "mirror_port", "needs root"),
        ({"mirror_runtime": "systemd", "mirror_port": 11434}, "mirror_port", "Ollama"),
        ({"mirror_upstream": "registry.ollama.ai"}, "mirror_upstream", "https://"),
        ({"mirror_upstream": 'https://x";evil'}, "mirror_upstream", "not the URL"),
        ({"mirror_dir": "/data/a b"}, "mirror_dir", "letters"),
        ({"mirror_dir": "/data/" + "x" * 90}, "mirror_dir", "sockets"),
        ({"mirror_allow": ["10.0.0.0/99"]}, "mirror_allow", "network"),
        ({"mirror_nginx_image": "nginx"}, "mirror_nginx_image", "moves"),
        ({"mirror_own_namespaces": ["a|b"]}, "mirror_own_namespaces", "namespace"),
        ({"mirror_sources": {"hf.co": 80}, "mirror_runtime": "systemd"}, "mirror_sources", "mirror itself"),
        ({"mirror_resolvers": ["dns.lan"]}, "mirror_resolvers", "DNS server"),
        ({"mirror_slize": "1M"}, "mirror_slize", "did you mean mirror_slice"),
    ],
)
def test_mistakes_are_named(variables, place, part):
    found, errors = parse("site", variables)
    assert found is None
    assert any(place in error.place and part in str(error) for error in errors), errors


SEEN = status.Seen(
    (), {"status": 200}, {"status": 200}, {"status": 404}, False, {"free": 9 << 40}, "http://127.0.0.1:80"
)


@pytest.mark.parametrize(
    ("change", "word", "code"),
    [
        ({}, "healthy", 0),
        ({"health": {"status": None, "error": "refused"}, "differs": ("mirror/start",)}, "not-running", 3),
        ({"upstream": {"status": 502}}, "upstream-unreachable", 3),
        ({"upstream": {"status": 404}, "offline": True}, "healthy", 0),
        ({"own": {"status": 502}}, "own-unreachable", 3),
        ({"differs": ("mirror/nginx",)}, "differs", 4),
        ({"store": {"free": 1 << 20}}, "disk-low", 4),
    ],
)
def test_status_has_one_word_and_a_next_step(change, word, code):
    found = status.judge("site", status.Seen(**{**vars(SEEN), **change}), {"body": "Active connections: 7 \n"})
    assert (found.word, found.exit_code, found.connections) == (word, code, 7)
    assert word in formats.STATES
    assert all(finding.step for finding in found.findings)


def test_metrics_hold_counters_and_state():
    store = {"free": 9 << 40, "cache_bytes": 5, "counters": {"wan_bytes": 10, "lan_bytes": 80}}
    found = status.judge("site", status.Seen(**{**vars(SEEN), "store": store}), {})
    text = formats.as_prometheus([found])
    assert 'reaper_ops_mirror_wan_bytes_total{host="site"} 10.0' in text
    assert 'reaper_ops_mirror_state{host="site",state="healthy"} 1.0' in text
    assert "8.0 copies out" in formats.as_text([found])
