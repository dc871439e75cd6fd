"""The routes of the simulated server, and what they share."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable
from typing import Any

from . import compat, create, generate, gguf
from .config import Config
from .download import Downloads
from .faults import Faults
from .names import parse
from .sched import Scheduler
from .speech import stamp
from .store import LabModel, LabStore, StoreError, go_error
from .web import ApiError, ServedExchange

Handler = Callable[[ServedExchange], None]


class App:
    def __init__(self, config: Config, version: str, program: str) -> None:
        self.config = config
        self.version = version
        self.agent = f"ollama/{version} ({platform.machine()} linux) simulated"
        self.faults = Faults(config.faults)
        self.store = LabStore(config.models)
        self.downloads = Downloads(self.store, self.faults)
        self.scheduler = Scheduler(config, self.store, self.faults, program)
        self._blind: set[str] = set()
        self._seen: set[str] = set()
        self._guard = threading.Lock()

    def route(self, method: str, path: str) -> tuple[Handler | None, bool]:
        """The handler, and whether the path is known at all."""
        methods = ROUTES.get(path)
        if methods is None:
            for start, found in PREFIXES.items():
                if path.startswith(start) and "/" not in path[len(start) :].rstrip("/") and path != start:
                    methods = found
        return (methods or {}).get(method), methods is not None

    def mute(self, exchange: ServedExchange) -> bool:
        """Faults of the whole port. True: the connection ends without an answer."""
        if self.faults.on("drop"):
            while self.faults.on("drop") and not exchange.gone():
                time.sleep(0.05)
            return True
        if self.faults.on("not-ollama"):
            exchange.send_body(404, b"<html><body><h1>404 Not Found</h1></body></html>", "text/html")
            exchange.close_connection = True
            raise BrokenPipeError
        if self.faults.on("http-500") and exchange.path_only != "/":
            raise ApiError(500, "simulated internal error")
        return False

    def error_body(self, exchange: ServedExchange, error: ApiError) -> dict[str, Any]:
        if exchange.path_only.startswith("/v1"):
            return compat.error_body(exchange.path_only, error)
        return {"error": error.text}

    def find(self, text: str) -> LabModel:
        name = parse(text)
        missing = ApiError(404, f"model '{text}' not found")
        if not name:
            raise missing
        try:
            return self.store.model(self.store.existing(name))
        except StoreError as error:
            raise ApiError(500, str(error)) from None
        except FileNotFoundError:
            raise missing from None
        except OSError as error:
            raise ApiError(500, str(go_error("open", str(error.filename), error))) from None

    def capable(self, model: LabModel, text: str, verb: str) -> None:
        """What a model can do is read once per name: a name found without weights stays refused until a restart."""
        refusal = ApiError(400, f'"{text}" does not support {verb}')
        with self._guard:
            if model.name.full in self._blind:
                raise refusal
            seen = model.name.full in self._seen
            try:
                self.store.header(model)
            except FileNotFoundError:
                if seen:
                    raise ApiError(404, f'model "{text}" not found, try pulling it first') from None
                self._blind.add(model.name.full)
                raise refusal from None
            except (OSError, gguf.BadFile) as error:
                if seen:
                    raise ApiError(500, str(error)) from None
                self._blind.add(model.name.full)
                raise refusal from None
            self._seen.add(model.name.full)


def root(exchange: ServedExchange) -> None:
    exchange.send_body(200, b"Ollama is running", "text/plain; charset=utf-8")


def version(exchange: ServedExchange) -> None:
    exchange.send_json(200, {"version": exchange.app.version})


def status(exchange: ServedExchange) -> None:
    disabled = exchange.app.config.no_cloud
    exchange.send_json(200, {"cloud": {"disabled": disabled, "source": "env" if disabled else "none"}})


def tags(exchange: ServedExchange) -> None:
    rows = []
    for model in exchange.app.store.models():
        details = model.details
        try:
            header = exchange.app.store.header(model)
        except (OSError, gguf.BadFile):
            header = None
        if header:
            details["context_length"] = header.values.get("llama.context_length", 0)
            details["embedding_length"] = header.values.get("llama.embedding_length", 0)
        remote = {key: model.config[key] for key in ("remote_model", "remote_host") if model.config.get(key)}
        row = {
            "name": model.name.short,
            "model": model.name.short,
            **remote,
            "modified_at": stamp(model.modified),
            "size": model.size,
            "digest": model.digest,
            "details": details,
        }
        rows.append({**row, "capabilities": ["completion"]} if header else row)
    exchange.send_json(200, {"models": rows})


def ps(exchange: ServedExchange) -> None:
    rows = exchange.app.scheduler.running()
    exchange.send_json(200, {"models": [{**row, "expires_at": stamp(row["expires_at"])} for row in rows]})


def show(exchange: ServedExchange) -> None:
    app, body = exchange.app, exchange.json_body("ShowRequest")
    text = body.get("model") or body.get("name") or ""
    if not text:
        raise ApiError(400, "model is required")
    if not parse(text):
        raise ApiError(400, "invalid model name")
    generate.refuse_cloud(app, text)
    model = app.find(text)
    try:
        header = app.store.header(model)
    except FileNotFoundError:
        raise ApiError(404, f"model '{text}' not found") from None
    except OSError as error:
        raise ApiError(500, str(go_error("open", str(error.filename), error))) from None
    except gguf.BadFile as error:
        raise ApiError(500, str(error)) from None
    exchange.send_json(200, _described(app, model, text, header))


def _described(app: App, model: LabModel, text: str, header: gguf.LabHeader | None) -> dict[str, Any]:
    template, parameters = app.store.text(model, "template"), create.parameter_text(model, app)
    found: dict[str, Any] = {}
    for key, value in (("parameters", parameters), ("template", template), ("system", app.store.text(model, "system"))):
        if value:
            found[key] = value
    layer = model.layer("model")
    lines = ['# Modelfile generated by "ollama show"', "# To build a new Modelfile based on this, replace FROM with:"]
    lines += [f"# FROM {text}", "", f"FROM {app.store.blob(layer['digest']) if layer else ''}"]
    lines += [f"TEMPLATE {template}"] if template else []
    lines += ["PARAMETER " + " ".join(row.split()).replace('"', "") for row in parameters.splitlines()]
    found = {"modelfile": "\n".join(lines) + "\n", **found, "details": model.details}
    if header:
        lists = ("tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.token_type")
        shown = {key: value for key, value in header.values.items() if key != "general.name"}
        values = {key: None if key in lists else value for key, value in shown.items()}
        values["general.parameter_count"] = gguf.parameters(header)
        found["model_info"] = dict(sorted(values.items()))
        found["tensors"] = [{"name": name, "type": "F32", "shape": list(shape)} for name, shape in header.tensors]
    return {**found, "capabilities": ["completion"], "modified_at": stamp(model.modified)}


def account(exchange: ServedExchange) -> None:
    if exchange.app.config.no_cloud:
        raise ApiError(503, "account unavailable")
    raise ApiError(401, "unauthorized")


ROUTES: dict[str, dict[str, Handler]] = {
    "/": {"GET": root, "HEAD": root},
    "/api/version": {"GET": version, "HEAD": version},
    "/api/status": {"GET": status},
    "/api/tags": {"GET": tags, "HEAD": tags},
    "/api/ps": {"GET": ps},
    "/api/show": {"POST": show},
    "/api/pull": {"POST": create.pull},
    "/api/push": {"POST": create.push},
    "/api/delete": {"DELETE": create.delete},
    "/api/copy": {"POST": create.copy},
    "/api/create": {"POST": create.create},
    "/api/me": {"POST": account},
    "/api/generate": {"POST": generate.generate},
    "/api/chat": {"POST": generate.chat},
    "/api/embed": {"POST": generate.embed},
    "/api/embeddings": {"POST": generate.embeddings},
    "/v1/models": {"GET": compat.models},
    "/v1/chat/completions": {"POST": compat.chat_completions},
    "/v1/completions": {"POST": compat.completions},
    "/v1/embeddings": {"POST": compat.embeddings},
    "/v1/responses": {"POST": compat.responses},
    "/v1/messages": {"POST": compat.messages},
}
PREFIXES: dict[str, dict[str, Handler]] = {
    "/api/blobs/": {"HEAD": create.blob, "POST": create.blob},
    "/v1/models/": {"GET": compat.one_model},
}
