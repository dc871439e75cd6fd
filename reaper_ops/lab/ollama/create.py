"""POST /api/create, blobs, and what else changes the store by request: pull, push, copy, delete."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

from . import gguf
from .app import ApiError, App
from .names import LabName, hex_digest, parse
from .pull import pull as pull_lines
from .registry_client import PullError
from .store import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, LabModel, StoreError, go_error, resolve
from .web import NDJSON, HungUp, ServedExchange, dumps

NOTHING: dict[str, Any] = {"model_format": "", "model_family": "", "model_type": "", "file_type": ""}


def _answer(exchange: ServedExchange, body: dict[str, Any], lines: Iterator[dict[str, Any]]) -> None:
    """Status lines as a stream, or their last one; an error keeps its status only where nothing was sent before."""
    if body.get("stream") is False:
        exchange.plain_json = True
        last: dict[str, Any] = {}
        for line in _guarded(lines):
            last = line
            if exchange.gone():
                lines.close()  # type: ignore[attr-defined]
                raise HungUp
        exchange.send_json(200, last)
        return
    exchange.stream(NDJSON, (dumps(line) + "\n" for line in _guarded(lines)))


def _guarded(lines: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    try:
        yield from lines
    except (PullError, StoreError) as error:
        raise ApiError(500, str(error)) from None
    except OSError as error:
        raise ApiError(500, str(go_error("open", str(error.filename), error))) from None


def _wanted(body: dict[str, Any]) -> str:
    return body.get("model") or body.get("name") or ""


def pull(exchange: ServedExchange) -> None:
    app, body = exchange.app, exchange.json_body("PullRequest")
    name = resolve(app.store, _wanted(body))
    if not name:
        raise ApiError(400, "invalid model name")
    _answer(exchange, body, _pull(app, name, bool(body.get("insecure"))))


def _pull(app: App, name: LabName, insecure: bool) -> Iterator[dict[str, Any]]:
    return pull_lines(app.store, app.downloads, name, insecure=insecure, agent=app.agent, noprune=app.config.noprune)


def push(exchange: ServedExchange) -> None:
    app, body = exchange.app, exchange.json_body("PushRequest")
    text = _wanted(body)
    if not text:
        raise ApiError(400, "model is required")
    name = parse(text)
    if not name:
        raise ApiError(400, "invalid model name")
    _answer(exchange, body, _push(app, name))


def _push(app: App, name: LabName) -> Iterator[dict[str, Any]]:
    yield {"status": "retrieving manifest"}
    try:
        app.store.read(name)
    except OSError as error:
        yield {"status": "couldn't retrieve manifest"}
        raise go_error("open", app.store.manifest_path(name), error) from None
    raise PullError("the simulated server does not push")


def delete(exchange: ServedExchange) -> None:
    app, body = exchange.app, exchange.json_body("DeleteRequest")
    text = _wanted(body)
    name = resolve(app.store, text)
    if not name:
        raise ApiError(400, f'name "{text}" is invalid')
    try:
        app.store.delete(name)
    except StoreError as error:
        raise ApiError(500, str(error)) from None
    except FileNotFoundError:
        raise ApiError(404, f"model '{text}' not found") from None
    exchange.send_body(200, b"", "")


def copy(exchange: ServedExchange) -> None:
    app, body = exchange.app, exchange.json_body("CopyRequest")
    source, destination = body.get("source") or "", body.get("destination") or ""
    found, target = resolve(app.store, source), resolve(app.store, destination)
    if not found:
        raise ApiError(400, f'source "{source}" is invalid')
    if not target:
        raise ApiError(400, f'destination "{destination}" is invalid')
    try:
        app.store.copy(found, target)
    except StoreError as error:
        raise ApiError(500, str(error)) from None
    except OSError:
        raise ApiError(404, f'model "{source}" not found') from None
    exchange.send_body(200, b"", "")


def blob(exchange: ServedExchange) -> None:
    app, digest = exchange.app, exchange.path_only.rsplit("/", 1)[1]
    wanted = hex_digest(digest)
    if not wanted:
        raise ApiError(400, "invalid digest format")
    path = app.store.blob(digest)
    if exchange.command == "HEAD":
        if not os.path.exists(path):
            raise ApiError(404, f'blob "{digest}" not found')
        exchange.send_body(200, b"", "")
        return
    data = exchange.raw_body()
    if os.path.exists(path):
        exchange.send_body(200, b"", "")
        return
    if app.faults.on("disk-full"):
        raise ApiError(500, str(go_error("write", path, OSError(errno.ENOSPC, ""))))
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise ApiError(400, f'digest mismatch, expected "sha256:{wanted}", got "sha256:{found}"')
    try:
        app.store.put(data, digest)
    except StoreError as error:
        raise ApiError(500, str(error)) from None
    exchange.send_body(201, b"", "")


def create(exchange: ServedExchange) -> None:
    app, body = exchange.app, exchange.json_body("CreateRequest")
    name = resolve(app.store, _wanted(body))
    if not name:
        raise ApiError(400, "invalid model name")
    if not body.get("from") and not body.get("files"):
        raise ApiError(400, "neither 'from' or 'files' was specified")
    for digest in (body.get("files") or {}).values():
        if not hex_digest(digest):
            raise ApiError(400, "invalid digest format")
    _answer(exchange, body, _create(app, name, body))


def _create(app: App, name: LabName, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if body.get("from") and body.get("remote_host"):
        layers, config = [], {**NOTHING, "remote_host": body["remote_host"], "remote_model": body["from"]}
    elif body.get("from"):
        source = resolve(app.store, body["from"])
        if not source:
            raise StoreError("invalid model name")
        if not os.path.exists(app.store.manifest_path(source)):
            yield from (line for line in _pull(app, source, False) if line["status"] != "success")
        model = app.store.model(source)
        layers, config = list(model.manifest["layers"]), dict(model.config)
    else:
        yield {"status": "parsing GGUF"}
        layers, config = _from_file(app, next(iter(body["files"].values())))
    layers = _with(app, layers, "system", body.get("system"))
    layers = _with(app, layers, "template", body.get("template"))
    layers = _with(app, layers, "params", _parameters(app, layers, body.get("parameters")))
    fresh = {layer["digest"] for layer in layers if layer.pop("new", False)}
    config_layer, _ = app.store.add(dumps(config).encode(), CONFIG_TYPE)
    for layer in layers:
        kind = "creating new" if layer["digest"] in fresh else "using existing"
        yield {"status": f"{kind} layer {layer['digest']}"}
    yield {"status": "writing manifest"}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config_layer, "layers": layers}
    app.store.write_manifest(name, dumps(manifest).encode())
    yield {"status": "success"}


def _from_file(app: App, digest: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    path = app.store.blob(digest)
    try:
        header = gguf.read(path)
    except gguf.BadFile:
        raise StoreError("supplied file was not in GGUF format") from None
    except OSError as error:
        raise go_error("open", path, error) from None
    layer = {"mediaType": LAYER_TYPE + "model", "digest": digest, "size": os.path.getsize(path)}
    return [layer], config_of(header)


def config_of(header: gguf.LabHeader) -> dict[str, Any]:
    """The config blob of a model with that header."""
    family = header.values.get("general.architecture", "llama")
    parameters = gguf.parameters(header)
    size = f"{parameters / 1e6:.1f}M" if parameters < 10**9 else f"{parameters / 1e9:.1f}B"
    return {
        "model_format": "gguf",
        "model_family": family,
        "model_families": [family],
        "model_type": size if parameters >= 10**6 else f"{parameters / 1e3:.2f}K",
        "file_type": "F32",
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": []},
    }


def _with(app: App, layers: list[dict[str, Any]], kind: str, text: str | None) -> list[dict[str, Any]]:
    if not text:
        return layers
    layer, fresh = app.store.add(text.encode(), LAYER_TYPE + kind)
    return [item for item in layers if item["mediaType"] != LAYER_TYPE + kind] + [{**layer, "new": fresh}]


def _parameters(app: App, layers: list[dict[str, Any]], wanted: dict[str, Any] | None) -> str | None:
    if not wanted:
        return None
    merged: dict[str, Any] = {}
    for layer in layers:
        if layer["mediaType"] == LAYER_TYPE + "params":
            with open(app.store.blob(layer["digest"]), encoding="utf-8") as file:
                merged = json.load(file)
    return dumps({**merged, **wanted})


def parameter_text(model: LabModel, app: App) -> str:
    """As /api/show prints parameters: name, padded, then the value."""
    text = app.store.text(model, "params")
    rows = []
    for key, value in sorted(json.loads(text).items()) if text else ():
        for item in value if isinstance(value, list) else [value]:
            rows.append(f"{key:<30} {json.dumps(item, ensure_ascii=False)}")
    return "\n".join(rows)
