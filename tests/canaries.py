"""A fleet of the lab in which everything that can carry a secret carries one, and the search for them."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from servers import http_server

from reaper_ops import assets
from reaper_ops.flows.lab import lab

MARK = re.compile(r"cnry([a-z0-9]{3,20})7q9z", re.I)
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n{0}\n{0}\n-----END OPENSSH PRIVATE KEY-----"
COOKIES = "Set-Cookie: session={0}; Path=/"


def canary(kind: str) -> str:
    """A word that stands nowhere else; `kind` says who carried it."""
    return f"Cnry{kind}7Q9z"


def found(data: bytes) -> set[str]:
    """Who carried the canaries that stand in data: as they are, in a URL's form, in base64 at any offset."""
    text = data.decode("utf-8", "replace")
    pieces = re.findall(r"[A-Za-z0-9+/_-]{16,}", text)
    decoded = "\n".join(
        base64.b64decode(piece[shift:] + "===", b"-_" if "-" in piece or "_" in piece else None).decode("latin-1")
        for piece in pieces
        for shift in range(4)
        if len(piece[shift:]) % 4 != 1
    )
    return {kind.lower() for kind in MARK.findall(text + "\n" + decoded)}


def spoken(place: str) -> str:
    """What a careless program writes into its log, or a server into its answers."""
    return "\n".join(
        text.format(canary(place + name))
        for name, text in {
            "bearer": "request failed: Authorization: Bearer {0}",
            "basic": "authorization: Basic {0}",
            "cookie": "Cookie: session={0}; other={0}",
            "setcookie": COOKIES,
            "url": "Get http://user:{0}@mirror.example/v2/: connection refused",
            "query": "Get https://blobs.example/x?X-Amz-Signature={0}&a=1: 403",
            "env": "Environment=FOO_SECRET_V2={0} OPENAI_API_KEY={0}",
            "hf": "fetching with hf_0123{0}",
            "words": "runner started: --api-key {0} --port 1",
            "key": KEY,
            "docker": '{{"auths": {{"r.example": {{"auth": "{0}"}}}}}}',
            "json": '{{"registry_password": "{0}"}}',
            "proxy": "HTTPS_PROXY=http://user:{0}@proxy.example:3128",
        }.items()
    )


STAND_IN = """#!{python}
import sys
print(open({text!r}).read(), end="")
print(open({text!r}).read(), end="", file=sys.stderr)
"""
FILES = {
    "etc/environment": "HTTPS_PROXY=http://u:{0}@p.example:1\nHF_TOKEN={0}\n",
    "etc/docker/daemon.json": '{{"proxies": {{"https-proxy": "http://u:{0}@p.example:1"}}}}',
    "root/.docker/config.json": '{{"auths": {{"r.example": {{"auth": "{0}"}}}}}}',
    "etc/systemd/system/ollama.service.d/override.conf": '[Service]\nEnvironment="FOO_SECRET_V2={0}"\n',
    "etc/systemd/system/ollama.service": '[Service]\nEnvironment="OLLAMA_API_KEY={0}"\nExecStart=/x serve\n',
    "etc/apt/sources.list.d/docker.list": "deb https://u:{0}@download.docker.com/linux/debian bookworm stable\n",
    "etc/fstab": "//nas/m /mnt/m cifs username=u,password={0} 0 0\n",
}


def host_files(root: Path) -> None:
    """Stand-ins on a host: files, and programs that print secrets whatever they are asked."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(canary("file" + re.sub("[^a-z]", "", name.rpartition("/")[2]))))
    for name in ("journalctl", "dmesg", "systemctl", "docker", "nvidia-smi", "ufw", "dkms"):
        text, program = root / "said" / name, root / "bin" / name
        text.parent.mkdir(parents=True, exist_ok=True)
        program.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(spoken(name.replace("-", "")))
        program.write_text(STAND_IN.format(python=sys.executable, text=str(text)))
        program.chmod(0o755)


def settings(proxy: str) -> dict[str, object]:
    """Variables of the whole fleet."""
    return {
        "ollama_https_proxy": f"http://user:{canary('httpsproxy')}@{proxy}",
        "ollama_no_proxy": ["127.0.0.1"],
    }


def hosts(root: Path, first: int, evil: str) -> dict[str, dict[str, object]]:
    """A host that works, one that does not answer, one that cannot be entered, one that is not ours, and a mirror."""
    release = f"http://user:{canary('release')}@127.0.0.1:{first + 2}"
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ollama_runtime": "process"}
    return {
        "good": {
            "ollama_bind": "127.0.0.11",
            "ollama_home": str(root / "lab/hosts/lab-cpu/ollama"),
            "lab_facts_root": str(root / "lab/hosts/lab-cpu/facts"),
            "ollama_release_url": release,
        },
        "refused": {
            "ollama_bind": "127.0.0.13",
            "ollama_home": str(root / "lab/hosts/lab-refused/ollama"),
            "ollama_models": [],
            "ollama_release_url": f"http://user:{canary('norelease')}@127.0.0.1:{first + 3}",
        },
        "far": {
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_port": first + 3,
            "ansible_password": canary("sshpassword"),
            "ansible_become_password": "{{ of_vault }}",
        },
        "evil": {"ollama_managed": False, "ollama_base_url": f"http://{evil}"},
        "mirror": {
            **local,
            "ollama_managed": False,
            "mirror_runtime": "process",
            "mirror_bind": "127.0.0.1",
            "mirror_port": first + 4,
            "mirror_dir": str(root / "m"),
            "mirror_upstream": "none",
            "mirror_allow": ["127.0.0.1"],
        },
    }


def wrong(proxy: str) -> dict[str, object]:
    """Variables that are refused, with the place and the problem."""
    return {
        "ollama_env": {
            "FOO_SECRET_V2": canary("envsecret"),
            "HF_TOKEN": f"hf_0123{canary('envhf')}",
            "OLLAMA_API_KEY": canary("envkey"),
            "OLLAMA_NUM_PARALLEL": f"hf_0123{canary('envtyped')}",
            "HTTP_PROXY": f"http://user:{canary('envproxy')}@{proxy}",
            "MY_COOKIE": f"session={canary('envcookie')}",
        },
        "ollama_base_url": f"http://user:{canary('baseurl')}@{proxy}",
        "ollama_models": [f"user:{canary('modelname')}@registry.example/ns/m:1"],
        "mirror_upstream": f"https://user:{canary('upstream')}@registry.example",
        "ollama_image": f"https://user:{canary('image')}@registry.example/ollama:1",
    }


def inventory(root: Path, first: int, evil: str) -> Path:
    """The lab's own group variables, with secrets in place of what is harmless there."""
    place, secret = root / "planted", VaultSecret(canary("vaultpassword").encode())
    (place / "group_vars" / "all").mkdir(parents=True)
    (root / "vault.password").write_text(canary("vaultpassword"))
    (root / "vault.password").chmod(0o600)
    lab_vars = yaml.safe_load((assets.inventory("lab") / "group_vars/lab.yml").read_text())
    text = VaultLib([("default", secret)]).encrypt(yaml.safe_dump({"of_vault": canary("vault")}).encode(), secret)
    (place / "group_vars" / "all" / "vault.yml").write_bytes(text)
    (place / "group_vars" / "all" / "all.yml").write_text(
        yaml.safe_dump({**lab_vars, **settings(f"127.0.0.1:{first + 3}")})
    )
    (root / "wrong.yml").write_text(yaml.safe_dump(wrong(f"127.0.0.1:{first + 3}")))
    (place / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts(root, first, evil)}}))
    return place


def answers() -> dict[str, object]:
    """A server whose answers hold secrets in every text."""
    said = spoken("evil")
    return {
        "/": (200, said),
        "/api/version": {"version": "0.32.14"},
        "/api/tags": (500, json.dumps({"error": said})),
        "/api/ps": (500, said),
    }


WATCHED = """import os, sys
def started(event, args, pid=os.getpid()):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn"):
        words = args[1] if isinstance(args[1], (list, tuple)) else [args[1]]
        with open({log!r}, "a") as log:
            log.write(" ".join(w.decode("latin-1") if isinstance(w, bytes) else str(w) for w in words) + chr(10))
sys.addaudithook(started)
"""


def environment(root: Path, first: int) -> dict[str, str]:
    """Of the controller: all that it writes stays below root, and every Python tells what programs it starts."""
    (root / "site").mkdir()
    (root / "site" / "sitecustomize.py").write_text(WATCHED.format(log=str(root / "started")))
    for name in ("home/.docker", "tmp", "out"):
        (root / name).mkdir(parents=True)
    (root / "home/.docker/config.json").write_text(json.dumps({"auths": {"r": {"auth": canary("ownauth")}}}))
    (root / "home/.netrc").write_text(f"machine 127.0.0.1 login me password {canary('netrc')}\n")
    return {
        "REAPER_OPS_LAB_DIR": str(root / "lab"),
        "REAPER_OPS_LAB_PORT": str(first),
        "HOME": str(root / "home"),
        "TMPDIR": str(root / "tmp"),
        "XDG_CONFIG_HOME": str(root / "home/config"),
        "ANSIBLE_LOG_PATH": str(root / "out/ansible.log"),
        "XDG_CACHE_HOME": str(root / "home/cache"),
        "PYTHONPATH": os.pathsep.join((str(root / "site"), os.getcwd())),
        "https_proxy": f"http://user:{canary('ownproxy')}@127.0.0.1:{first + 3}",
        "no_proxy": "127.0.0.1,127.0.0.11",
        "OLLAMA_API_KEY": canary("ownkey"),
        "HF_TOKEN": f"hf_0123{canary('ownhf')}",
    }


def pasted(root: Path) -> None:
    """What somebody sends for a diagnosis: a log, and a model's file."""
    (root / "pasted").mkdir()
    (root / "pasted/server.log").write_text(spoken("pasted"))
    (root / "pasted/docker-inspect.json").write_text(
        json.dumps([{"Id": "1", "State": {"Status": "running"}, "Config": {"Env": [f"HF_TOKEN={canary('boxed')}"]}}])
    )


@contextmanager
def careless() -> Iterator[None]:
    """A program on the host that was given secrets as words."""
    words = [sys.executable, "-c", "input()", "ollama", "runner", "--api-key", canary("argvkey")]
    process = subprocess.Popen([*words, f"--proxy=http://u:{canary('argvurl')}@p:1"], stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.communicate(b"\n")


@contextmanager
def fleet(root: Path, first: int) -> Iterator[Path]:
    """The lab's surroundings and an inventory, which is yielded. Everything lies below root."""
    with http_server(answers()) as evil, careless():
        lab.up()
        host_files(root / "lab/hosts/lab-cpu/facts")
        pasted(root)
        try:
            yield inventory(root, first, evil.url.partition("://")[2])
        finally:
            lab.down()
