"""One redactor, on hosts and on the controller: whatever can carry a secret is planted, and looked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reaper_ops import assets
from reaper_ops.adapters import ansible
from reaper_ops.cli.program import run
from reaper_ops.core import secrets
from reaper_ops.core.doctor import bundle
from reaper_ops.core.facts.exchange import Exchange
from reaper_ops.core.inventory.settings import Settings

CANARY = "CANARY7f3aZ9"
CARRIERS = (
    f"http://user:{CANARY}@host/path",
    f"https://{CANARY}@host/",
    f"http://user:{CANARY}@more@host:8080/",
    f"pull user:{CANARY}@registry.example/ns/model:1 failed",
    f"user:{CANARY}@registry.example:5000/ns/model:1",
    f"HTTPS_PROXY=http://user:{CANARY}@proxy:3128",
    f"https_proxy=user:{CANARY}@proxy:3128",
    f"https://h/x?X-Amz-Signature={CANARY}&a=1",
    f"https://h/x?X-Amz-Credential={CANARY}&X-Amz-Security-Token={CANARY}",
    f"https://h/x?sv=1&sig={CANARY}",
    f"https://h/x?token={CANARY}",
    f"AWS_SECRET_V2={CANARY}",
    f"CLIENT_SECRET_V2={CANARY}",
    f"API_KEY_OLD={CANARY}",
    f"MY_TOKEN_PROD={CANARY}",
    f"Environment=HF_TOKEN={CANARY}",
    f'environment: {{"API_KEY_OLD": "{CANARY}"}}',
    f"- OPENAI_API_KEY={CANARY}",
    f'{{"auths": {{"r": {{"auth": "{CANARY}"}}}}}}',
    f"Authorization: Bearer {CANARY}",
    f"authorization: Basic {CANARY}",
    f"Proxy-Authorization: Basic {CANARY}",
    f"X-Api-Key: {CANARY}",
    f"Cookie: session={CANARY}; other={CANARY}",
    f"Set-Cookie: session={CANARY}; Path=/",
    f'{{"set-cookie": "session={CANARY}"}}',
    f"machine h login me password {CANARY}",
    f"ansible_password: {CANARY}",
    f"ansible_become_password={CANARY}",
    f"ansible_ssh_pass: {CANARY}",
    f'"ansible_become_pass": "{CANARY}"',
    f"mount -o username=me,password={CANARY}",
    f"docker login -u me --password {CANARY}",
    f"curl --oauth2-bearer-token {CANARY}",
    f"hf_{CANARY}{CANARY}",
    *(
        f"{kind}{CANARY}{CANARY}"
        for kind in ("ghp_", "ghr_", "github_pat_", "glpat-", "sk-proj-", "sk_live_", "nvapi-")
    ),
    *(f"{kind}{CANARY}{CANARY}" for kind in ("xoxb-", "npm_", "dckr_pat_", "AIza")),
    f"said AKIA{CANARY.upper()}ABCD.",
    f"password is {CANARY}",
    f"the passphrase was: {CANARY}",
    f"-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n{CANARY}\n-----END OPENSSH PRIVATE KEY-----",
)
PLAIN = (
    "http://host:11434/api/tags",
    "https://registry.ollama.ai/v2/library/x/manifests/1b",
    "docker.io/ollama/ollama@sha256:abc",
    "num_ctx=4096 tokens=12 prompt_tokens=5",
    "key=OLLAMA_HOST value=0.0.0.0",
    "ssh: Permission denied (publickey,password).",
    "me@host: permission denied",
    "OLLAMA_KEEP_ALIVE=5m",
    "docker.io/ollama/ollama:0.32.14@sha256:abc",
    "git@github.com:ollama/ollama.git",
)


@pytest.mark.parametrize("text", CARRIERS)
def test_a_secret_does_not_stand(text: str) -> None:
    assert CANARY not in secrets.redact(f"line before {text} and after\nnext")
    assert CANARY.lower() not in secrets.redact(text).lower()
    written = secrets.redact(json.dumps({"a": f'{{"b": "{text}"}}', "c": 1}))
    assert json.loads(written)["c"] == 1
    assert CANARY not in written


LOG = (
    f"Authorization: Bearer {CANARY}",
    f"authorization: Basic {CANARY}",
    f"Cookie: a={CANARY}; b={CANARY}",
    "the end",
)


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_a_value_ends_at_the_end_of_its_line_in_json_within_json_too(times: int) -> None:
    text = "\n".join(LOG)
    for _ in range(times):
        text = json.dumps({"error": text})
    found = secrets.redact(text)
    assert CANARY not in found
    assert "the end" in found
    assert found.count("***") == 3
    for _ in range(times):
        found = json.loads(found)["error"]
    assert found.splitlines()[-1] == "the end"


@pytest.mark.parametrize("limit", [-30, -20, 20, 30])
def test_what_is_cut_was_redacted_before(limit: int) -> None:
    brief = assets.shared("reaper_secrets").brief
    assert CANARY[:8] not in brief(f"see http://user:{CANARY}@host/ for more", limit)
    assert CANARY[-8:] not in brief(f"see http://user:{CANARY}@host/ for more", limit)
    assert len(brief("x" * 99, limit)) == abs(limit)


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays(text: str) -> None:
    assert secrets.redact(text) == text


@pytest.mark.parametrize("name", ["HF_TOKEN", "CLIENT_SECRET_V2", "API_KEY_OLD", "ansible_become_password"])
def test_names_of_secrets(name: str) -> None:
    assert secrets.is_named(name)


@pytest.mark.parametrize("name", ["OLLAMA_HOST", "OLLAMA_KEEP_ALIVE", "PATH", "OLLAMA_NUM_PARALLEL"])
def test_other_names(name: str) -> None:
    assert not secrets.is_named(name)


def test_a_bundle_holds_none() -> None:
    settings = Settings.model_validate(
        {"ollama_https_proxy": f"http://u:{CANARY}@p", "ollama_release_url": f"http://user:{CANARY}@host/"}
    )
    exchange = Exchange("/api/tags", "", 200, body=f"Authorization: Bearer {CANARY}")
    saved = bundle.SavedHost(
        "a", settings, f"http://u:{CANARY}@a/", (exchange,), None, f"failed at http://u:{CANARY}@h/"
    )
    assert CANARY not in json.dumps(bundle.files(saved))


VARIABLES = {
    "ollama_release_url": f"http://user:{CANARY}@127.0.0.1:9/",
    "ollama_base_url": f"http://user:{CANARY}@127.0.0.1:9",
    "ollama_https_proxy": f"http://user:{CANARY}@127.0.0.1:9",
    "ansible_password": CANARY,
    "ansible_become_password": CANARY,
}


@pytest.mark.parametrize(
    "words",
    [
        ["hosts", "--all"],
        ["hosts", "-o", "json"],
        ["render"],
        ["probe", "--direct"],
        ["probe", "--direct", "-o", "json"],
        ["report", "--direct", "--html", "PAGE"],
        ["models", "sets"],
    ],
)
@pytest.mark.parametrize("left_out", [None, "ollama_base_url"])
def test_verbs_print_none(
    words: list[str], left_out: str | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    inventory, page = tmp_path / "hosts.json", tmp_path / "page.html"
    variables = {name: value for name, value in VARIABLES.items() if name != left_out}
    inventory.write_text(json.dumps({"all": {"hosts": {"a": variables}}}))
    run([*(word.replace("PAGE", str(page)) for word in words), "-i", str(inventory)])
    said = "".join(capfd.readouterr())
    assert said
    assert CANARY not in said
    assert not page.exists() or CANARY not in page.read_text()


def test_variables_of_a_run_are_in_no_command_line() -> None:
    with ansible._handed({"x": CANARY}) as words:
        assert CANARY not in " ".join(words)
        file = Path(words[1].removeprefix("@"))
        assert json.loads(file.read_text()) == {"x": CANARY}
        assert file.stat().st_mode & 0o077 == 0
    assert not file.exists()
