"""The unit's files: not in effect yet, overwritten by an installer, or with origins that make the server panic."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.reachability import not_in_effect, port, unit_text
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.provision import layout
from reaper_ops.core.provision.render import HASH_VARIABLE

OURS = "/etc/systemd/system/ollama.service"
VENDOR = re.compile(r"^Description=Ollama Service$", re.M)
DEFAULT_HOST = "http://127.0.0.1:11434"
KEPT = {"OLLAMA_HOST": "ollama_bind", "OLLAMA_MODELS": "ollama_models_dir"}
SCHEMES = (
    "http://",
    "https://",
    "chrome-extension://",
    "safari-extension://",
    "moz-extension://",
    "ms-browser-extension://",
)
BUILT_IN = ("app://", "file://", "tauri://", "vscode-webview://", "vscode-file://")


def unit_config_not_applied(case: HostEvidence) -> Finding | None:
    """The running server does not have the settings of its unit.

    The files were edited, and systemd did not read them again or nobody restarted the server. Or a line cannot take
    effect: it is outside [Service], in curly quotes, or split at a space. A variable that somebody exported in a shell
    never reaches a service.

    Signals:
    - "I set OLLAMA_HOST and nothing changed"
    - `Warning: The unit file, source configuration file or drop-ins of ollama.service changed on disk`

    Not to be confused with:
    - listening-loopback-only: both unit and server have 127.0.0.1.
    - unit-overwritten-by-upgrade: the lines are gone from the file.

    Sources:
    - https://github.com/ollama/ollama/issues/7892
    - https://github.com/ollama/ollama/issues/1391
    - docs/faq.mdx of Ollama
    """
    if case.unit.get("LoadState") in {"bad-setting", "error"}:
        shown = port.properties(case, "LoadState", "ActiveState")
        return Finding("systemd cannot load ollama.service", (shown,), severity=Severity.ERROR, steps=(_VERIFY, _APPLY))
    wrong = unit_text.ignored(case.traces.unit_text)
    if wrong is not None:
        line, why = wrong
        shown = Evidence(line.path or "systemctl cat", excerpt(f"{line.key}={line.value}", 160))
        correct = Step(f"Correct the line in {line.path or 'its file'}.", "sudoedit {path}" if line.path else "")
        summary = f"a line of the unit does not have the intended effect: it {why}"
        values = {"path": line.path}
        return Finding(
            summary, (shown,), Confidence.CERTAIN, values, _severity(case), (correct, _reload(case), _RESTART)
        )
    stale = not_in_effect.lines(case)
    if case.unit.get("NeedDaemonReload") == "yes":
        shown = port.properties(case, "NeedDaemonReload", "ActiveState")
        summary = "the files of ollama.service changed after systemd read them"
        return Finding(summary, (shown, *stale), severity=_severity(case), steps=(_reload(case), _RESTART))
    if not stale:
        return None
    return _not_restarted(case, stale)


def _not_restarted(case: HostEvidence, stale: tuple[Evidence, ...]) -> Finding:
    if not case.unit:
        summary = (
            "the server does not have the settings of its drop-in: systemd has not read it, or no restart followed"
        )
        return Finding(summary, stale, severity=Severity.ERROR, steps=(_reload(case), _RESTART))
    summary = "the running server does not have the settings of its unit, because it was not restarted since"
    ours = case.settings.ollama_managed and any(HASH_VARIABLE in line.text for line in stale)
    steps = (replace(_APPLY, text="Apply the inventory, which restarts the server."),) if ours else (_RESTART_ALONE,)
    return Finding(summary, stale, severity=_severity(case), steps=steps)


def unit_overwritten_by_upgrade(case: HostEvidence) -> Finding | None:
    """The vendor's installer replaced the main unit, and the settings in it are gone.

    install.sh writes /etc/systemd/system/ollama.service at every run. It leaves drop-ins alone: settings belong there.

    Signals:
    - after `curl ... | sh`, the LAN is refused, or models are gone because the directory is another

    Not to be confused with:
    - unit-config-not-applied: the lines are in the file, and not in effect.
    - an upgrade by `up`: the main unit is its own, and the settings are in a drop-in.

    Sources:
    - https://github.com/ollama/ollama/issues/9623
    - https://github.com/ollama/ollama/issues/13178
    - install.sh of Ollama
    """
    text = case.traces.unit_text
    main = unit_text.main(text)
    if text is None or layout.MARKER in main or not VENDOR.search(main):
        return None
    first = Evidence("systemctl cat", "Description=Ollama Service, as the vendor's installer writes it")
    drifted = next((d for d in case.traces.drift or () if d.path == OURS and d.problem == "changed"), None)
    if drifted is not None:
        summary = "Ollama's installer replaced the main unit that `reaper-ops up` wrote"
        return Finding(summary, (first, Evidence("manifest", f"{OURS} changed")), steps=(_APPLY,))
    lost = _lost(case)
    if lost is not None:
        summary = f"the upgrade to {lost.version} reset {lost.name} to {lost.now}; before, it was {lost.before}"
        values = {"setting": KEPT[lost.name], "variable": lost.name, "before": lost.before}
        steps = _RECREATE[:1] if case.settings.ollama_managed else _RECREATE[1:]
        return Finding(summary, (first, *lost.evidence), Confidence.LIKELY, values, steps=steps)
    kept = [line for line in unit_text.lines(main) if line.section == "Service" and "OLLAMA_" in line.value]
    if not kept:
        return None
    shown = Evidence(OURS, excerpt(f"Environment={kept[0].value}", 120))
    summary = "the main unit has settings, which the next run of Ollama's installer removes"
    steps = _MOVE[:1] if case.settings.ollama_managed else _MOVE[1:]
    return Finding(summary, (shown,), Confidence.LIKELY, {"path": OURS}, Severity.WARNING, steps)


def bad_origins_panic(case: HostEvidence) -> Finding | None:
    """The server panics at start because of its OLLAMA_ORIGINS.

    Each item needs a scheme or a `*`, has at most one `*`, and must not be empty: `example.com`, `null`, a comma at the
    end, and `http://*.a.*` all make the server panic.

    Signals:
    - `panic: bad origin: origins must contain '*' or include http://,https://,...`
    - `panic: only one * is allowed`

    Not to be confused with:
    - cors-origin-403: the server runs, and refuses the origin of a browser.

    Sources:
    - https://github.com/ollama/ollama/issues/8880
    - https://github.com/ollama/ollama/issues/1686
    - recorded: journal-bad-origins, start-bad-origins-*
    """
    hit = port.fatal_line(case, "bad-origins-panic")
    if hit is None:
        return None
    items = _origins(case)
    bad = [item for item in items if not _allowed(item)]
    shown = (Evidence("server log", f"OLLAMA_ORIGINS:[{excerpt(' '.join(items), 120)} ...]"),) if items else ()
    what = ", ".join(dict.fromkeys(repr(item) if item else "an empty item" for item in bad))
    summary = f"OLLAMA_ORIGINS has {what or 'an item'}, which the server rejects: it panics at start"
    right = ",".join(item if _allowed(item) else f"https://{item}" for item in items if item and item.count("*") < 2)
    values = {"origins": right or "https://app.example.org"}
    steps = None if case.settings.ollama_managed else (_ORIGINS_BY_HAND, _RESTART)
    return Finding(summary, (Evidence("server log", excerpt(hit.line, 200)), *shown), values=values, steps=steps)


def _reload(case: HostEvidence) -> Step:
    """A daemon-reload may take the GPU from containers that run now (nvml-unknown-container)."""
    boxes = [box.name for box in case.traces.containers or () if box.gpu and box.state == "running"]
    if not boxes:
        return _RELOAD
    text = (
        f"Have systemd read its units again. Containers with a GPU ({', '.join(boxes)}) may lose it until they restart."
    )
    return replace(_RELOAD, text=text, automate=Automate.ASK)


def _severity(case: HostEvidence) -> Severity:
    return Severity.WARNING if case.state is State.HEALTHY else Severity.ERROR


class _Change:
    """A setting of the server that fell back to its default from one version to the next."""

    def __init__(self, name: str, before: str, now: str, version: str, evidence: tuple[Evidence, ...]) -> None:
        self.name, self.before, self.now, self.version, self.evidence = name, before, now, version, evidence


def _lost(case: HostEvidence) -> _Change | None:
    runs: list[tuple[dict[str, str], str]] = []
    config: dict[str, str] = {}
    for hit in signatures.hits("log", case.facts.journal if case.facts else None):
        if hit.signature.id == "server-config":
            config = dict(re.findall(r"(OLLAMA_[A-Z]+):(\S*)", hit.groups["env"]))
        elif hit.signature.id == "listening" and config:
            runs.append((config, hit.groups["version"]))
    for (before, old), (after, new) in pairwise(runs):
        for name in KEPT:
            was, now = before.get(name, ""), after.get(name, "")
            if old == new or was == now or (after, new) != runs[-1] or not _is_default(name, now):
                continue
            shown = (Evidence("server log", f"{old}: {name}:{was}"), Evidence("server log", f"{new}: {name}:{now}"))
            return _Change(name, was, now, new, shown)
    return None


def _is_default(name: str, value: str) -> bool:
    return value == DEFAULT_HOST if name == "OLLAMA_HOST" else value.endswith("/.ollama/models")


def _origins(case: HostEvidence) -> list[str]:
    """What was set by hand, from the server's own words: its built-in origins follow from http://localhost on."""
    lists = [
        found[1]
        for hit in signatures.hits("log", case.facts.journal if case.facts else None)
        if hit.signature.id == "server-config"
        and (found := re.search(r"OLLAMA_ORIGINS:\[([^\]]{0,2000})\]", hit.groups["env"]))
    ]
    if not lists:
        return []
    own = lists[-1].split(" http://localhost https://localhost ")[0]
    return own.split(" ") if own != lists[-1] else []


def _allowed(item: str) -> bool:
    return item.count("*") == 1 or (item.startswith((*SCHEMES, *BUILT_IN)) and "*" not in item)


_APPLY = Step("Restore the unit as the inventory configures it.", "{up}", Automate.ASK, "apply")
_VERIFY = Step("Check what systemd reports about it.", "systemd-analyze verify ollama.service")
_RELOAD = Step("Have systemd read its units again.", "sudo systemctl daemon-reload", Automate.SAFE, "reload")
_RESTART_ALONE = Step("Restart the server.", "{restart}", Automate.ASK, "restart")
_RESTART = Step("Then restart the server.", "{restart}", Automate.ASK, "restart")
_RECREATE = (
    Step(
        "Check that `{setting}` in the inventory has the value that you want ({before}), then apply.",
        "{up}",
        Automate.ASK,
        "apply",
    ),
    Step(
        'Put it into a drop-in, which the installer keeps: `Environment="{variable}={before}"` under `[Service]`.',
        "sudo systemctl edit ollama",
    ),
    _RESTART,
)
_MOVE = (
    Step(
        "Put the settings of {path} into the inventory, then apply: it keeps them in a drop-in.",
        "{up}",
        Automate.ASK,
        "apply",
    ),
    Step("Move the settings from {path} into a drop-in.", "sudo systemctl edit ollama"),
)
_ORIGINS_BY_HAND = Step(
    "Correct OLLAMA_ORIGINS where it is set, such as {origins}: each item with its scheme, or one `*`.",
    "systemctl cat ollama",
)

RULES = (
    Rule(
        unit_config_not_applied,
        Severity.WARNING,
        steps=(_RELOAD, _RESTART),
        explains=("listening-loopback-only",),
        needs=("systemctl-show.txt", "systemctl-cat.txt"),
    ),
    Rule(
        unit_overwritten_by_upgrade,
        Severity.ERROR,
        steps=_RECREATE,
        explains=("listening-loopback-only", "unit-config-not-applied"),
        needs=("systemctl-cat.txt", "journal.log"),
    ),
    Rule(
        bad_origins_panic,
        Severity.ERROR,
        steps=(
            Step(
                "Correct `ollama_origins` in the inventory, such as {origins}: each item with its scheme, or one `*`."
            ),
            Step("Then apply.", "{up}", Automate.ASK, "apply"),
        ),
        explains=("service-crash-looping", "service-not-running", "connection-refused"),
        needs=("journal.log",),
    ),
)
