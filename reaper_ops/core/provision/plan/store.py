"""The directory of the models: made, or given to the server's user while it is empty, and otherwise not touched."""

from __future__ import annotations

from reaper_ops.core import shell
from reaper_ops.core.facts.model import Disk
from reaper_ops.core.facts.model_store import Place, PlacePart
from reaper_ops.core.provision.plan.model import Action, PlanInput
from reaper_ops.core.values import human_bytes

HIDDEN_PLACES = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - compared, not written
FULL = 1 << 20
_ENTER, _WRITE = 0o1, 0o3
_MAKE_USER = (
    "sudo useradd --system --user-group --no-create-home --home-dir {home} --shell /usr/sbin/nologin {user} && "
)
_GIVE = "sudo chown -R {user}: {path}"


def models_dir(case: PlanInput) -> list[Action]:
    wanted, place = case.settings.ollama_models_dir, case.facts.models_place
    if wanted is None:
        return []
    if place is None:
        there = case.facts.files.get(wanted)
        return [] if there is not None else [Action("ollama/models-dir", wanted, "is missing")]
    if not place.exists:
        return [Action("ollama/models-dir", wanted, "is missing")]
    if _may(place, place.steps[-1], _WRITE) or place.entries:
        return []
    last, user = place.steps[-1], case.desired.context["user"]
    return [
        Action("ollama/models-dir", wanted, f"is empty and {last.owner}'s, mode {last.mode}; {user}'s, 0755 is desired")
    ]


def blockers(case: PlanInput) -> list[str]:
    return _file_systems(case) + (_place(case, case.facts.models_place) if case.facts.models_place else [])


def _place(case: PlanInput, place: Place) -> list[str]:
    """Whose directories stand in the way, and the command that lets the server in."""
    odd = next((step for step in place.steps if not step.directory), None)
    if odd is not None:
        return [f"{odd.path} is no directory, and ollama_models_dir is {place.path}; name another place"]
    found = [_closed(case, step) for step in _walls(place)]
    last = place.steps[-1] if place.steps else None
    if last is None:
        return found
    mine = place.exists and _may(place, last, _WRITE)
    if place.exists and not mine and place.entries != 0:
        return [*found, _foreign(case, place, last)]
    if not mine and not place.root_may_write and not _read_only(case, place.path):
        return [*found, f"root may not change {last.path} (a share with root_squash, or an attribute of the file "
                f"system); make {place.path} there for uid {_number(place)} where the share is served"]  # fmt: skip
    return found


def _walls(place: Place) -> list[PlacePart]:
    """Parents that the server's user cannot pass; where the unit binds the place, only the place itself counts."""
    if _bound(place):
        return []
    parents = place.steps[:-1] if place.exists else place.steps
    return [step for step in parents if not _may(place, step, _ENTER)]


def _bound(place: Place) -> bool:
    return any(place.path.startswith(f"{top}/") for top in HIDDEN_PLACES)


def _may(place: Place, step: PlacePart, need: int) -> bool:
    """As it was tried for the user that is there; else as a user without rights of its own would fare."""
    if place.denied is not None and not _bound(place):
        return step.path not in place.denied
    mode = int(step.mode, 8)
    if place.uid is not None and step.uid == place.uid:
        return (mode >> 6) & need == need
    return mode & need == need or (step.gid in place.gids and (mode >> 3) & need == need)


def _closed(case: PlanInput, step: PlacePart) -> str:
    enter, user = shell.typed("sudo chmod o+x {path}", path=step.path), case.desired.context["user"]
    return (
        f"the server's user {user} cannot pass {step.path} (mode {step.mode}, {step.owner}'s), where its models are; "
        f"let it: {enter}, or name another ollama_models_dir"
    )


def _foreign(case: PlanInput, place: Place, last: PlacePart) -> str:
    user = case.desired.context["user"]
    make = _MAKE_USER if case.facts.user_groups is None else ""
    give = shell.typed(f"{make}{_GIVE}", user=user, home=case.desired.context["home"], path=place.path)
    held = (
        "holds files" if place.entries is None else f"holds {place.entries} entr{'y' if place.entries == 1 else 'ies'}"
    )
    return (
        f"{place.path} {held} and is {last.owner}'s (mode {last.mode}), so that {user} cannot write there; it is not "
        f"changed by us: {give}, or name an empty ollama_models_dir"
    )


def _number(place: Place) -> str:
    return str(place.uid) if place.uid is not None else "of the server's user"


def _read_only(case: PlanInput, path: str) -> bool:
    disk = case.facts.disks.get(path)
    return disk is not None and disk.read_only


def _file_systems(case: PlanInput) -> list[str]:
    """What the file systems of release and models do not allow."""
    context, found = case.desired.context, []
    rows = [(context["models_dir"], "the models", False)]
    if case.settings.ollama_runtime != "docker":
        rows.append((context["paths"]["release_dest"], "the release", True))
    for path, what, runs in rows:
        disk = case.facts.disks.get(path)
        named = any(path.startswith(f"{top}/") for top in case.facts.readonly)
        if disk is not None and not named:
            found += _file_system(disk, what, path, runs=runs)
    return list(dict.fromkeys(found))


def _file_system(disk: Disk, what: str, path: str, *, runs: bool) -> list[str]:
    mount, where = {"path": disk.mount}, f"{disk.mount}, where {what} ({path}) would lie,"
    if disk.read_only:
        allow = shell.typed("sudo mount -o remount,rw {path}", **mount)
        return [f"{where} is mounted read-only; mount it for writing: {allow}"]
    if runs and disk.noexec:
        allow = shell.typed("sudo mount -o remount,exec {path}", **mount)
        return [f"{where} is mounted noexec, so that no server starts from there; {allow}"]
    if disk.free < FULL:
        look = shell.typed("sudo du -xh --max-depth=2 {path} | sort -h | tail", **mount)
        return [f"{where} is full: {human_bytes(disk.free)} are free; see what takes it: {look}"]
    if disk.inodes_free == 0:
        look = shell.typed("sudo du -x --inodes --max-depth=2 {path} | sort -n | tail", **mount)
        return [f"{where} has no inode left; see where the many small files are: {look}"]
    return []
