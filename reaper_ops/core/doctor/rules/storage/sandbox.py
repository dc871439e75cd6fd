"""A unit or a security module that denies the server its store."""

from __future__ import annotations

from collections.abc import Mapping

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import store
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.storage.access import refused, weight
from reaper_ops.core.doctor.rules.variables import unit_properties
from reaper_ops.core.health.report import Evidence, State

HOMES = ("/home", "/root", "/run/user")
TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - compared, not written


def unit_sandbox_blocks(case: HostEvidence) -> Finding | None:
    """The unit, or a security module, denies the server access to its store.

    ProtectHome, ProtectSystem, PrivateTmp or paths of the unit hide the store or make it read-only for the server,
    although `ls` shows the right modes; or SELinux or AppArmor denies access.

    Signals:
    - `permission denied` or `read-only file system` in a store whose modes are right

    Not to be confused with:
    - models-dir-permission: the modes deny access to the user without any sandbox.
    - filesystem-readonly-or-inodes: the file system is read-only for everybody.

    Sources:
    - https://github.com/ollama/ollama/issues/2701
    - https://github.com/ollama/ollama/issues/9945
    - https://github.com/ollama/ollama/issues/10672
    """
    hit, path = refused(case), store.expanded(case, case.models_dir)
    said = (Evidence("server log", excerpt(hit.line, 200)),) if hit else ()
    unit = unit_properties(case)
    why = _hidden(unit, path) or _fenced(unit, path, sure=hit is not None)
    refused_at = hit.groups.get("path", "") if hit else ""
    if not why and (why := _hidden(unit, refused_at)):
        path = refused_at
    if why:
        confidence = Confidence.CERTAIN if said else Confidence.LIKELY
        summary = f"the unit denies the server its store {path}: {why.split(';')[0]}"
        steps = (_MOVE,) if why.startswith("PrivateTmp") else (_CONVERGE, _DROPIN)
        shown = (Evidence("systemctl show", why), *said)
        return Finding(summary, shown, confidence, {"path": path}, weight(case), steps)
    denials = [line for line in (case.traces.audit or "").splitlines() if signatures.match("audit", line)]
    if not denials or not (said or case.state is not State.HEALTHY):
        return None
    shown = (Evidence("audit log", excerpt(denials[-1], 240)), *said)
    return Finding(
        "a security module (SELinux, AppArmor) denies the server a file",
        shown,
        Confidence.LIKELY,
        {"path": path},
        steps=(_MODULE, _RESTART),
    )


def _hidden(unit: Mapping[str, str], path: str) -> str:
    """What hides the path completely."""
    if any(store.below(path, bind) for bind in store.unit_paths(unit, "BindPaths")):
        return ""
    home = next((h for h in HOMES if store.below(path, h)), "")
    protects = unit.get("ProtectHome", "no")
    if home and protects in {"yes", "tmpfs"}:
        return f"ProtectHome={protects}; {home} is empty for the server"
    if unit.get("PrivateTmp", "no") in {"yes", "disconnected"} and any(store.below(path, t) for t in TEMPORARY):
        return "PrivateTmp=yes; the server has a private /tmp, which is removed when it stops"
    gone = next((p for p in store.unit_paths(unit, "InaccessiblePaths") if store.below(path, p)), "")
    return f"InaccessiblePaths={gone}" if gone else ""


def _fenced(unit: Mapping[str, str], path: str, *, sure: bool) -> str:
    """What makes the path read-only."""
    open_ = store.unit_paths(unit, "ReadWritePaths", "BindPaths")
    for name, root in (("StateDirectory", "/var/lib"), ("CacheDirectory", "/var/cache")):
        open_ += [f"{root}/{word}" for word in store.unit_paths(unit, name)]
    if any(store.below(path, p) for p in open_):
        return ""
    closed = next((p for p in store.unit_paths(unit, "ReadOnlyPaths") if store.below(path, p)), "")
    if closed:
        return f"ReadOnlyPaths={closed}"
    if unit.get("ProtectHome") == "read-only" and any(store.below(path, h) for h in HOMES):
        return "ProtectHome=read-only"
    system = unit.get("ProtectSystem", "no")
    if system == "strict" and (sure or ("ReadWritePaths" in unit and "StateDirectory" in unit)):
        return f"ProtectSystem=strict; ReadWritePaths does not name it ({unit.get('ReadWritePaths') or 'empty'})"
    roots = {"yes": ("/usr", "/boot", "/efi"), "full": ("/usr", "/boot", "/efi", "/etc")}.get(system, ())
    return f"ProtectSystem={system}" if any(store.below(path, r) for r in roots) else ""


_CONVERGE = Step(
    "If the inventory names this store (`ollama_models_dir`), converge the host: `up` writes a unit that opens it.",
    "{up}",
    Automate.ASK,
    "apply",
)
_DROPIN = Step(
    "Otherwise open it in a drop-in under `[Service]`: `ReadWritePaths={path}`, and below /home also `ProtectHome=no`.",
    "sudo systemctl edit ollama",
)
_MOVE = Step(
    "Move the store out of the temporary directory: set `ollama_models_dir` in the inventory and apply it.", "{up}"
)
_MODULE = Step(
    "See what is denied, and give the store the label or the profile that allows it.",
    "sudo ausearch -m avc -ts recent -c ollama",
)
_RESTART = Step("Restart the server.", "{restart}", Automate.ASK, "restart")

RULES = (
    Rule(
        unit_sandbox_blocks,
        Severity.ERROR,
        steps=(_CONVERGE, _DROPIN, _MODULE),
        explains=(
            "models-dir-permission",
            "filesystem-readonly-or-inodes",
            "service-crash-looping",
            "service-not-running",
            "connection-refused",
            "model-not-found",
            "model-missing",
        ),
        needs=("systemctl-show.txt", "journal.log"),
    ),
)
