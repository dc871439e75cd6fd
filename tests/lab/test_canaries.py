"""Secrets are planted in all that can carry one; whatever any verb prints, writes or starts is searched for them."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import canaries
import pytest
import yaml
from cli_cases import VERBS
from subject import free_ports

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
CODE = "from reaper_ops.cli.main import main; main()"
PLAYBOOK = [str(Path(sys.executable).with_name("ansible-playbook")), "-vvv", "--diff"]
FLEET = "-i INV --vault-password-file ROOT/vault.password"
GOOD = f"{FLEET} -l good"
LOCKED = f"{GOOD} --lock ROOT/out/models.lock"
LOGIN = "user:" + canaries.canary("typedname") + "@registry.example/ns/m:1"
VERBOSE = {"ANSIBLE_VERBOSITY": "3"}


@dataclass(frozen=True)
class Verb:
    """A verb with its words, and the exit codes of a run that does what is meant here; `said` is its standard input.

    playbook: run by ansible-playbook and not by us. endless: it is ended once it has printed a line.
    """

    name: str
    words: str
    codes: tuple[int, ...] = (0,)
    verbose: bool = False
    said: str = ""
    playbook: bool = False
    endless: bool = False

    @property
    def id(self) -> str:
        return f"{'ansible-playbook ' if self.playbook else ''}{self.name} {self.words}{' -vvv' * self.verbose}"


TYPED = canaries.canary("typedpassword") + "\n"
RUNS = (
    Verb("plan", f"{FLEET} -e @ROOT/wrong.yml", (2,)),
    Verb("hosts", f"{FLEET} -o json", verbose=True),
    Verb("plan", f"{GOOD} -K --out ROOT/out/plan.json", said=TYPED, verbose=True),
    Verb("site.yml", f"{GOOD} --check", playbook=True),
    Verb("up", f"{FLEET} -l good,refused,far,evil --yes", (3,), verbose=True),
    Verb("render", FLEET),
    Verb("render", f"{GOOD} --read --save-facts ROOT/out/facts.json --out ROOT/out/rendered", verbose=True),
    Verb("probe", f"{FLEET} --deep", (3,), verbose=True),
    Verb("probe", "--url EVIL -o prometheus --out ROOT/out/fleet.prom", (3,)),
    Verb("doctor", f"{FLEET} -v --bundle ROOT/out/bundle.tar.gz", (3,), verbose=True),
    Verb("doctor", "--from ROOT/out/bundle.tar.gz -o json", (3,)),
    Verb("doctor", "--from ROOT/pasted -v -o junit", (0, 3, 4, 5)),
    Verb("doctor", "--paste -o nagios", (0, 3, 4, 5), said=canaries.spoken("typed")),
    Verb("doctor", f"{FLEET} -l refused --fix --yes", (0, 3, 4), verbose=True),
    Verb("watch", "--url EVIL -o json", (0, 1, 3), endless=True),
    Verb("report", f"{FLEET} --html ROOT/out/page.html", (3,), verbose=True),
    Verb("verify", f"{GOOD} -e ollama_https_proxy=http://u:{canaries.canary('otherproxy')}@p:1", (3,), verbose=True),
    Verb("runbook", "service-not-running"),
    Verb("auth login", f"ollama --base-url http://u:{canaries.canary('typedurl')}@127.0.0.1:1", (1, 2, 3)),
    Verb("auth login", "ollama --base-url http://127.0.0.11:FIRST"),
    Verb("auth status", ""),
    Verb("auth logout", ""),
    Verb("models sets", FLEET, verbose=True),
    Verb("models lock", LOCKED, verbose=True),
    Verb("models update", LOCKED),
    Verb("models plan", LOCKED, verbose=True),
    Verb("models pull", f"{LOCKED} {LOGIN}", (2,)),
    Verb("models pull", f"{FLEET} --lock ROOT/out/models.lock", (3,), verbose=True),
    Verb("models verify", LOCKED),
    Verb("models bundle create", f"{LOCKED} ROOT/out/models"),
    Verb("models bundle load", f"{LOCKED} --all ROOT/out/models", verbose=True),
    Verb("models create", f"{LOCKED} own/x ROOT/out/made -f ROOT/pasted/server.log", (1, 2)),
    Verb("models list", f"{FLEET} --lock ROOT/out/models.lock", (3,), verbose=True),
    Verb("models ps", f"{FLEET} -o json", (3,), verbose=True),
    Verb("models preload", f"{GOOD} 127.0.0.1:REGISTRY/library/tiny:latest", verbose=True),
    Verb("models mirror up", f"{FLEET} --check", (0, 4), verbose=True),
    Verb("models mirror status", f"{FLEET} -o json", (3, 5), verbose=True),
    Verb("models mirror gc", f"{FLEET} --lock ROOT/out/models.lock", (0, 1, 2, 3, 5), verbose=True),
    Verb("models mirror down", f"{FLEET} --yes", (0, 5), verbose=True),
    Verb("models prune", f"{GOOD} --yes", verbose=True),
    Verb("models rm", f"{FLEET} --yes tiny", (2, 3), verbose=True),
    Verb("down", f"{FLEET} --yes --purge-models", (3, 5), verbose=True),
    Verb("releases", ""),
    Verb("lab up", "", (1, 2)),
    Verb("lab down", ""),
    Verb("lab break", "lab-cpu drop", (2,)),
    Verb("lab heal", "lab-cpu", (2,)),
    Verb("lab status", ""),
    Verb("lab faults", ""),
    Verb("init", "ROOT/out/new"),
    Verb("schema", ""),
)
"""In this order: `up` installs, `down` is the last that looks at the fleet."""

OTHER_LAB = {"REAPER_OPS_LAB_DIR": "/proc/reaper_ops-lab"}
"""The verbs of the lab have an inventory of their own, in which nothing is secret; they get a place that is refused."""

MAY_HOLD = {
    "planted/*": "the inventory itself",
    "wrong.yml": "variables that the user typed",
    "vault.password": "the password file that the user made",
    "home/.docker/config.json": "the user's own",
    "home/.netrc": "the user's own",
    "pasted/*": "what somebody sent",
    "lab/hosts/lab-cpu/facts/*": "the host's own files",
    "out/rendered/*/env.json": "`render --out` writes files as they are to be on the host",
}
"""Files in which a secret may stand, with the reason."""
PRIVATE = "out/rendered/*"
"""What reaper_ops makes of these: nobody else may read it. On the hosts nothing is left after `down`."""


@dataclass(frozen=True)
class Ended:
    code: int
    text: bytes


@dataclass(frozen=True)
class Fleet:
    root: Path
    ended: dict[str, Ended]


def argv(verb: Verb, root: Path, inventory: Path, first: int) -> list[str]:
    evil = yaml.safe_load((inventory / "hosts.yml").read_text())["all"]["hosts"]["evil"]["ollama_base_url"]
    places = {"EVIL": evil, "ROOT": str(root), "INV": str(inventory), "REGISTRY": str(first + 1), "FIRST": str(first)}
    words = verb.words
    for word, value in places.items():
        words = words.replace(word, value)
    if verb.playbook:
        return [*PLAYBOOK, *words.split(), str(PLAYBOOKS / verb.name)]
    return [sys.executable, "-c", CODE, *verb.name.split(), *words.split()]


def ended(verb: Verb, words: list[str], env: dict[str, str]) -> Ended:
    env = {**env, **(VERBOSE if verb.verbose else {}), **(OTHER_LAB if verb.name.startswith("lab ") else {})}
    process = subprocess.Popen(
        words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=os.getcwd()
    )
    assert process.stdout is not None
    first = process.stdout.readline() if verb.endless else b""
    if verb.endless:
        process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(verb.said.encode())
    return Ended(process.returncode, first + rest)


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """All runs, in their order, at one fleet; its directory is short, as sockets lie in it."""
    root = Path(tempfile.mkdtemp(prefix="cnry", dir="/tmp"))
    first = free_ports(5)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in canaries.environment(root, first).items():
                patch.setenv(name, value)
            with canaries.fleet(root, first) as inventory:
                runs = {v.id: ended(v, argv(v, root, inventory, first), dict(os.environ)) for v in RUNS}
                yield Fleet(root, runs)
    finally:
        shutil.rmtree(root)


def test_every_verb_is_run() -> None:
    assert {verb.name for verb in RUNS if not verb.playbook} == set(VERBS)


@pytest.mark.parametrize("verb", RUNS, ids=lambda verb: verb.id)
def test_a_verb_prints_no_secret(verb: Verb, fleet: Fleet) -> None:
    done = fleet.ended[verb.id]
    text = done.text.decode("utf-8", "replace")
    assert canaries.found(done.text) == set()
    assert "Traceback" not in text
    assert done.code in verb.codes, text


def may_hold(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in MAY_HOLD)


def test_no_secret_is_written_but_where_it_belongs(fleet: Fleet) -> None:
    files = [path for path in fleet.root.rglob("*") if path.is_file() and not path.is_symlink()]
    texts = {str(path.relative_to(fleet.root)): path for path in files if path.stat().st_size < 10_000_000}
    holding = {name: found for name, path in texts.items() if (found := canaries.found(unpacked(path)))}
    assert {name: found for name, found in holding.items() if not may_hold(name)} == {}
    assert {p for p in MAY_HOLD if not any(fnmatch(name, p) for name in holding)} == set(), "an exception without use"
    for name in holding:
        if fnmatch(name, PRIVATE):
            assert texts[name].stat().st_mode & 0o077 == 0, name


def unpacked(path: Path) -> bytes:
    if path.suffixes[-2:] != [".tar", ".gz"]:
        return path.read_bytes()
    return subprocess.run(["tar", "-xzOf", str(path)], check=True, capture_output=True).stdout


def test_no_secret_stands_in_a_command_line(fleet: Fleet) -> None:
    """Every program that any Python of ours started, also those that lived for a moment."""
    started = (fleet.root / "started").read_bytes()
    assert canaries.found(started) == set()
    for word in (b"journalctl", b"ollama serve", b"import ansible.__main__"):
        assert word in started


def test_the_search_finds_each_form() -> None:
    secret = canaries.canary("form")
    for login in ("u:", "us:", "use:"):
        encoded = base64.b64encode(f"{login}{secret}".encode())
        assert canaries.found(b"authorization: Basic " + encoded) == {"form"}
    assert canaries.found(f"x{secret}y {secret.lower()} {secret.upper()}".encode()) == {"form"}
    assert canaries.found(b"nothing here") == set()
