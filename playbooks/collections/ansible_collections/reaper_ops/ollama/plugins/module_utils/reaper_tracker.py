"""The tracker of one swarm: returns peers to clients that know a torrent's hash, and never reveals a hash."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
import time
import urllib.parse

from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_torrent import encoded

LINE, PATIENCE = 8 << 10, 10
INTERVAL, FORGOTTEN, GIVEN = 30, 120, 50
UNKNOWN, PORT = "no torrent of this swarm", "no port"


class Tracker:
    """`swarms`: peers by torrent hash, each with the time of its announcement and whether it is complete;
    the latest come last."""

    def __init__(self, hashes):
        self.swarms = {bytes.fromhex(one): {} for one in hashes}

    def answer(self, path, address, now):
        """None if it is not an announcement. There is no scrape: it would reveal hashes."""
        where, _, query = path.partition("?")
        if where != "/announce":
            return None
        asked = dict(urllib.parse.parse_qsl(query, encoding="latin-1"))
        peers = self.swarms.get(asked.get("info_hash", "").encode("latin-1"))
        if peers is None:
            return encoded({"failure reason": UNKNOWN})
        port = number(asked.get("port"))
        if not 0 < port < 1 << 16:
            return encoded({"failure reason": PORT})
        me = socket.inet_aton(address) + port.to_bytes(2, "big")
        peers.pop(me, None)
        forget(peers, now - FORGOTTEN)
        others = random.sample(list(peers), min(len(peers), GIVEN))
        if asked.get("event") != "stopped":
            peers[me] = (now, asked.get("left") == "0")
        whole = sum(has for _, has in peers.values())
        told = {"interval": INTERVAL, "complete": whole, "incomplete": len(peers) - whole}
        return encoded({**told, "peers": b"".join(others)})

    async def serve(self, reader, writer):
        try:
            line = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            words = line.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            path = words[1] if len(words) == 3 and words[0] == "GET" else ""
            body = self.answer(path, writer.get_extra_info("peername")[0], time.monotonic())
            status = "404 Not Found" if body is None else "200 OK"
            body = body or b""
            head = "HTTP/1.0 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
            writer.write(head.encode("ascii") + body)
            await asyncio.wait_for(writer.drain(), PATIENCE)
        except (OSError, EOFError, asyncio.TimeoutError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()


def number(text):
    return int(text) if text and text.isdecimal() and text.isascii() and len(text) <= 5 else -1


def forget(peers, before):
    for one in [one for one, (heard, _) in peers.items() if heard < before]:
        del peers[one]


def serve(hashes, address, port):
    """Serves until the process ends; returns at once if the port is taken, and logs that."""
    with open(hashes, encoding="ascii") as file:
        tracker = Tracker(file.read().split())
    try:
        bound = socket.create_server((address, port), backlog=1024)
    except OSError as error:
        sys.stderr.write("%s\n" % os.strerror(error.errno))
        sys.stderr.flush()
        return

    async def work():
        server = await asyncio.start_server(tracker.serve, sock=bound, limit=LINE)
        async with server:
            await server.serve_forever()

    asyncio.run(work())
