"""Merges into a JSON document that others also own, and removes only our part again. Pure."""

from __future__ import annotations

import copy
import json


def parse(text):
    """The object in `text`; an empty file is an empty object. ValueError describes the problem."""

    def once(pairs):
        keys = [key for key, _ in pairs]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ValueError("the key %s appears twice" % ", ".join(sorted(twice)))
        return dict(pairs)

    try:
        document = json.loads(text, object_pairs_hook=once) if text.strip() else {}
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(document, dict):
        raise ValueError("the document is not an object")
    return document


def dumped(document, like=""):
    """Text with the indentation of `like`."""
    second = like.lstrip().split("\n")[1:2]
    indent = second[0][: len(second[0]) - len(second[0].lstrip())] if second and second[0].strip() else ""
    return json.dumps(document, indent=indent or 4, ensure_ascii=False) + "\n"


def written(parts):
    """A key path: parts with / between; ~1 stands for a / inside a key, ~0 for ~."""
    return "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts)


def split(path):
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")]


def same(one, other):
    """Equal as JSON: true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def merge(document, values):
    """(merged document, {key path: what we added}, {key path: what stood there before}).

    Objects merge, lists unite, anything else is replaced.
    """
    merged, owned, replaced = copy.deepcopy(document), {}, {}
    fill(merged, values, [], owned, replaced)
    return merged, owned, replaced


def fill(target, values, at, owned, replaced):
    for key, value in values.items():
        path = written([*at, key])
        if key not in target:
            target[key] = copy.deepcopy(value)
            owned[path] = value
        elif isinstance(target[key], dict) and isinstance(value, dict):
            fill(target[key], value, [*at, key], owned, replaced)
        elif isinstance(target[key], list) and isinstance(value, list):
            added = []
            for item in value:
                if not any(same(item, other) for other in target[key] + added):
                    added.append(item)
            if added:
                target[key] = target[key] + copy.deepcopy(added)
                owned[path] = added
        elif not same(target[key], value):
            replaced[path] = target[key]
            target[key] = copy.deepcopy(value)
            owned[path] = value


def without(document, paths, owned):
    """(document without our values at those key paths, [paths that stay because the value is not ours])."""
    rest, kept = copy.deepcopy(document), []
    for path in paths:
        if not take(rest, split(path), owned.get(path), path in owned):
            kept.append(path)
    return rest, kept


def take(target, parts, value, known):
    """Whether the key path is free of our value afterwards; removes branches that become empty."""
    if not isinstance(target, dict) or parts[0] not in target:
        return True
    here = target[parts[0]]
    if len(parts) > 1:
        gone = take(here, parts[1:], value, known)
        if gone and here == {}:
            target.pop(parts[0])
        return gone
    if not known:
        return False
    if same(here, value):
        target.pop(parts[0])
        return True
    if isinstance(here, list) and isinstance(value, list):
        target[parts[0]] = [item for item in here if not any(same(item, ours) for ours in value)]
        return len(target[parts[0]]) < len(here) or not value
    return False
