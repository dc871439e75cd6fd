"""What lies in our directories: releases, and models in the store whether or not the server answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reaper_ops.core import typed
from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.answers import Answers, Ask, as_json, decimal, mapping, text, whole
from reaper_ops.core.facts.model import Fetched
from reaper_ops.core.facts.store_layout import ROOTS, is_shadow, parts_of
from reaper_ops.core.inventory.settings import Settings

LIBRARY = ("registry.ollama.ai", "library")


def own_path(settings: Settings) -> str:
    """The store as a path of the host, also when a container has it in a volume."""
    volume = f"{places.DOCKER_ROOT}/volumes/{places.CONTAINER}/_data/models"
    return places.models(settings) or volume


def asks(settings: Settings) -> list[Ask]:
    found: list[Ask] = [
        {"id": "releases", "kind": "listdir", "path": places.releases(settings)},
        {"id": "user", "kind": "user", "name": "ollama"},
    ]
    if settings.ollama_runtime == "docker":
        found = []
    found.append({"id": "pulls", "kind": "file", "path": f"{places.state(settings)}/pulls.json"})
    found.append({"id": "identities", "kind": "identities", "path": own_path(settings)})
    store = places.models(settings)
    if store:
        found += [
            {"id": "store", "kind": "listdir", "path": store},
            {"id": "manifests", "kind": "glob", "patterns": [f"{store}/{root}/*/*/*/*" for root in ROOTS]},
            {"id": "blobs", "kind": "listdir", "path": f"{store}/blobs"},
        ]
    return found


def parse_releases(answers: Answers) -> tuple[str, ...]:
    return tuple(name for name in _names(answers, "releases") or () if name[:1].isdigit())


def parse_blobs(answers: Answers) -> frozenset[str] | None:
    """Names in blobs/, `sha256-…` and `sha256-…-partial…`; None when the store could not be read."""
    names = _names(answers, "blobs")
    return None if names is None else frozenset(names)


def parse_identities(answers: Answers) -> dict[str, frozenset[str]]:
    """By the digest that the server lists: other digests under which a registry has the same. Hex digits."""
    rows = [line.split() for line in (answers.out("identities") or "").splitlines()]
    known = [[digest for word in row if (digest := typed.digest(word))] for row in rows]
    return {row[0]: frozenset(row[1:]) for row in known if len(row) > 1}


def parse_pulled(answers: Answers) -> dict[str, Fetched]:
    """Models that we pulled, as the last pull of each left them."""
    return fetched(as_json(answers.content("pulls")))


def fetched(found: object) -> dict[str, Fetched]:
    """From a record of pulls, on a host or here; rows that are none are left out."""
    rows = {str(name): mapping(row) for name, row in found.items()} if isinstance(found, dict) else {}
    return {name: _pulled(digest, row) for name, row in rows.items() if (digest := text(row.get("digest")))}


def _pulled(digest: str, row: Mapping[str, Any]) -> Fetched:
    count, seconds = whole(row.get("bytes")) or 0, decimal(row.get("seconds")) or 0.0
    return Fetched(digest, count, seconds, whole(row.get("time")) or 0)


def parse_models(answers: Answers) -> tuple[str, ...] | None:
    """Names by the manifests on disk; None where the store could not be read."""
    matches = answers.matches("manifests")
    if matches is None or _names(answers, "store") is None:
        return None
    found = (model_of(str(item["path"])) for item in matches if item.get("kind") in {"file", "link"})
    return tuple(sorted({name for name in found if name}))


def model_of(path: str) -> str | None:
    """`…/manifests/HOST/NAMESPACE/MODEL/TAG` as Ollama names the model; None for what is none, in either layout."""
    parts = parts_of(path)
    if parts is None:
        return None
    host, namespace, model, tag = parts
    prefix = "" if (host, namespace) == LIBRARY else f"{namespace}/" if host == LIBRARY[0] else f"{host}/{namespace}/"
    name = f"{prefix}{model}:{tag}"
    return None if is_shadow(name) else name


def parse_user_groups(answers: Answers) -> tuple[str, ...] | None:
    """Groups of the user `ollama`; None when there is no such user."""
    answer = answers.get("user")
    groups = answer.get("groups")
    if not answer.get("exists") or not isinstance(groups, list):
        return None
    return tuple(str(group) for group in groups)


def _names(answers: Answers, id_: str) -> list[str] | None:
    answer = answers.get(id_)
    names = answer.get("names")
    if "error" in answer or not isinstance(names, list):
        return None
    return [name for name in map(text, names) if name is not None]
