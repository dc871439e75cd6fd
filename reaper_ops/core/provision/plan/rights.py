"""Rights that `up` needs on a host, known before it begins."""

from __future__ import annotations

import stat

from reaper_ops.core import shell
from reaper_ops.core.facts.model_store import PlacePart
from reaper_ops.core.provision.plan.model import PlanInput

NEEDED = {0: "CAP_CHOWN", 1: "CAP_DAC_OVERRIDE", 3: "CAP_FOWNER", 6: "CAP_SETGID", 7: "CAP_SETUID"}


def blockers(case: PlanInput) -> list[str]:
    s, system = case.settings, case.facts.system
    if s.ollama_runtime == "process":
        return [*exposed(case.facts.exposed, case.desired.context["home"], "ollama_home"), *_readonly(case)]
    if system.uid not in {0, None}:
        return [
            f"root is needed for ollama_runtime: {s.ollama_runtime}; set `ansible_become: true` or add `--become`, "
            "or use runtime process"
        ]
    lacking = [name for bit, name in NEEDED.items() if system.caps is not None and not system.caps >> bit & 1]
    if lacking:
        where = f"this container ({system.container})" if system.container else "this host"
        return [f"root of {where} lacks {', '.join(lacking)}; give it these rights, or use ollama_runtime: process"]
    return _readonly(case)


def exposed(where: PlacePart | None, place: str, setting: str) -> list[str]:
    """Whoever can change a directory decides what root writes and runs there."""
    if where is None:
        return []
    who, mend = "other users", f"{shell.typed('sudo chmod go-w {path}', path=where.path)}, or "
    if where.uid:
        who = where.owner
        mend = f"run it as that user: `ansible_become: true` and `ansible_become_user: {who}`, or "
    elif int(where.mode, 8) & stat.S_ISVTX:
        mend = ""
    return [
        f"root would run what is in {place}, and {who} can change {where.path} (mode {where.mode}); {mend}"
        f"set {setting} to a directory that only root can change"
    ]


def _readonly(case: PlanInput) -> list[str]:
    where = ", ".join(case.facts.readonly)
    is_or_are = "is" if len(case.facts.readonly) == 1 else "are"
    return [
        f"{where} {is_or_are} read-only; mount it for writing (`mount -o remount,rw`), or bring it in its image"
    ] * (1 if where else 0)


def warnings(case: PlanInput) -> list[str]:
    reason = case.facts.system.no_user_namespaces
    if case.settings.ollama_runtime != "systemd" or not reason:
        return []
    return [
        f"ollama.service runs without PrivateUsers: this host makes no user namespaces ({reason}); where "
        "`sysctl user.max_user_namespaces` is 0, raise it, and the next `up` adds PrivateUsers"
    ]
