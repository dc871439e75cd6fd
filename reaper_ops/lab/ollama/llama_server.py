#!/usr/bin/env python3
"""Stand-in for the process that holds a model: takes memory for real and says words instead of inference.

A file of its own without imports of the package: it is installed as ``lib/ollama/llama-server``.
Its caller adds REAPER_OPS_LAB_LOAD, a JSON object: bytes to take, limit (RLIMIT_AS) or kill (SIGKILL) while loading.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from typing import Any

_PAGE = 4096


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def option(argv: list[str], name: str, default: str = "") -> str:
    return argv[argv.index(name) + 1] if name in argv else default


def refuse(count: int) -> None:
    """What llama.cpp prints when an allocation fails; then it exits by itself."""
    say(f"ggml_aligned_malloc: insufficient memory (attempted to allocate {count / (1 << 20):.2f} MB)")
    say(f"ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size {count}")
    say(f"alloc_tensor_range: failed to allocate CPU buffer of size {count}")
    say("llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache")
    say("srv    load_model: failed to load model")
    os._exit(1)


def take(count: int) -> bytearray:
    """Memory that is really there: every page is written."""
    held = bytearray(count)
    for position in range(0, count, _PAGE):
        held[position] = 1
    return held


def load(argv: list[str], behavior: dict[str, Any]) -> bytearray:
    model = option(argv, "--model")
    say("srv  llama_server: initializing ... (simulated by the reaper_ops lab)")
    say(f"srv    load_model: loading model '{model}'")
    count = int(behavior.get("bytes", 0))
    held = bytearray()
    if behavior.get("limit"):
        resource.setrlimit(resource.RLIMIT_AS, (int(behavior["limit"]), int(behavior["limit"])))
    try:
        held = take(count)
    except MemoryError:
        refuse(count)
    if behavior.get("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    with open(model, "rb") as file:
        file.read(_PAGE)
    return held


def answer(connection: socket.socket, turn: threading.Semaphore) -> None:
    with connection, turn, connection.makefile("rwb") as stream:
        try:
            speak(json.loads(stream.readline() or b"{}"), stream)
        except OSError:
            return


def speak(request: dict[str, Any], stream: Any) -> None:
    seed = f"{request.get('seed', time.monotonic_ns())} {request.get('prompt', '')}"
    for number in range(request.get("words", 0)):
        if number == request.get("die_after"):
            os.kill(os.getpid(), signal.SIGKILL)
        digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
        word = int.from_bytes(digest[:2], "big") % 1000
        stream.write(json.dumps({"word": f" w{word}"}).encode() + b"\n")
        stream.flush()
        time.sleep(request.get("pace", 0.002))
    stream.write(b'{"end": true}\n')
    stream.flush()


def main(argv: list[str]) -> int:
    if "--version" in argv:
        print("version: simulated by the reaper_ops lab")
        return 0
    with open("/proc/self/comm", "w") as comm:
        comm.write("llama-server")
    held = load(argv, json.loads(os.environ.get("REAPER_OPS_LAB_LOAD") or "{}"))
    listener = socket.create_server(("127.0.0.1", int(option(argv, "--port", "0"))))
    say(f"main: server is listening on http://127.0.0.1:{listener.getsockname()[1]}")
    turns = threading.Semaphore(int(option(argv, "-np", "1")))
    while len(held) >= 0:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection, turns), daemon=True).start()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
