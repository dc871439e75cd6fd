"""Somebody else's server on our port: who it is, and what can be done, before anything is touched."""

from __future__ import annotations

from collections.abc import Sequence

from reaper_ops.core import shell
from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.model import Holder
from reaper_ops.core.provision import listening, takeover
from reaper_ops.core.provision.plan.model import PlanInput

FORWARDERS = ("docker-proxy", "rootlessport", "conmon", "pasta")
UNITS = (".service", ".socket")


def blockers(case: PlanInput) -> list[str]:
    s = case.settings
    others = listening.strangers(case.facts.listening, s.ollama_bind, s.ollama_port)
    found = [holder for holder in others if not _ours(case, holder)]
    return list(dict.fromkeys(_held(case, holder) for holder in found))


def _ours(case: PlanInput, holder: Holder) -> bool:
    """Our own server by its mark, though its pid file is lost; our own container; a unit that is told of elsewhere."""
    runtime = case.settings.ollama_runtime
    if runtime == "docker":
        taken = takeover.of(case.settings, case.facts)
        return holder.container.split(" ")[0] in {places.CONTAINER, taken.foreign.name if taken else places.CONTAINER}
    if runtime == "process":
        return bool(holder.mark) and case.desired.context["paths"]["bin"] in holder.argv
    return holder.unit == places.UNIT


def _held(case: PlanInput, holder: Holder) -> str:
    return f"port {holder.port} is held by {_who(holder)}; {_mend(case, holder)}"


def _who(holder: Holder) -> str:
    if holder.container:
        name, _, image = holder.container.partition(" ")
        return f"the container {name} ({image})"
    if holder.pid is None:
        return f"a process of another user, at {listening.address_of(holder)}"
    if holder.pid == 1:
        return f"systemd for {holder.unit or 'a socket unit'}"
    where = f", {holder.unit}" if holder.unit else ""
    return f"{' '.join(holder.argv[:3]) or 'a process'} (pid {holder.pid}, user {holder.user}{where})"


def _mend(case: PlanInput, holder: Holder) -> str:
    other = f"or give ours another port: `ollama_port: {_free(case)}`"
    if holder.unit == places.UNIT and _is_unit_of_ours(case):
        return f"it is ours, of runtime systemd: `reaper-ops down` with that runtime first (models stay), {other}"
    if holder.container:
        name = holder.container.split(" ")[0]
        stop = f"stop it: {shell.typed('sudo docker stop {container}', container=name)}, {other}"
        foreign = case.facts.foreign
        known = foreign is not None and foreign.name == name
        return f"set `ollama_adopt: true` to take it over with its models and settings, or {stop}" if known else stop
    if holder.pid is None:
        look = shell.typed("sudo ss -ltnp 'sport = :{port}'", port=str(holder.port))
        return f"see who it is: {look}, {other}"
    stop = _stop(holder)
    if not serves(holder):
        return f"stop it: {stop}, {other}"
    if holder.unit == places.UNIT:
        return f"it is an Ollama: take it over with `ollama_runtime: systemd` and `ollama_adopt: true`, {other}"
    return f"it is an Ollama: to replace it, stop it: {stop}{_models(case, holder)}, {other}"


def _is_unit_of_ours(case: PlanInput) -> bool:
    units = (case.facts.manifest or {}).get("units")
    return isinstance(units, list) and places.UNIT in units


def _stop(holder: Holder) -> str:
    if holder.unit.endswith(UNITS):
        return shell.typed("sudo systemctl disable --now {unit}", unit=holder.unit)
    return shell.typed("sudo kill {pid}", pid=str(holder.pid))


def serves(holder: Holder) -> bool:
    """Whether it is Ollama by its command; a script's interpreter may stand in front."""
    names = [word.rsplit("/", 1)[-1] for word in holder.argv[:4]]
    return "ollama" in names[:3] and "serve" in names[1:]


def _models(case: PlanInput, holder: Holder) -> str:
    """Its models can be kept where ours is a service: copied once the store is there.

    Where they lie is what that process says of itself: they are read with the rights of its user, and written with
    those of ours, so that no place that only root can read is copied.
    """
    if not holder.store or case.settings.ollama_runtime != "systemd":
        return ""
    ours = case.desired.context["models_dir"]
    if holder.store == ours:
        return " (its models are in our store, and stay)"
    places = {"user": holder.user, "path": holder.store, "name": case.desired.context["user"], "models_dir": ours}
    copy = shell.typed("sudo -u {user} tar -C {path} -c . | sudo -u {name} tar -C {models_dir} -x", **places)
    return f", run `reaper-ops up`, and keep its models by {copy}" if copy != shell.UNTYPED else ""


def _free(case: PlanInput) -> int:
    """The next port that nobody is known to listen on."""
    taken = {holder.port for holder in case.facts.listening or ()}
    port = case.settings.ollama_port
    ports: Sequence[int] = range(port + 1, 65536) if port < 65535 else range(1024, 65535)
    return next(one for one in ports if one not in taken)
