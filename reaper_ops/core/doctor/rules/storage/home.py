"""The home of the server's user, as far as the log alone shows that it cannot be used."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reaper_ops.core.doctor.finding import Confidence, Finding, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, once
from reaper_ops.core.doctor.rules.reported.texts import SERVER, lines
from reaper_ops.core.facts.traces import DockerContainer
from reaper_ops.core.health.report import Evidence

_KEY = re.compile(r"Couldn't find '(?P<home>/\S{1,512}?)/\.ollama/id_ed25519'")
_REFUSED = re.compile(
    r"(?:mkdir|open|stat|chmod|rename) (?P<path>/\S{1,1024}): (?P<why>permission denied|read-only file system"
    r"|operation not permitted|no such file or directory)"
)
_IN_HOME = re.compile(r"^(?P<home>/(?:\S{1,512}/)?[^/\s]{1,256})/\.ollama(?:/id_ed25519(?:\.pub)?)?$")


@dataclass(frozen=True)
class Home:
    """path: what was refused. why: the errno's text."""

    home: str
    path: str
    why: str
    line: str


@once
def refused(case: HostEvidence) -> Home | None:
    """The last refusal at the home; None where the host itself was read, which shows more."""
    if case.traces.denied is not None or case.traces.path_steps or case.seen.models is not None:
        return None
    known = {found["home"] for source, line in lines(case) if source == SERVER and (found := _KEY.search(line))}
    last = None
    for source, line in lines(case):
        found = _REFUSED.search(line) if source == SERVER else None
        if found is None or (found["why"].startswith("no such") and "mkdir" not in line):
            continue
        path = found["path"]
        inside = _IN_HOME.match(path)
        home = inside["home"] if inside else path if path in known else ""
        last = Home(home, path, found["why"], line) if home else last
    return last


def finding(case: HostEvidence, home: Home) -> Finding:
    box = _container(case)
    owner = box.user if box and box.user else ""
    user = owner or case.unit.get("User") or ("" if box or home.home == "/root" else "ollama")
    shown = [Evidence("server log", excerpt(home.line, 200))]
    volume = _volume(box, home.home)
    if box is not None and owner:
        shown.append(Evidence("docker inspect", f"User {owner}{f', volume {volume}' if volume else ''}"))
    values = {"path": home.home, "home": home.home, "user": user, "owner": owner, "volume": volume}
    summary = (
        f"the server's user{f' {user}' if user else ''} may not write its home {home.home} ({home.path}: {home.why})"
    )
    steps = _steps(home, owner, volume)
    sure = Confidence.CERTAIN if owner or home.why.startswith("read-only") else Confidence.LIKELY
    return Finding(summary, tuple(shown), sure, {k: v for k, v in values.items() if v}, steps=steps)


def _container(case: HostEvidence) -> DockerContainer | None:
    boxes = case.traces.containers or ()
    return next((box for box in boxes if box.serves), None)


def _volume(box: DockerContainer | None, home: str) -> str:
    mounts = [mount for mount in (box.mounts if box else ()) if f"{mount.target}/".startswith(f"{home}/")]
    return mounts[0].source if mounts else ""


def _steps(home: Home, owner: str, volume: str) -> tuple[Step, ...]:
    if home.why.startswith("read-only"):
        return (_ELSEWHERE, _HOME, _AGAIN)
    if owner and volume:
        return (_VOLUME, _AS_OWNER)
    if owner:
        return (_OWNER, _AS_OWNER)
    if home.home == "/root":
        return (_AS_ROOT, _OTHER_HOME)
    return (_OWN, _AGAIN)


_ELSEWHERE = Step(
    "That file system is read-only by design (an immutable system): make another home directory on a writable one.",
    "sudo install -d -o ollama -g ollama /var/lib/ollama",
)
_HOME = Step(
    "Give it to the server in a drop-in: under [Service], Environment=HOME=/var/lib/ollama",
    "sudo systemctl edit ollama",
)
_AGAIN = Step("Restart the server.", "{restart}")
_VOLUME = Step(
    "Give the volume to the user that the container runs as.",
    "docker run --rm -u 0:0 -v {volume}:/volume --entrypoint chown ollama/ollama -R {owner} /volume",
)
_OWNER = Step("Give the directory that is mounted there to the user that the container runs as: chown -R {owner}")
_AS_OWNER = Step("Or run the container as the user that owns it: `user:` in the Compose file. Then start it again.")
_AS_ROOT = Step(
    "/root may be entered by root only, and the server runs as another user. In a container, run it as root:"
    ' `user: "0:0"` (or leave `user:` and runAsUser out).'
)
_OTHER_HOME = Step(
    "Or give that user a directory of its own: mount one, and set HOME=/data and OLLAMA_MODELS=/data/models for the"
    " server."
)
_OWN = Step("Give the home to the server's user.", "sudo chown -R {user}: {home}", within=("home",))
