"""The OpenAI and Anthropic dialects of the same turns: /v1/..."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

from .app import ApiError
from .generate import embed_refused, prompt_of, usable
from .names import parse
from .speech import Turn, loaded
from .web import ServedExchange, dumps

_SSE = "text/event-stream"
_OPENAI = {400: "invalid_request_error", 404: "not_found_error"}
_ANTHROPIC = {400: "invalid_request_error", 404: "not_found_error", 503: "overloaded_error"}
_NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"


def error_body(path: str, error: ApiError) -> dict[str, Any]:
    if path.startswith("/v1/messages"):
        kind = _ANTHROPIC.get(error.status, "api_error")
        inner = {"type": kind, "message": error.text}
        return {"type": "error", "error": inner, "request_id": f"req_{secrets.token_hex(12)}"}
    kind = _OPENAI.get(error.status, "api_error")
    return {"error": {"message": error.text, "type": kind, "param": None, "code": None}}


def _native(body: dict[str, Any]) -> dict[str, Any]:
    found = {"num_predict": body.get("max_tokens") or -1}
    for key in ("seed", "temperature", "top_p", "stop"):
        if body.get(key) is not None:
            found[key] = body[key]
    return {"model": body.get("model") or "", "options": found}


def _usage(turn: Turn) -> dict[str, int]:
    prompt, words = turn.prompt_count, len(turn.words)
    return {"prompt_tokens": prompt, "completion_tokens": words, "total_tokens": prompt + words}


def _head(kind: str, object_: str, model: str) -> dict[str, Any]:
    number = secrets.randbelow(999) + 1
    return {
        "id": f"{kind}-{number}",
        "object": object_,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": "fp_ollama",
    }


def chat_completions(exchange: ServedExchange) -> None:
    app, body = exchange.app, exchange.json_body("openai.ChatCompletionRequest", "EOF")
    messages = body.get("messages") or []
    if not messages:
        raise ApiError(400, "[] is too short - 'messages'")
    exchange.plain_json = True
    text = body.get("model") or ""
    model = usable(app, text, "chat")
    with loaded(app, exchange, model, _native(body), prompt_of(messages)) as turn:
        if body.get("stream"):
            exchange.stream(_SSE, _chat_events(turn, body))
            return
        words = "".join(turn.speak())
        choice = {"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": turn.reason}
        answer = {**_head("chatcmpl", "chat.completion", text), "choices": [choice], "usage": _usage(turn)}
        exchange.send_json(200, answer)


def _chat_events(turn: Turn, body: dict[str, Any]) -> Iterator[str]:
    """A death in mid-answer shows as a last chunk without model and reason, and no [DONE]."""
    head = _head("chatcmpl", "chat.completion.chunk", body["model"])
    delta: dict[str, str] = {"role": "assistant"}
    try:
        for word in turn.speak():
            choice = {"index": 0, "delta": {**delta, "content": word}, "finish_reason": None}
            yield f"data: {dumps({**head, 'choices': [choice]})}\n\n"
            delta = {}
    except ApiError:
        if not turn.words:
            raise
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": None}
        yield f"data: {dumps({**head, 'model': '', 'choices': [choice]})}\n\n"
        return
    choice = {"index": 0, "delta": {}, "finish_reason": turn.reason}
    yield f"data: {dumps({**head, 'choices': [choice]})}\n\n"
    if (body.get("stream_options") or {}).get("include_usage"):
        yield f"data: {dumps({**head, 'choices': [], 'usage': _usage(turn)})}\n\n"
    yield "data: [DONE]\n\n"


def completions(exchange: ServedExchange) -> None:
    app, body = exchange.app, exchange.json_body("openai.CompletionRequest", "EOF")
    exchange.plain_json = True
    text = body.get("model") or ""
    model = usable(app, text, "generate")
    with loaded(app, exchange, model, _native(body), str(body.get("prompt") or "")) as turn:
        words = "".join(turn.speak())
        choice = {"text": words, "index": 0, "finish_reason": turn.reason}
        exchange.send_json(200, {**_head("cmpl", "text_completion", text), "choices": [choice], "usage": _usage(turn)})


def responses(exchange: ServedExchange) -> None:
    body = exchange.json_body("openai.ResponsesRequest", "EOF")
    exchange.plain_json = True
    usable(exchange.app, body.get("model") or "", "chat")
    raise ApiError(501, "the simulated server does not speak /v1/responses")


def embeddings(exchange: ServedExchange) -> None:
    body = exchange.json_body("openai.EmbedRequest", "EOF")
    exchange.plain_json = True
    if embed_refused(exchange.app, exchange, body):
        raise ApiError(501, _NO_EMBEDDINGS)
    exchange.send_json(200, {"object": "list", "data": [], "model": body["model"]})


def models(exchange: ServedExchange) -> None:
    exchange.plain_json = True
    found = [_model(model.name.short, model.modified, model.name.namespace) for model in exchange.app.store.models()]
    exchange.send_json(200, {"object": "list", "data": found or None})


def one_model(exchange: ServedExchange) -> None:
    exchange.plain_json = True
    text = exchange.path_only.removeprefix("/v1/models/")
    name = parse(text)
    try:
        model = exchange.app.find(name.short if name else text)
    except OSError:
        raise ApiError(404, f"model '{text}' not found") from None
    exchange.send_json(200, _model(text, model.modified, model.name.namespace))


def _model(text: str, modified: float, owner: str) -> dict[str, Any]:
    return {"id": text, "object": "model", "created": int(modified), "owned_by": owner}


def messages(exchange: ServedExchange) -> None:
    app, body = exchange.app, exchange.json_body("anthropic.MessagesRequest", "EOF")
    text = body.get("model") or ""
    if not text:
        raise ApiError(400, "model is required")
    if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] <= 0:
        raise ApiError(400, "max_tokens is required and must be positive")
    if not body.get("messages"):
        raise ApiError(400, "messages is required")
    exchange.plain_json = True
    model = usable(app, text, "chat")
    with loaded(app, exchange, model, _native(body), prompt_of(body["messages"])) as turn:
        if body.get("stream"):
            exchange.stream(_SSE, _message_events(turn, text))
            return
        words = "".join(turn.speak())
        usage = {"input_tokens": turn.prompt_count, "output_tokens": len(turn.words)}
        content = [{"type": "text", "text": words}]
        exchange.send_json(200, {**_message(text), "content": content, "stop_reason": _reason(turn), "usage": usage})


def _message(text: str) -> dict[str, Any]:
    return {"id": f"msg_{secrets.token_hex(12)}", "type": "message", "role": "assistant", "model": text}


def _reason(turn: Turn) -> str:
    return "max_tokens" if turn.reason == "length" else "end_turn"


def _message_events(turn: Turn, text: str) -> Iterator[str]:
    words = turn.speak()
    first = next(words, None)
    start = {**_message(text), "content": [], "usage": {"input_tokens": turn.prompt_count, "output_tokens": 0}}
    yield _event("message_start", message=start)
    yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    while first is not None:
        yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": first})
        first = next(words, None)
    yield _event("content_block_stop", index=0)
    usage = {"input_tokens": turn.prompt_count, "output_tokens": len(turn.words)}
    yield _event("message_delta", delta={"stop_reason": _reason(turn)}, usage=usage)
    yield _event("message_stop")


def _event(kind: str, **content: Any) -> str:
    return f"event: {kind}\ndata: {dumps({'type': kind, **content})}\n\n"
