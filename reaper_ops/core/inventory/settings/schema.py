"""JSON Schemas of the settings, for editors: of one host's variables, and of a YAML inventory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reaper_ops.core.inventory.settings import catalogue
from reaper_ops.core.inventory.settings.model import CHOICES
from reaper_ops.core.inventory.settings.whole import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEMPLATE = {"type": "string", "pattern": r"\{\{|\{%", "description": "a template that Ansible evaluates"}
VAULT = {"type": "object", "required": ["__ansible_vault"]}
IGNORE = {
    "description": "variables of other roles that look like ours; * stands for any text",
    "type": "array",
    "items": {"type": "string"},
}
LOOSE: dict[str, dict[str, Any]] = {
    "size": {"type": ["string", "integer"], "pattern": r"^\s*\d+(\.\d+)?\s*[KMGTkmgt]?([iI]?[bB])?\s*$"},
    "duration": {"type": ["string", "integer"]},
    "checksums": {
        "anyOf": [
            {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
            {"type": "object", "additionalProperties": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}},
        ]
    },
}
WIDER = {
    "swap_size": "size",
    "ollama_memory_max": "size",
    "ollama_keep_alive": "duration",
    "ollama_load_timeout": "duration",
    "ollama_release_sha256": "checksums",
}


def variables() -> dict[str, Any]:
    """Of a group_vars or host_vars file."""
    return {
        "$schema": DIALECT,
        "title": "Variables of a host for reaper_ops",
        **_variables(),
    }


def inventory() -> dict[str, Any]:
    """Of a whole inventory in YAML."""
    return {
        "$schema": DIALECT,
        "title": "Inventory for reaper_ops",
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/group"},
        "$defs": {
            "variables": _variables(),
            "group": {
                "type": ["object", "null"],
                "additionalProperties": False,
                "properties": {
                    "hosts": _map_of({"anyOf": [{"$ref": "#/$defs/variables"}, {"type": "null"}]}),
                    "children": _map_of({"$ref": "#/$defs/group"}),
                    "vars": {"anyOf": [{"$ref": "#/$defs/variables"}, {"type": "null"}]},
                },
            },
        },
    }


KINDS: dict[str, Callable[[], dict[str, Any]]] = {"vars": variables, "inventory": inventory}


def _map_of(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": ["object", "null"], "additionalProperties": value}


def _variables() -> dict[str, Any]:
    found = Settings.model_json_schema()["properties"]
    return {
        "type": "object",
        "properties": {**{name: _setting(name, found[name]) for name in found}, "reaper_ignore": IGNORE},
        "propertyNames": {"anyOf": [{"enum": sorted(found)}, {"not": {"pattern": "^(ollama_|swap_|exposure)"}}]},
    }


def _setting(name: str, given: dict[str, Any]) -> dict[str, Any]:
    branches = LOOSE[WIDER[name]].get("anyOf", [LOOSE[WIDER[name]]]) if name in WIDER else _branches(given)
    found: dict[str, Any] = {"description": given["description"], "default": catalogue.default(name)}
    if name in catalogue.EXAMPLES:
        found["examples"] = [catalogue.EXAMPLES[name]]
    null = [] if name in CHOICES else [{"type": "null"}]
    return {**found, "anyOf": [*branches, *null, TEMPLATE, VAULT]}


def _branches(given: dict[str, Any]) -> list[dict[str, Any]]:
    branches = given.get("anyOf") or [given]
    kept = ("type", "enum", "items", "additionalProperties", "minimum", "maximum", "pattern", "anyOf")
    return [{key: one[key] for key in kept if key in one} for one in branches if one.get("type") != "null"]
