"""`verify`: the checks of `reaper_ops/verify`, run as pytest beside each other, and what came of them."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reaper_ops.adapters import ansible, fan_out, process, utf8
from reaper_ops.adapters.ansible import Source
from reaper_ops.core.inventory import hosts as core_inventory
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.provision.verification import UNKNOWN, Verification, VerifyCheck

PACKAGE = Path(__file__).resolve().parents[2]
CHECKS = PACKAGE / "verify"
AT_ONCE = 8
EXTRA = "extra.json"
CONNECTION = (
    "ansible_become",
    "ansible_become_user",
    "ansible_connection",
    "ansible_host",
    "ansible_port",
    "ansible_private_key_file",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
    "ansible_ssh_private_key_file",
    "ansible_user",
)
DIRECT = frozenset({"ssh", "smart", "local"})
SECRETS = ("ansible_password", "ansible_ssh_pass", "ansible_become_password", "ansible_become_pass")
PYTEST_DONE = (0, 1, 5)
RAN = "All checks could be made."


@dataclass(frozen=True)
class Share:
    """Hosts of one pytest run: asked over testinfra's own SSH, or through Ansible where only it can connect."""

    hosts: tuple[Host, ...]
    through_ansible: bool
    as_root: bool


def verify(source: Source) -> Verification:
    hosts = [host for host in ansible.inventory(source).hosts if host.settings.ollama_managed]
    variables = core_inventory.host_variables(ansible.listing(source))
    with tempfile.TemporaryDirectory(prefix="reaper-ops-verify-") as name:
        work = Path(name)
        _write(work / "inventory.json", _direct_inventory(hosts, variables))
        at_once = source.forks or AT_ONCE
        _write(work / EXTRA, _typed(hosts, variables, ansible.extra_names(source)))
        shares = list(enumerate(_shares(hosts, source, variables, at_once)))
        found = fan_out.each(shares, lambda one: _run(one[1], work, one[0], source), at_once=at_once)
    order = {host.name: index for index, host in enumerate(hosts)}
    checks = sorted((check for checks in found for check in checks), key=lambda check: order[check.host])
    return Verification(tuple(order), tuple(checks))


def _shares(
    hosts: Iterable[Host], source: Source, variables: Mapping[str, Mapping[str, Any]], at_once: int
) -> list[Share]:
    kinds: dict[tuple[bool, bool], list[Host]] = {}
    for host in hosts:
        through = not source.is_plain or not _is_direct(variables[host.name])
        kinds.setdefault((through, host.settings.ollama_runtime != "process"), []).append(host)
    return [
        Share(tuple(members[start::at_once]), through, as_root)
        for (through, as_root), members in kinds.items()
        for start in range(min(at_once, len(members)))
    ]


def _is_direct(variables: Mapping[str, Any]) -> bool:
    """Whether the connection is plain: no template, no secret, no plugin that only Ansible knows."""
    values = [variables[name] for name in CONNECTION if name in variables]
    plain = all(isinstance(value, str | int | bool) and "{{" not in str(value) for value in values)
    known = variables.get("ansible_connection", "ssh") in DIRECT
    return plain and known and not any(name in variables for name in SECRETS)


def _direct_inventory(hosts: Iterable[Host], variables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """How to reach hosts, and nothing else of the inventory: it can hold secrets."""
    rows = {h.name: {n: variables[h.name][n] for n in CONNECTION if n in variables[h.name]} for h in hosts}
    return {"all": {"hosts": rows}}


def _typed(hosts: Iterable[Host], variables: Mapping[str, Mapping[str, Any]], names: frozenset[str]) -> dict[str, Any]:
    """How hosts are entered, as far as `-e` says so: testinfra gives Ansible nothing but inventories."""
    entry = [name for name in (*CONNECTION, *SECRETS) if name in names]
    return {
        "all": {"hosts": {h.name: {n: variables[h.name][n] for n in entry if n in variables[h.name]} for h in hosts}}
    }


def _run(share: Share, work: Path, number: int, source: Source) -> list[VerifyCheck]:
    expected, results = work / f"expected-{number}.json", work / f"results-{number}.jsonl"
    _write(expected, _document(share, work))
    argv = [sys.executable, "-m", "pytest", "-q", "-c", str(CHECKS / "pytest.ini")]
    argv += ["--rootdir", str(CHECKS), "--confcutdir", str(CHECKS), str(CHECKS)]
    done = process.run(
        argv,
        env={**utf8.environment(), **_environment(share, expected, results), **_login(share, source, work, number)},
    )
    if done.rc not in PYTEST_DONE or not results.exists():
        return [VerifyCheck(host.name, "checks-ran", RAN, UNKNOWN, _broken(done)) for host in share.hosts]
    return [VerifyCheck(**json.loads(line)) for line in results.read_text(encoding="utf-8").splitlines()]


def _broken(done: process.Result) -> str:
    """Hosts of another share are not concerned."""
    return f"pytest ended with {done.rc}: {(done.stdout + done.stderr).strip()[-600:]}"


def _document(share: Share, work: Path) -> dict[str, Any]:
    rows = [
        {"host": host.name, "settings": host.settings.model_dump(mode="json"), "models": host.settings.models()}
        for host in share.hosts
    ]
    inventory = None if share.through_ansible else str(work / "inventory.json")
    return {"inventory": inventory, "through_ansible": share.through_ansible, "hosts": rows}


def _environment(share: Share, expected: Path, results: Path) -> dict[str, str]:
    """The user's own pytest settings stay out; Ansible's programs are those of this Python."""
    return {
        "REAPER_OPS_VERIFY_EXPECTED": str(expected),
        "REAPER_OPS_VERIFY_RESULTS": str(results),
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH")))),
        "PYTEST_ADDOPTS": "",
        "PYTEST_PLUGINS": "",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "ANSIBLE_NOCOLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _login(share: Share, source: Source, work: Path, number: int) -> dict[str, str]:
    """How Ansible enters the hosts; typed passwords lie in the private directory of this run while it lasts."""
    if not share.through_ansible:
        return {}
    extra = [str(work / EXTRA)] if source.extra_vars else []
    found = {"ANSIBLE_INVENTORY": ",".join([*source.inventory, *extra])}
    found["ANSIBLE_BECOME"] = str(int(share.as_root or source.become))
    vaults = [*source.vault_password_files, *_kept(work / f"vault-{number}", source.vault_password)]
    becomes = [*filter(None, [source.become_password_file]), *_kept(work / f"become-{number}", source.become_password)]
    for name, value in (
        ("ANSIBLE_VAULT_IDENTITY_LIST", ",".join(vaults)),
        ("ANSIBLE_BECOME_PASSWORD_FILE", "".join(becomes)),
        ("ANSIBLE_REMOTE_USER", source.user),
        ("ANSIBLE_PRIVATE_KEY_FILE", source.private_key),
    ):
        found |= {name: value} if value else {}
    return found


def _kept(path: Path, password: str | None) -> list[str]:
    if password is None:
        return []
    path.touch(mode=0o600)
    path.write_text(password + "\n", encoding="utf-8")
    return [str(path)]


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.touch(mode=0o600)
    path.write_text(json.dumps(content), encoding="utf-8")
