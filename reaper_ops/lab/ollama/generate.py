"""POST /api/generate, /api/chat, /api/embed and /api/embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .app import ApiError, App
from .gguf import BadFile
from .names import parse
from .speech import Turn, keep_alive, loaded, stamp, tokens
from .store import LabModel, go_error
from .web import NDJSON, ServedExchange, dumps

_NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"


def usable(app: App, text: str, verb: str) -> LabModel:
    """The model for an inference request, or the refusals of the real server in its order."""
    refuse_cloud(app, text)
    model = app.find(text)
    app.capable(model, text, verb)
    return model


def refuse_cloud(app: App, text: str) -> None:
    name = parse(text)
    if name and (name.tag == "cloud" or name.tag.endswith("-cloud")):
        if app.config.no_cloud:
            raise ApiError(403, "ollama cloud is disabled: remote model is unavailable")
        raise ApiError(401, "unauthorized")


def generate(exchange: ServedExchange) -> None:
    app, body = exchange.app, exchange.json_body("GenerateRequest")
    alive = keep_alive(body)
    text = body.get("model") or ""
    prompt = body.get("prompt") or ""
    model = app.find(text)
    if not prompt and alive == 0:
        app.scheduler.unload(model)
        exchange.send_json(200, _still(text, {"response": ""}, "unload"))
        return
    usable(app, text, "generate")
    if body.get("think"):
        raise ApiError(400, f'"{text}" does not support thinking')
    with loaded(app, exchange, model, body, prompt) as turn:
        if not prompt:
            exchange.send_json(200, _still(text, {"response": ""}, "load"))
        elif body.get("stream") is False:
            words = "".join(turn.speak())
            exchange.send_json(200, _final(turn, body, {"response": words}))
        else:
            exchange.stream(NDJSON, _lines(turn, body))


def _still(text: str, content: dict[str, Any], reason: str) -> dict[str, Any]:
    return {"model": text, "created_at": stamp(), **content, "done": True, "done_reason": reason}


def _final(turn: Turn, body: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    answer = _still(body["model"], content, turn.reason)
    if "response" in content and not body.get("raw"):
        context = tokens(turn.prompt)
        for word in turn.words:
            context += tokens(word.lstrip())
        answer["context"] = context
    return {**answer, **turn.numbers()}


def _lines(turn: Turn, body: dict[str, Any]) -> Iterator[str]:
    for word in turn.speak():
        yield dumps({"model": body["model"], "created_at": stamp(), "response": word, "done": False}) + "\n"
    yield dumps(_final(turn, body, {"response": ""})) + "\n"


def chat(exchange: ServedExchange) -> None:
    app, body = exchange.app, exchange.json_body("ChatRequest")
    alive = keep_alive(body)
    text = body.get("model") or ""
    if not text:
        raise ApiError(400, "model is required")
    refuse_cloud(app, text)
    model = app.find(text)
    messages = body.get("messages") or []
    said = {"message": {"role": "assistant", "content": ""}}
    if not messages and alive == 0:
        app.scheduler.unload(model)
        exchange.send_json(200, _still(text, said, "unload"))
        return
    usable(app, text, "chat")
    if body.get("tools"):
        raise ApiError(400, f"{model.name.full} does not support tools")
    if body.get("think"):
        raise ApiError(400, f'"{text}" does not support thinking')
    with loaded(app, exchange, model, body, prompt_of(messages)) as turn:
        if not messages:
            exchange.send_json(200, _still(text, said, "load"))
        elif body.get("stream") is False:
            words = "".join(turn.speak())
            exchange.send_json(200, _final(turn, body, {"message": {"role": "assistant", "content": words}}))
        else:
            exchange.stream(NDJSON, _chat_lines(turn, body))


def prompt_of(messages: list[Any]) -> str:
    parts = [message.get("content") or "" for message in messages if isinstance(message, dict)]
    return " ".join(part if isinstance(part, str) else dumps(part) for part in parts)


def _chat_lines(turn: Turn, body: dict[str, Any]) -> Iterator[str]:
    for word in turn.speak():
        message = {"role": "assistant", "content": word}
        yield dumps({"model": body["model"], "created_at": stamp(), "message": message, "done": False}) + "\n"
    yield dumps(_final(turn, body, {"message": {"role": "assistant", "content": ""}})) + "\n"


def embed_refused(app: App, exchange: ServedExchange, body: dict[str, Any]) -> int | None:
    """Loads the model as the real server does and says how many inputs there were; none of ours can embed."""
    text = body.get("model") or ""
    if not text:
        raise ApiError(404, "model '' not found")
    try:
        model = app.find(text)
        app.store.header(model)
    except ApiError as error:
        if error.status != 404:
            raise
        raise ApiError(404, f'model "{text}" not found, try pulling it first') from None
    except FileNotFoundError:
        raise ApiError(404, f'model "{text}" not found, try pulling it first') from None
    except OSError as error:
        raise ApiError(500, str(go_error("open", str(error.filename), error))) from None
    except BadFile as error:
        raise ApiError(500, str(error)) from None
    wanted = body.get("input", body.get("prompt"))
    inputs = [wanted] if isinstance(wanted, str) else list(wanted or [])
    with loaded(app, exchange, model, body, "") as turn:
        room = turn.runner.load.context
        if body.get("truncate") is False and any(len(tokens(item)) + 1 > room for item in inputs):
            raise ApiError(400, "the input length exceeds the context length")
    return len(inputs)


def embed(exchange: ServedExchange) -> None:
    body = exchange.json_body("EmbedRequest")
    if embed_refused(exchange.app, exchange, body):
        raise ApiError(501, _NO_EMBEDDINGS)
    exchange.send_json(200, {"model": body["model"], "embeddings": []})


def embeddings(exchange: ServedExchange) -> None:
    body = exchange.json_body("EmbeddingRequest")
    if embed_refused(exchange.app, exchange, body):
        raise ApiError(500, _NO_EMBEDDINGS)
    exchange.send_json(200, {"embedding": []})
