"""Steps for a host that reaper_ops does not manage: what the inventory would set, a person sets."""

from __future__ import annotations

import re
from dataclasses import replace

from reaper_ops.core.doctor.finding import Automate, Step
from reaper_ops.core.inventory.environment import TYPED

OWN = {
    "ollama_bind": "OLLAMA_HOST",
    "ollama_host": "OLLAMA_HOST",
    "ollama_models_dir": "OLLAMA_MODELS",
    "gpu_devices": "CUDA_VISIBLE_DEVICES",
    "ollama_https_proxy": "HTTPS_PROXY",
    "ollama_no_proxy": "NO_PROXY",
    **TYPED,
}
_PAIR = re.compile(r"`(?P<name>(?:ollama|gpu)_\w{1,40})(?:: (?P<value>[^`]{1,120}))?`")
_TABLE = re.compile(r"`ollama_env: \{(?P<name>\w{1,60}): \"?(?P<value>[^`]{1,80}?)\"?\}`")
_MANAGED = re.compile(
    r"^(?:Apply (?:the inventory|it)\b|If the inventory names ).{0,400}$|(?:, then apply it|; then"
    r"|,? then apply|,? and apply it|, apply it)\.?$|(?:\.|:) Then apply it\.$|^Then apply\.$"
    r"|(?:\.|^) ?Apply the inventory[^.]{0,120}\.$|,? then apply(?: it)?(?=\. )| with `exposure: open`"
    r"| under `ollama_models`| as the inventory configures it\b"
)
_CONVERGE = re.compile(r"^Converge the host: .{0,200}$")
_PLAIN = {
    "`ollama_memory_max`": "the unit's MemoryMax= or the container's memory limit",
    "`ollama_models`": "the model's name",
    "`ollama_port`": "the port in OLLAMA_HOST",
}
"""What has no variable of the server, in words."""
_VERSION = re.compile(r"set `ollama_version: (?P<version>[^`]{1,40})`")
_WHERE = "Where variables are set: a drop-in of the unit, the Compose file, the start script."


def step(template: Step) -> Step:
    """The same remedy without the inventory and without `up`."""
    if "{up}" not in template.command and template.action != "apply":
        return template
    text, changed = _sentence(template.text)
    if not text:
        return Step("Restart the server, so that what was changed takes effect.", "{restart}")
    if not changed:
        return replace(template, text=text, command="", automate=Automate.NEVER, action="")
    return Step(f"{text} {_WHERE} Then restart the server.", "{restart}")


def _sentence(text: str) -> tuple[str, bool]:
    """The sentence, and whether it names a variable of the server."""
    bare = _MANAGED.sub("", text.strip())
    bare = re.sub(r" (?:in|into|to|of|under) the inventory\b", "", bare).strip()
    bare = _CONVERGE.sub("Correct or remove the variable where it is set.", bare)
    for ours, words in _PLAIN.items():
        bare = bare.replace(ours, words)
    bare = re.sub(r"(?:a newer |another )?`ollama_version`", "another version of Ollama", bare)
    bare = _VERSION.sub(r"install Ollama \g<version>", bare)
    named = _TABLE.sub(lambda found: f"{found['name']}={_value(found['value'])}", bare)
    named = _PAIR.sub(_variable, named)
    changed = named != bare
    named = f"{named.rstrip('.;:,')}." if named else ""
    return named, changed


def _variable(found: re.Match[str]) -> str:
    name = OWN.get(found["name"])
    if name is None:
        return found[0]
    return f"{name}={_value(found['value'])}" if found["value"] else name


def _value(text: str) -> str:
    return {"true": "1", "false": "0"}.get(text.strip(), text.strip())
