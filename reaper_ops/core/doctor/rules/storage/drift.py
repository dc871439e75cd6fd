"""Variables without effect or with another effect than intended, and programs of different versions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reaper_ops import assets
from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.variables import written
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.inventory import environment
from reaper_ops.core.provision.layout import DROPIN, MARKER

ELSEWHERE = re.compile(
    r"^OLLAMA_(?:AUTH|API_KEY|EXPERIMENT|LIBRARY_PATH|CLOUD_BASE_URL|LLAMA_CPP_COMPAT|SKILLS|VERSION|NO_START"
    r"|AGENT_DISABLE_\w+)$"
)
MEANT_FALSE = frozenset({"no", "n", "off", "none", "never", "disable", "disabled"})
CACHE_TYPES = frozenset({"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"})
APPLY = Step("Converge the host: the server gets the variables that the inventory sets.", "{up}", Automate.ASK, "apply")
RESTART = Step("Restart the server.", "{restart}", Automate.ASK, "restart")


def unknown_env_var(case: HostEvidence) -> Finding | None:
    """A variable is set that this version of Ollama does not read.

    The server never warns about unknown names. Some were removed (OLLAMA_TMPDIR, OLLAMA_NEW_ENGINE, OLLAMA_MAX_VRAM),
    some never existed (OLLAMA_NUM_CTX, OLLAMA_PORT).

    Signals:
    - a setting has no effect

    Not to be confused with:
    - env-value-invalid: the name is right, the value is not.
    - unit-config-not-applied: name and value are right, the server was not restarted.

    Sources:
    - https://github.com/ollama/ollama/issues/14130
    - envconfig/config.go of Ollama (AsMap), reaper_ops/data/environment.json
    """
    version = case.seen.version or case.settings.ollama_version
    printed = _printed(case)
    found = {name: why for name in written(case) if (why := _unread(version, name, printed))}
    if not found:
        return None
    name, why = next(iter(found.items()))
    also = f", and {len(found) - 1} more" if len(found) > 1 else ""
    shown = [Evidence(_where(case, n), f"{n}={written(case)[n]}") for n in list(found)[:3]]
    shown += [Evidence("server log", "server config: its list of variables has no such name")] if printed else []
    summary = f"{name} has no effect: {why}{also}"
    values = {"name": name, "file": _where(case, name)}
    return Finding(summary, tuple(shown), values=values, steps=_steps(case, name))


def _unread(version: str, name: str, printed: str) -> str:
    if not name.startswith("OLLAMA_") or ELSEWHERE.match(name) or re.search(rf"\b{re.escape(name)}:", printed):
        return ""
    table = assets.data("environment.json")
    row = table["variables"].get(name, {})
    newer = environment.version_key(version) > environment.version_key(table["newest"])
    older = environment.version_key(version) < environment.version_key(table["oldest"])
    unknown = (not row and (newer or older)) or (older and row["since"] == table["oldest"])
    if row.get("reader") == "client" or (unknown and not printed):
        return ""
    return environment.why_not(version, name)


def _printed(case: HostEvidence) -> str:
    """The list that the server prints at its start; the last one."""
    for line in reversed(signatures.lines_with(case.facts.journal if case.facts else None, "server config")):
        found = signatures.pattern("server-config").search(line)
        if found:
            return found["env"]
    return ""


def env_value_invalid(case: HostEvidence) -> Finding | None:
    """A variable has a value that Ollama does not understand, or reads as something else.

    An invalid number is replaced by the default, with a warning in the log. Of booleans, every text that Go does not
    know is true: `OLLAMA_NOPRUNE=no` means yes. A duration without a unit means seconds.

    Signals:
    - `invalid environment variable, using default" key=OLLAMA_NUM_PARALLEL value=four default=1`
    - `invalid port, using default`

    Not to be confused with:
    - unknown-env-var: the name does not exist.

    Sources:
    - envconfig/config.go of Ollama
    - recorded: start-invalid-values
    """
    version = case.seen.version or case.settings.ollama_version
    found = _warned(case)
    for name, value in written(case).items():
        why = _misread(version, name, value.strip().strip("\"'"))
        if why and name not in found:
            found[name] = (Evidence(_where(case, name), f"{name}={value}"), why)
    if not found:
        return None
    name, (_, why) = next(iter(found.items()))
    also = f", and {len(found) - 1} more" if len(found) > 1 else ""
    shown = tuple(evidence for evidence, _ in list(found.values())[:4])
    values = {"name": name, "file": _where(case, name)}
    return Finding(f"{name}: {why}{also}", shown, values=values, steps=_steps(case, name))


def _warned(case: HostEvidence) -> dict[str, tuple[Evidence, str]]:
    """Of the last start; such lines come before and after the server's list of variables."""
    found: dict[str, tuple[Evidence, str]] = {}
    log = (case.facts.journal if case.facts else None) or ""
    if not any(signatures.stands_in(name, log) for name in ("env-invalid", "port-invalid")):
        return {}
    lines = log.splitlines()
    starts = [n for n, line in enumerate(lines) if signatures.pattern("server-config").search(line)]
    for line in lines[max(0, starts[-1] - 20) :] if starts else lines:
        bad = signatures.pattern("env-invalid").search(line) or signatures.pattern("port-invalid").search(line)
        if bad is None:
            continue
        groups = bad.groupdict()
        name, value = groups.get("key") or "OLLAMA_HOST", (groups.get("value") or groups.get("port") or "").strip('"')
        if case.environ and value not in case.environ.get(name, ""):
            continue
        what = "a number that Ollama reads" if groups.get("key") else "a port"
        why = f"{value} is not {what}, so the default is used"
        found.setdefault(name, (Evidence("server log", excerpt(line, 200)), why))
    return found


def _misread(version: str, name: str, value: str) -> str:
    kind = str(environment.known(version).get(name, {}).get("kind", ""))
    if not value or name in {"OLLAMA_HOST", "OLLAMA_MODELS"}:
        return ""
    if kind == "bool":
        return environment.misread(kind, value) if value.lower() in MEANT_FALSE else ""
    if name == "OLLAMA_KV_CACHE_TYPE" and value.lower() not in CACHE_TYPES:
        return f"{value} is not a cache type of Ollama"
    return environment.misread(kind, value) if kind in {"uint", "duration"} else ""


def _where(case: HostEvidence, name: str) -> str:
    """The file that sets it, as `systemctl cat` shows it; else the environment of the server."""
    for file, body in _files(case):
        if re.search(rf"^Environment=.*\b{re.escape(name)}=", body, re.M):
            return file
    return "environment of the server"


def _files(case: HostEvidence) -> Iterator[tuple[str, str]]:
    parts = re.split(r"^# (/\S+)$", case.traces.unit_text or "", flags=re.M)
    return zip(parts[1::2], parts[2::2], strict=False)


def _steps(case: HostEvidence, name: str) -> tuple[Step, ...]:
    """`up` writes a file of ours again; a person corrects any other."""
    ours = {file for file, body in _files(case) if MARKER in body} | {DROPIN}
    file = _where(case, name)
    if case.settings.ollama_runtime != "systemd" or file in ours:
        return (APPLY,)
    if file.startswith("/"):
        return (
            Step("Remove {name} from {file}, or correct it.", "sudoedit {file} && sudo systemctl daemon-reload"),
            RESTART,
        )
    return (Step("Find where {name} is set, and correct it.", "systemctl cat ollama | grep -n {name}"), APPLY)


def version_skew(case: HostEvidence) -> Finding | None:
    """Programs named `ollama` have different versions.

    Two installations exist (/usr/bin and /usr/local/bin, a container and a package), or the server was not restarted
    after an upgrade.

    Signals:
    - `Warning: client version is 0.6.2`
    - the command line knows options that the server refuses

    Not to be confused with:
    - second-instance: two servers run.

    Sources:
    - cmd/cmd.go of Ollama (versionHandler)
    """
    server = case.seen.version
    odd = [b for b in case.traces.binaries or () if b.version and server and b.version != server]
    if not odd or server is None:
        return None
    shown = (
        Evidence("GET /api/version", server),
        *(Evidence("ollama --version", f"{b.path}: {b.version}") for b in odd[:3]),
    )
    values = {"path": odd[0].path}
    if case.settings.ollama_managed and all(b.version == case.settings.ollama_version for b in odd):
        summary = f"the server still runs {server}; {odd[0].version} is installed and configured"
        return Finding(summary, shown, Confidence.CERTAIN, values, steps=(APPLY,))
    steps = _OTHERS if case.settings.ollama_runtime == "systemd" else (_TYPE, _OTHERS[1])
    return Finding(
        f"{odd[0].path} is {odd[0].version}, and the server is {server}",
        shown,
        Confidence.CERTAIN,
        values,
        steps=steps,
    )


_TYPE = Step("List all of them.", "type -a ollama")
_OTHERS = (
    Step("List all of them, and the server's.", "type -a ollama; systemctl show -p ExecStart ollama"),
    Step("Remove the one that nobody needs, or install the same version in both places.", "ls -l {path}"),
)


RULES = (
    Rule(unknown_env_var, Severity.WARNING, steps=(APPLY,), needs=("systemctl-cat.txt",)),
    Rule(env_value_invalid, Severity.WARNING, steps=(APPLY,), needs=("journal.log",)),
    Rule(
        version_skew,
        Severity.WARNING,
        steps=_OTHERS,
    ),
)
