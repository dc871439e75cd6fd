"""The server may not read or write its store."""

from __future__ import annotations

from collections.abc import Iterator

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import store
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.pull import reasons
from reaper_ops.core.doctor.rules.reported.texts import loaded_last
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.storage import home as at_home
from reaper_ops.core.doctor.rules.variables import unit_properties, written
from reaper_ops.core.doctor.signatures.model import Hit
from reaper_ops.core.facts.model_store import Denied, PathStep
from reaper_ops.core.facts.reported import ListedFile
from reaper_ops.core.health.report import Evidence, State

_OWN = Step(
    "Give the model store to the server's user.",
    "sudo chown -R {user}: {store} && sudo chmod -R u+rwX {store}",
    Automate.ASK,
    "own",
    ("store",),
)
_PASS = Step("Let that user, and nobody else, pass through the directory.", "sudo setfacl -m u:{user}:x {path}")
_HIDDEN = Step(
    "If the modes already allow it, the unit hides /home from the server: with ProtectHome=yes, set ProtectHome=no in a"
    " drop-in, or move the store out of /home.",
    "systemctl show ollama -p ProtectHome -p ProtectSystem -p ReadWritePaths",
)
_SETTLE = Step("Restart the server.", "{restart}", Automate.ASK, "restart")
REFUSED = frozenset({"models-dir-permission", "models-dir-readonly"})


def refused(case: HostEvidence) -> Hit | None:
    """The log's last complaint, where it is that the store may not be read or written."""
    hit = case.log.complaint
    if hit is None or hit.signature.id not in REFUSED or at_home.refused(case) is not None:
        return None
    if not case.environ and "Environment" not in case.unit:
        return hit
    path, ours = hit.groups.get("path", ""), store.expanded(case, case.models_dir)
    return hit if store.below(path, ours) or store.below(ours, path) else None


def weight(case: HostEvidence) -> Severity | None:
    """A warning while the server answers and has what was promised."""
    return Severity.WARNING if case.state is State.HEALTHY else None


def models_dir_permission(case: HostEvidence) -> Finding | None:
    """The server's user may not enter or write the model store.

    The store is under somebody's home, or on a disk that is mounted for one user; or root owns it since somebody ran
    `sudo ollama serve`. A server with models serves them from a store that it cannot write; without models it exits
    when it starts.

    Signals:
    - `mkdir /srv/models/blobs: permission denied: ensure path elements are traversable`
    - `open …/blobs/sha256-…-partial-0: permission denied`

    Not to be confused with:
    - unit-sandbox-blocks: the modes are right, and the unit denies access.
    - service-home-missing: the path is the home of the user.
    - filesystem-readonly-or-inodes: `read-only file system`.

    Sources:
    - https://github.com/ollama/ollama/issues/9148
    - https://github.com/ollama/ollama/issues/2147
    - recorded: start-models-dir-unwritable, unwritable-models-pull
    """
    wall, hit = next(_walls(case), None), refused(case)
    reason = reasons.why(case, "models-dir-permission")
    said = tuple(Evidence("server log", excerpt(h.line, 200)) for h in (hit,) if h) or _evidence_of(reason)
    if wall is not None:
        path, shown, certain = wall
        if not certain and not said:
            return None
        confidence = Confidence.CERTAIN if certain or said else Confidence.LIKELY
        return _walled(case, path, (shown, *said), confidence)
    silent = (case.traces.denied is not None or case.state is State.HEALTHY) and not _of_weights(case, hit)
    if hit is not None and hit.signature.id == "models-dir-permission" and not silent:
        return _walled(case, _blocking(case, hit), said, Confidence.LIKELY)
    if reason is not None and case.traces.denied is None:
        return _walled(case, reason.groups.get("path", case.models_dir), said, Confidence.CERTAIN)
    row = _closed(case)
    if row is None:
        return None
    shown = Evidence("ls -l", f"{row.mode} {row.owner} {row.group} {row.path}")
    return _walled(case, row.path, (shown,), Confidence.LIKELY)


def _closed(case: HostEvidence) -> ListedFile | None:
    """The first directory on the way to the store that a pasted `ls -l` shows as closed to the unit's user."""
    user, ours = unit_properties(case).get("User", ""), written(case).get("OLLAMA_MODELS", "").rstrip("/")
    if not ours.startswith("/") or user in {"", "root", "0"} or case.traces.denied is not None:
        return None
    rows = [row for row in case.traces.listed if row.mode[:1] == "d" and store.below(ours, row.path)]
    return next((row for row in sorted(rows, key=lambda row: len(row.path)) if not _open_to(row, user, ours)), None)


def _open_to(row: ListedFile, user: str, ours: str) -> bool:
    """By owner, by a group of the user's own name, or for everybody: to write the store, to pass what is above it."""
    start = 1 if row.owner == user else 4 if row.group == user else 7
    bits = row.mode[start : start + 3]
    return bits[2] in "xst" and (bits[1] == "w" or row.path.rstrip("/") != ours)


def _of_weights(case: HostEvidence, hit: Hit | None) -> bool:
    """Whether a load of this run failed over the file of a model: the API answers, and that model does not."""
    return hit is not None and "couldn't open model file" in hit.line and not loaded_last(case)


def _evidence_of(reason: reasons.Reason | None) -> tuple[Evidence, ...]:
    return (reason.evidence,) if reason else ()


def _blocking(case: HostEvidence, hit: Hit) -> str:
    """A directory that could not be made is not there: what blocks is the one above it."""
    path = hit.groups.get("path", case.models_dir)
    above = path.rpartition("/")[0]
    return above if f"mkdir {path}:" in hit.line and above and not store.below(path, _ours(case)) else path


def _ours(case: HostEvidence) -> str:
    return store.expanded(case, case.models_dir)


def _walled(case: HostEvidence, path: str, shown: tuple[Evidence, ...], confidence: Confidence) -> Finding:
    user = unit_properties(case).get("User") or _runs_as(case) or "ollama"
    inside = store.below(path, store.expanded(case, case.models_dir))
    what = "may not write" if inside else "may not pass through"
    return Finding(
        f"the server's user {user} {what} {path}, {'its model store' if inside else 'above its model store'}",
        shown,
        confidence,
        {"path": path, "user": user, "store": store.expanded(case, case.models_dir)},
        weight(case),
        steps=(_OWN if inside else _PASS, *_maybe_hidden(case, path), _SETTLE),
    )


def _runs_as(case: HostEvidence) -> str:
    """The user of the server's process, by name."""
    pid = case.facts.process.pid if case.facts and case.facts.process else 0
    user = next((row.user for row in case.traces.processes or () if pid and row.pid == pid), "")
    return "" if user.isdigit() else user


def _maybe_hidden(case: HostEvidence, path: str) -> tuple[Step, ...]:
    """Below /home the unit can be the reason, where nothing shows what it protects."""
    known = "ProtectHome" in unit_properties(case) or case.unit.get("Environment") is not None
    return (_HIDDEN,) if store.below(path, "/home") and not known else ()


def _walls(case: HostEvidence) -> Iterator[tuple[str, Evidence, bool]]:
    """(path, proof, whether it is certain): what was tried as the server's user, else what the modes say."""
    bind = _bind(case)
    denials = [] if _as_root(case) else list(case.traces.denied or ())
    unseen = any(_above(denied.path, bind) for denied in denials)
    for denied in denials if not unseen else ():
        if denied.error in {"EACCES", "EPERM"}:
            yield denied.path, Evidence("tried as the service's user", _spoken(denied)), True
    uid, gids = _identity(case)
    if (case.traces.denied is not None and not unseen) or uid in {None, 0}:
        return
    steps = case.traces.path_steps or ()
    for step in steps:
        need = 0o3 if step is steps[-1] else 0o1
        allowed, certain = _allowed(step, uid or 0, gids, need)
        if not allowed and not _above(step.path, bind):
            yield step.path, Evidence("stat", f"{step.path}: mode {step.mode}, owner {step.uid}:{step.gid}"), certain


def _bind(case: HostEvidence) -> str:
    """The place that the unit binds and that holds the store: the server meets directories of systemd's above it."""
    ours = store.expanded(case, case.models_dir)
    return next((bind for bind in store.unit_paths(case.unit, "BindPaths") if store.below(ours, bind)), "")


def _above(path: str, bind: str) -> bool:
    return bool(bind) and path != bind and store.below(bind, path)


def _as_root(case: HostEvidence) -> bool:
    """A unit without a user; what was tried as `ollama` then says nothing."""
    return bool(case.unit.get("LoadState")) and case.unit.get("User", "ollama") in {"", "root"}


def _spoken(denied: Denied) -> str:
    return f"{denied.need} {denied.path}: {denied.error}"


def _identity(case: HostEvidence) -> tuple[int | None, tuple[int, ...]]:
    process = case.facts.process if case.facts else None
    if process is not None and process.uid is not None:
        return process.uid, process.gids
    return case.traces.user_uid, ()


def _allowed(step: PathStep, uid: int, gids: tuple[int, ...], need: int) -> tuple[bool, bool]:
    """An access list can grant what the mode hides, but never more than the bits of the group show."""
    mode = int(step.mode or "0", 8)
    if step.uid == uid:
        return (mode >> 6) & need == need, True
    if mode & need == need:
        return True, True
    grouped = (mode >> 3) & need == need
    return grouped and step.gid in gids, not grouped


def service_home_missing(case: HostEvidence) -> Finding | None:
    """The home directory of the server's user does not exist, or belongs to another user.

    The user was created without a home, or a distribution keeps it elsewhere. The server writes its key there when it
    starts.

    Signals:
    - `Error: could not create directory mkdir /usr/share/ollama: permission denied`
    - `panic: $HOME is not defined`

    Not to be confused with:
    - models-dir-permission: the path is the store, and the home exists.

    Sources:
    - https://github.com/ollama/ollama/issues/15940
    - https://github.com/ollama/ollama/issues/9148
    - recorded: start-home-unset, start-home-unwritable-no-models-env
    """
    at = at_home.refused(case)
    if at is not None:
        return at_home.finding(case, at)
    home = written(case).get("HOME") or case.traces.user_home or ""
    user, hit = case.unit.get("User") or "ollama", case.log.complaint
    down = case.state is not State.HEALTHY
    if down and hit is not None and hit.signature.id == "home-not-defined":
        return Finding(
            "the server has no HOME in its environment",
            (Evidence("server log", excerpt(hit.line, 200)),),
            values={"user": user},
            steps=(_HOME,),
        )
    said = hit if down and hit is not None and hit.signature.id == "models-dir-permission" else None
    path = said.groups.get("path", "") if said else ""
    if said is not None and home and path in {home, f"{home}/.ollama"}:
        shown: tuple[Evidence, ...] = (Evidence("server log", excerpt(said.line, 200)),)
        return Finding(
            f"the server's user {user} cannot create or write its home {home}",
            shown,
            values={"path": home, "user": user, "home": home},
        )
    if case.traces.user_home_exists is not False or home != case.traces.user_home:
        return None
    shown = (Evidence("getent passwd", f"{user}: home {home}"), Evidence("stat", f"{home}: no such directory"))
    summary = f"the home {home} of the server's user {user} does not exist"
    return Finding(summary, shown, values={"path": home, "user": user, "home": home}, severity=weight(case))


_HOME = Step(
    "Set HOME for the server: the unit that `up` writes does; in a unit of your own, add `Environment=HOME=` with the "
    "user's home.",
    "{up}",
    Automate.ASK,
    "apply",
)

RULES = (
    Rule(
        models_dir_permission,
        Severity.ERROR,
        steps=(_OWN, _PASS, _SETTLE),
        explains=(
            "service-crash-looping",
            "service-not-running",
            "connection-refused",
            "model-not-found",
            "model-missing",
        ),
        needs=("journal.log",),
    ),
    Rule(
        service_home_missing,
        Severity.ERROR,
        steps=(
            Step("Create the home.", "sudo install -d -o {user} -g {user} {path}", Automate.SAFE, "own", ("home",)),
            _SETTLE,
        ),
        explains=(
            "models-dir-permission",
            "service-crash-looping",
            "service-not-running",
            "connection-refused",
            "model-not-found",
            "model-missing",
        ),
        needs=("journal.log",),
    ),
)
