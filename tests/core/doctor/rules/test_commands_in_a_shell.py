"""What hosts, logs and pasted texts say, in every command of the doctor, as bash itself reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import shell_words
from doctor_cases import SICK, examine, load
from shell_words import PAYLOADS
from step_values import DIRECTORIES, PLACES, VALUES

from reaper_ops.core.doctor import remedy, signatures
from reaper_ops.core.doctor.diagnose import Diagnosis
from reaper_ops.core.doctor.finding import Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.catalogue import RULES
from reaper_ops.core.health.probe import Observation
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.flows.doctor import doctor

FORMS = {
    "log": "$ journalctl -u ollama --no-pager\nMar 02 10:00:00 box ollama[7]: {}\n",
    "docker": "$ docker logs ollama\n{}\n",
    "kernel": "$ sudo dmesg -T\n{}\n",
}
PASTED = (
    "$ docker ps\nCONTAINER ID   IMAGE           COMMAND   CREATED   STATUS   PORTS                    NAMES\n"
    '0123456789ab   ollama/ollama@   "serve"   1 day ago   Up 1 day   0.0.0.0:11434->11434/tcp   llm@\n',
    "$ systemctl cat ollama\n# /etc/systemd/system/ollama.service@\n[Service]\nExecStart=/usr/local/bin/ollama@ serve\n"
    'User=ollama@\nEnvironment="OLLAMA_HOST=0.0.0.0@" "OLLAMA_MODELS=/data/models@" OLLAMA_NUM_PARALEL@=4\n',
    "$ systemctl status ollama\n● ollama.service - Ollama@\n     Loaded: loaded (/etc/systemd/system/ollama.service@; "
    "enabled)\n     Active: failed (Result: exit-code) since Mon 2026-03-02 10:00:00 CET; 2s ago\n"
    "    Process: 5120 ExecStart=/usr/local/bin/ollama@ serve (code=exited, status=203/EXEC)\n",
    "$ journalctl -u ollama\nMar 02 10:00:00 box@ systemd[1]: ollama.service: Failed at step EXEC spawning "
    "/usr/bin/ollama@: Permission denied\n",
    "$ journalctl -u ollama\nMar 02 10:00:00 box ollama[7]: Error: mkdir /data/models@: permission denied: ensure path "
    "elements are traversable\n",
    "$ sudo ss -ltnp\nState  Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n"
    'LISTEN 0      128          127.0.0.1:11434      0.0.0.0:*    users:(("nginx@",pid=700,fd=3))\n'
    "$ ollama serve\nError: listen tcp 127.0.0.1:11434: bind: address already in use\n",
    "$ curl http://box@:11434/api/tags\ncurl: (6) Could not resolve host: box@\n",
    '$ curl http://127.0.0.1:11434/api/generate -d \'{"model": "llama3.2@"}\'\n'
    '{"error":"model \'llama3.2@\' not found"}\n',
    "requests.exceptions.ConnectionError: HTTPConnectionPool(host='gpu1@', port=11434): Max retries exceeded with url: "
    "/api/chat@ (Caused by NameResolutionError(\"Failed to resolve 'gpu1@'\"))\n",
    "$ ollama pull llama3.2@\npulling manifest\nError: pull model manifest: file does not exist\n",
    "$ ollama ps\nNAME ID SIZE PROCESSOR CONTEXT UNTIL\nllama3:8b@ 0123456789ab 6.7 GB 40%/60% CPU/GPU 4096 Forever\n"
    "$ ollama run big\nError: model requires more system memory (41.6 GiB) than is available (13.4 GiB)\n",
    "$ nvidia-smi -L\nGPU 0: Tesla T4@ (UUID: GPU-0f1e2d3c-0000-1111-2222-333344445555)\n"
    '$ docker run --gpus=all ollama/ollama\ndocker: Error response from daemon: could not select device driver "" with '
    "capabilities: [[gpu]].\n",
    "$ cat docker-compose.yml\nservices:\n  ollama:\n    image: ollama/ollama@\n    container_name: llm@\n    "
    "volumes:\n      - ./models@:/root/.ollama\n  web@:\n    "
    "image: ghcr.io/open-webui/open-webui:main\n    environment:\n      OLLAMA_BASE_URL: http://localhost@:11434\n",
    "$ df -h\nFilesystem      Size  Used Avail Use% Mounted on\n/dev/sda1@       100G  100G     0 100% /data@\n"
    "$ ollama pull llama3.2\nError: write /data/models/blobs/sha256-0a-partial@: no space left on device\n",
    "$ kubectl describe pod ollama-0\nName:             ollama-0@\nNamespace:        llm@\nContainers:\n  ollama@:\n"
    "    Image:          ollama/ollama:0.12.3@\n    State:          Waiting\n      Reason:       CrashLoopBackOff\n",
)
"""Texts of many kinds; `@` stands where a name of somebody else's choice stands."""


def commands(found: Diagnosis) -> Iterator[str]:
    for cause in found.causes:
        yield from (text for text in (*(step.command for step in cause.steps), cause.verify) if text)


def pasted(text: str) -> list[str]:
    found = doctor.examine(doctor.from_text(text)).hosts
    assert all(one.problem in {"", None} for one in found), (text, found)
    return [command for one in found for command in commands(one)]


def harmless(made: dict[str, object]) -> int:
    """made: where each command comes from. How many of them hold something of a payload."""
    for command, found in shell_words.read(made).items():
        assert not shell_words.faults(found), (command, found.programs, made[command])
    return sum("zq" in command for command in made)


def test_every_line_that_a_signature_knows() -> None:
    made: dict[str, object] = {}
    for signature in signatures.TABLE:
        hit = re.search(signature.pattern, signature.sample)
        assert hit is not None
        ends = sorted({hit.end(name) for name, value in hit.groupdict().items() if value} or {hit.end()})
        for end in ends:
            for place, payload in enumerate(PAYLOADS):
                form = FORMS["kernel" if "kernel" in signature.where else ("log", "docker")[place % 2]]
                line = signature.sample[:end] + payload + signature.sample[end:]
                made |= dict.fromkeys(pasted(form.format(line)), (signature.id, payload))
    assert harmless(made) > 5


@pytest.mark.parametrize("text", PASTED, ids=lambda text: text[:32])
def test_every_name_of_a_pasted_text(text: str) -> None:
    made: dict[str, object] = {}
    places = [place.start() for place in re.finditer("@", text)]
    for chosen in places:
        for payload in PAYLOADS:
            whole = "".join(
                payload if at == chosen else sign for at, sign in enumerate(text) if sign != "@" or at == chosen
            )
            made |= dict.fromkeys(pasted(whole), payload)
    assert made, "no command was printed, so that nothing was tried"
    harmless(made)


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where texts are; all items of a list are one place."""
    if isinstance(value, str):
        yield path
    for key, item in value.items() if isinstance(value, dict) else ():
        yield from leaves(item, (*path, key))
    for item in value if isinstance(value, list) else ():
        yield from leaves(item, (*path, "[]"))


def changed(value: Any, path: tuple[str, ...], change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return value if path else change(value)
    if isinstance(value, list):
        return [changed(item, path[1:], change) for item in value] if path[:1] == ("[]",) else value
    if isinstance(value, dict):
        return {k: changed(item, path[1:], change) if path[:1] == (k,) else item for k, item in value.items()}
    return value


SHARDS = 4
EVERY = 5
"""Of the texts of a case, one of so many is attacked; most cases have most texts, so that none is left out."""


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_text_of_the_facts_of_every_sick_host(shard: int) -> None:
    made: dict[str, object] = {}
    for number, path in enumerate(SICK[shard::SHARDS]):
        case = load(path)
        parts = {name: case[name] for name in ("facts", "exchanges", "url")}
        values = {v for one in examine(case).causes for v in one.finding.values.values()}
        for place, leaf in enumerate(sorted(set(leaves(parts)))):
            named = any(held in values for held in at(parts, leaf))
            if (place + number) % EVERY and not named:
                continue
            turn = (place + number + shard) % len(PAYLOADS)
            for payload in PAYLOADS if named else PAYLOADS[turn : turn + 1]:
                dirty = {**case, **changed(parts, leaf, partial(add, payload))}
                try:
                    made |= dict.fromkeys(commands(examine(dirty)), (path.name, leaf, payload))
                except (ValueError, TypeError):
                    continue  # refused where facts are read
    assert harmless(made) > 20


def add(payload: str, text: str) -> str:
    return text + payload


def at(value: Any, path: tuple[str, ...]) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in at(item, path[1:])] if path else []
    if isinstance(value, dict):
        return at(value[path[0]], path[1:]) if path and path[0] in value else []
    return [value] if isinstance(value, str) and not path else []


HOSTS = [
    HostEvidence(
        Settings.model_validate(
            {"ollama_runtime": name, **({"ollama_home": "/nonexistent/o"} if name == "process" else {})}
        ),
        Observation("gpu1", "http://gpu1:11434"),
        source="-i hosts.yml",
    )
    for name in ("systemd", "docker", "process")
]
STEPS = list(dict.fromkeys(step for rule in RULES for step in (*rule.steps, Step("", rule.verify)) if step.command))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_every_place_of_every_step_takes_one_word(payload: str) -> None:
    """Programs and words are those of the step with a plain value, but for that value."""
    pairs: dict[tuple[str, str], tuple[str, str]] = {}
    for host in HOSTS:
        ours = remedy.places(host)
        for step in STEPS:
            names = sorted(set(PLACES.findall(step.command)) - remedy.READY)
            good = {"path": "/store/zqx", **DIRECTORIES, **{name: VALUES.get(name, "/store/zqx") for name in names}}
            plain = remedy.step(step, ours, good).command
            for name in names:
                found = remedy.step(step, ours, {**good, name: good[name] + payload}).command
                if found:
                    pairs[found, plain] = (good[name], good[name] + payload)
    read = shell_words.read(text for pair in pairs for text in pair)
    for (found, plain), (good_value, evil) in pairs.items():
        assert not shell_words.faults(read[found]), found
        wanted = {tuple(word for word in words) for words in read[plain].programs}
        back = {tuple(_plain(word, evil, good_value) for word in words) for words in read[found].programs}
        assert back == wanted, found


def _plain(word: str, evil: str, good: str) -> str:
    written = json.dumps(evil, ensure_ascii=False)[1:-1] if word.startswith("{") else evil
    return word.replace(written, good)


def test_a_shell_that_runs_what_it_is_told_is_noticed() -> None:
    """The observer itself: each payload is seen unquoted or in somebody's quotes."""
    for payload in PAYLOADS:
        found = shell_words.read([f"ls x{payload}", f"sudo ls '/x{payload}'", f'ls "x{payload}"'])
        assert any(shell_words.faults(one) for one in found.values()), payload


LOG = "$ journalctl -u ollama\nMar 02 10:00:00 box ollama[7]: Error: mkdir {}: permission denied\n"


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/usr/share/ollama/.ollama", ["sudo chown -R ollama: /usr/share/ollama"]),
        *(
            (path, [])
            for path in ("/etc/.ollama", "/root/x/.ollama", "/usr/local/lib/ollama/.ollama", "/home/ana/.ollama")
        ),
        *((path, []) for path in ("/srv/.ollama", "/var/lib/dpkg/.ollama", "/var/lib/ollama/../dpkg/.ollama")),
    ],
)
def test_a_line_of_the_log_gives_no_directory_of_others_away(path: str, given: list[str]) -> None:
    """The service writes its log itself: whatever it says, the system's directories stay root's."""
    assert [text for text in pasted(LOG.format(path)) if "chown" in text] == given


@pytest.mark.parametrize("store", ["/etc", "/usr/lib/x", "/root", "/home/ana", "/srv", "/var/lib/dpkg", "/"])
def test_neither_does_the_environment_of_the_server(store: str) -> None:
    """A process can write over what /proc shows of its environment."""
    case = load(next(path for path in SICK if path.parent.name == "models-dir-permission" and path.stem == "sick-pull"))
    text = json.dumps(case).replace("/var/lib/ollama/models", store)
    dirty = json.loads(text)
    found = [command for command in commands(examine({**dirty, "settings": {}})) if "chown" in command]
    assert not found, found
