from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.rules import serverlog
from reaper_ops.core.doctor.signatures import literals
from reaper_ops.core.doctor.signatures.model import Signature
from reaper_ops.core.doctor.signatures.prefilter import Prefilter

CASES = Path(__file__).parents[2] / "cases" / "probe"


@pytest.mark.parametrize("signature", signatures.TABLE, ids=lambda s: s.id)
def test_the_sample_is_found_as_itself(signature: Signature) -> None:
    for where in signature.where.split():
        found = signatures.match(where, signature.sample)
        assert found is not None
        assert found.signature.id == signature.id


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("cudaMalloc failed: out of memory", {"cudamalloc failed: out of memory"}),
        (r"killed (\d+) of (?:abc|defg)", {"killed "}),
        (r"(?:abcd|efgh) x?", {"abcd", "efgh"}),
        (r"(?:abcd|[0-9]+)", None),
        (r"(?i:ABCdef) xyz", {"abcdef"}),
        (r"(?i)abcDEF", {"abcdef"}),
        (r"(?:longer text)?abc", {"abc"}),
        (r"(?:longer text)+abc", {"longer text"}),
        (r"ab", None),
        (r"", None),
    ],
)
def test_literals_stand_in_every_match(pattern: str, expected: set[str] | None) -> None:
    assert literals.of(pattern) == (None if expected is None else frozenset(expected))


@pytest.mark.parametrize("signature", signatures.TABLE, ids=lambda s: s.id)
def test_literals_are_in_the_sample(signature: Signature) -> None:
    found = literals.of(signature.pattern)
    assert found is None or any(literal in signature.sample.lower() for literal in found)


def test_ids_are_unique_and_causes_are_slugs() -> None:
    ids = [signature.id for signature in signatures.TABLE]
    assert len(ids) == len(set(ids))
    slugs = set((CASES / "slugs.txt").read_text().split())
    assert {cause for signature in signatures.TABLE for cause in signature.causes} <= slugs


@pytest.mark.parametrize(
    ("version", "engine"),
    [
        ("0.24.0", "old"),
        ("0.30.0", "new"),
        ("0.33.0-rc2", "new"),
        ("1.0.0", "new"),
        (None, ""),
        ("0.0.0", ""),
        ("x", ""),
    ],
)
def test_engines_by_version(version: str | None, engine: str) -> None:
    assert signatures.engine(version) == engine


def test_kernel_line_has_victim_and_size() -> None:
    text = (CASES.parent / "recorded" / "oom-load-kernel.log").read_text()
    kills = [hit for hit in signatures.hits("kernel", text) if hit.signature.id == "oom-kill"]
    assert [(hit.groups["comm"], hit.groups["pid"], hit.groups["rss"]) for hit in kills] == [
        ("llama-server", "24856", "912820")
    ]


def test_an_orderly_unload_is_no_kill() -> None:
    line = 'level=ERROR source=llama_server.go:1023 msg="llama-server terminated" error="signal: killed" exit=unknown'
    assert signatures.match("log", line) is None


def test_slow_discovery_is_a_start_until_the_compute_line() -> None:
    lines = (CASES.parent / "recorded" / "start-slow-discovery.log").read_text().splitlines()
    assert serverlog.read("\n".join(lines[:8])).starting
    assert not serverlog.read("\n".join(lines)).starting


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=60), st.sampled_from([s.sample for s in signatures.TABLE])), max_size=12))
def test_any_log_is_read(lines: list[str]) -> None:
    found = serverlog.read("\n".join(lines))
    assert found.seen == bool("\n".join(lines).splitlines())


def test_what_a_client_asks_for_is_no_word_of_the_server() -> None:
    """Anybody may ask for /NVRM: a path in the log proves nothing."""
    asked = '[GIN] 2026/11/23 - 01:00:00 | 404 | 1.2ms | 192.0.2.7 | GET "/CUDA error: out of memory"'
    text = f"{asked}\nCUDA error: out of memory\n{asked}"
    assert signatures.match("log", asked) is None
    assert [hit.line for hit in signatures.hits("log", text)] == ["CUDA error: out of memory"]
    assert [hit.line for hit in signatures.hits("history", text)] == [asked, asked]


def test_the_last_run_begins_where_the_server_says_so_not_where_a_client_does() -> None:
    said = 'msg="Listening on 127.0.0.1:11434 (version 0.33.0)"'
    asked = '[GIN] 2026/11/23 - 01:00:00 | 404 | 1.2ms | 192.0.2.7 | GET "/Listening on 127.0.0.1:1 (version 1)"'
    assert signatures.last_run("\n".join(["a", said, "b", said, "c", asked])) == "\n".join([said, "c", asked])
    assert signatures.last_run(f"a\n{asked}") == f"a\n{asked}"
    assert signatures.last_run(None) == ""


@given(st.lists(st.text("ab\n 1", max_size=6), max_size=6))
@settings(max_examples=100)
def test_lines_with_a_text_are_those_in_which_it_stands(parts: list[str]) -> None:
    text = "".join(parts)
    assert signatures.lines_with(text, "ab", "b1") == tuple(
        line for line in text.split("\n") if "ab" in line or "b1" in line
    )


@pytest.mark.parametrize("signature", signatures.TABLE, ids=lambda s: s.id)
@pytest.mark.parametrize("digit", ["", "7", "123456"])
def test_digits_elsewhere_in_a_line_hide_no_signature(signature: Signature, digit: str) -> None:
    where = signature.where.split()[0]
    before = "" if signature.pattern.startswith("^") else f"{digit} "
    found = signatures.hits(where, before + signature.sample)
    assert [hit.signature.id for hit in found] == [signature.id]


SIGNED = (
    "https://dd20bb891979d25aebc8bec07b2b3bbc.r2.cloudflarestorage.com/ollama/docker/registry/v2/blobs/sha256/6a/data?"
)
SIGNED += "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + "c" * 80 + "&X-Amz-Signature=" + "5" * 300
EIGHT = ",".join(f"GPU-{n}f1c2d3e-0000-4000-8000-00000000000{n}" for n in range(8))
WHY = f'Get \\"{SIGNED}\\": read tcp 10.0.0.4:51234->104.18.9.90:443: read: connection reset by peer'
ROW = "CUDA0 (RTX 3090)   | 24135 = 16079 + ( 6056 =  1688 +    3584 +     784) +    1999 |"
DEEP = "/srv/" + "directory-of-models/" * 20 + "blobs"


@pytest.mark.parametrize(
    ("name", "line", "group", "value"),
    [
        ("pull-attempt", f'msg="6a0746a1ec1a part 3 attempt 0 failed: {WHY}, retrying in 1s"', "why", WHY),
        ("pull-tls-closed", f'Get "{SIGNED}{"6" * 500}": EOF', None, None),
        ("pull-max-retries", f"max retries exceeded: {SIGNED}{'6' * 300}", "why", f"{SIGNED}{'6' * 300}"),
        ("visible-devices", f'msg="user overrode visible devices" CUDA_VISIBLE_DEVICES={EIGHT}', "value", EIGHT),
        ("models-dir-permission", f"mkdir {DEEP}: permission denied", "path", DEEP),
        ("models-dir-readonly", f"mkdir {DEEP}: read-only file system", "path", DEEP),
        (
            "access-denied",
            f'apparmor="DENIED" operation="open" profile="docker-default" name="{DEEP}" pid=1 comm="ollama"',
            "comm",
            "ollama",
        ),
        (
            "request-served",
            f'[GIN] 2026/11/23 - 01:00:00 | 404 | 1.2ms | 192.0.2.7 | GET      "{DEEP * 2}"',
            "path",
            DEEP * 2,
        ),
        (
            "server-config",
            f'msg="server config" env="map[OLLAMA_ORIGINS:[{"a" * 3700}] ]"',
            "env",
            f"OLLAMA_ORIGINS:[{'a' * 3700}] ",
        ),
        ("load-parts", f"common_memory_breakdown_print: |   - {ROW}", "weights", "1688"),
        ("firewall-drops", "-A INPUT -p tcp -m tcp --dport 11434 -j DROP", "ports", "11434"),
        (
            "firewall-drops",
            "-A DOCKER-USER -i eth0 -m conntrack --ctorigsrc 1.2.3.4 --ctorigdstport 11434 -j DROP",
            "ports",
            "11434",
        ),
    ],
)
def test_long_lines_of_real_servers_are_found_whole(name: str, line: str, group: str | None, value: str | None) -> None:
    found = signatures.only(name, line)
    assert found is not None
    assert group is None or found.groups[group] == value


@pytest.mark.parametrize("line", ["-A INPUT -s 203.0.113.7/32 -j {}", "-A INPUT -i docker0 -j {}"])
def test_a_rule_for_some_clients_closes_no_port(line: str) -> None:
    """What fail2ban writes for one address is no firewall that drops everybody."""
    assert signatures.only("firewall-drops", line.format("DROP")) is None
    assert signatures.only("firewall-rejects", line.format("REJECT")) is None


@pytest.mark.parametrize("signature", signatures.TABLE, ids=lambda signature: signature.id)
def test_the_prefilter_hides_no_line_that_a_pattern_fits(signature: Signature) -> None:
    """It looks for literals of several patterns at once; with another pattern beside it, too."""
    assert Prefilter(re.compile("nothing like it"), re.compile(signature.pattern)).may_match(signature.sample)


def test_the_prefilter_sorts_out_what_cannot_fit() -> None:
    assert not Prefilter(re.compile("curl: "), re.compile("ECONNREFUSED")).may_match("level=INFO msg=listening")
    assert Prefilter(re.compile("curl: "), re.compile("[a-z]")).may_match("level=INFO msg=listening")
