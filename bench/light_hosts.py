"""Many simulated Ollama servers in one process, each on a port of its own, and the registry that they name.

Lighter than the lab's: a pull moves no byte, but tells its progress as the real server does, a line each 60 ms, for a
set time. `python -m bench.light_hosts FIRST_PORT COUNT SECONDS LOG`; each pull's own time goes to LOG.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TICK = 0.06
LAYERS = (39_000_000_000, 1_000_000_000, 1_400, 380)
KINDS = ("model", "projector", "template", "params")


def layer(size: int, kind: str) -> dict[str, Any]:
    digest = hashlib.sha256(kind.encode()).hexdigest()
    return {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}", "size": size}


MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": layer(485, "config"),
        "layers": [layer(*row) for row in zip(LAYERS, KINDS, strict=True)],
    }
).encode()
DIGEST = hashlib.sha256(MANIFEST).hexdigest()


class Host:
    """One server: the names it lists, and how it answers."""

    def __init__(self, seconds: float, log: Path) -> None:
        self.seconds, self.log = seconds, log
        self.models: dict[str, dict[str, Any]] = {}

    def put(self, name: str, **more: Any) -> None:
        stamp = datetime.fromtimestamp(time.time(), UTC).isoformat().replace("+00:00", "Z")
        self.models[name] = {"name": name, "digest": DIGEST, "size": sum(LAYERS), "modified_at": stamp, **more}

    async def pull(self, name: str) -> AsyncIterator[dict[str, Any]]:
        began, total = time.monotonic(), sum(LAYERS)
        yield {"status": "pulling manifest"}
        for size, kind in zip(LAYERS, KINDS, strict=True):
            row = {"status": f"pulling {kind}", "digest": layer(size, kind)["digest"], "total": size}
            start, lasts = time.monotonic(), self.seconds * size / total
            while (gone := time.monotonic() - start) < lasts:
                yield {**row, "completed": int(size * gone / lasts)}
                await asyncio.sleep(TICK)
            yield {**row, "completed": size}
        for status in ("verifying sha256 digest", "writing manifest", "success"):
            if status == "success":
                self.put(name)
                with self.log.open("a") as file:
                    file.write(f"{time.monotonic() - began}\n")
            yield {"status": status}

    def answer(self, method: str, path: str, body: dict[str, Any]) -> bytes | None:
        if path == "/api/tags":
            return json.dumps({"models": list(self.models.values())}).encode()
        if path.startswith("/v2/"):
            return MANIFEST
        if path == "/api/create":
            self.put(body["model"], remote_model=body["from"], remote_host=body["remote_host"])
            return b'{"status":"success"}'
        if path == "/api/copy":
            self.put(body["destination"])
            return b""
        if path == "/api/delete":
            return b"" if self.models.pop(body["model"], None) else None
        return None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                method, path, _ = lines[0].split()
                sizes = [int(line[15:]) for line in lines if line.lower().startswith("content-length:")]
                body = json.loads(await reader.readexactly(sizes[0]) or b"{}") if sizes else {}
                await self.reply(writer, method, path, body)
        writer.close()

    async def reply(self, writer: asyncio.StreamWriter, method: str, path: str, body: dict[str, Any]) -> None:
        if path == "/api/pull":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            async for row in self.pull(body["model"]):
                line = json.dumps(row).encode() + b"\n"
                writer.write(b"%x\r\n%s\r\n" % (len(line), line))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        else:
            data = self.answer(method, path, body)
            status = b"404 Not Found" if data is None else b"200 OK"
            data = data or b""
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(data), data))
        await writer.drain()


async def main(first: int, count: int, seconds: float, log: Path) -> None:
    hosts = [Host(seconds, log) for _ in range(count)]
    servers = [await asyncio.start_server(one.serve, "127.0.0.1", first + at) for at, one in enumerate(hosts)]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    words = sys.argv[1:]
    asyncio.run(main(int(words[0]), int(words[1]), float(words[2]), Path(words[3])))
