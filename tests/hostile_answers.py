"""Answers of a server that means harm: by name, the path that it answers so, and the bytes."""

from __future__ import annotations

import gzip
import json
from typing import Any

DIGITS = "9" * 4000
DEEP = "[" * 200_000


def tags(**row: Any) -> str:
    return json.dumps({"models": [{"name": "x:1", "digest": "ab", "size": 7, **row}]})


def raw(text: str, key: str = "size") -> str:
    """A value that Python's own writer of JSON would not write."""
    return tags(**{key: "@"}).replace('"@"', text)


BODIES: dict[str, tuple[str, str]] = {
    "size of 4000 digits": ("/api/tags", raw(DIGITS)),
    "size of 5000 digits": ("/api/tags", raw(DIGITS + "9" * 1000)),
    "size beyond 64 bits": ("/api/tags", raw(str(1 << 64))),
    "negative size": ("/api/tags", raw("-7")),
    "fractional size": ("/api/tags", raw("7.5")),
    "size without end": ("/api/tags", raw("1e999")),
    "size is NaN": ("/api/tags", raw("NaN")),
    "size is -Infinity": ("/api/tags", raw("-Infinity")),
    "size is true": ("/api/tags", raw("true")),
    "size is text": ("/api/tags", raw('"7"')),
    "size is a list": ("/api/tags", raw("[7]")),
    "digest is a number": ("/api/tags", raw("7", "digest")),
    "digest is a list": ("/api/tags", raw("[]", "digest")),
    "digest is a path": ("/api/tags", raw('"../../etc/shadow"', "digest")),
    "details are a number": ("/api/tags", raw("7", "details")),
    "details are deep": ("/api/tags", raw("[" * 500 + "]" * 500, "details")),
    "time that is none": ("/api/tags", raw('"9999-99-99T99:99:99Z"', "modified_at")),
    "name of four parts": ("/api/tags", tags(name="a/b/c/d:1")),
    "name of a path": ("/api/tags", tags(name="../../etc/passwd:1")),
    "name with a lone surrogate": ("/api/tags", '{"models":[{"name":"s\\ud800:1"}]}'),
    "name with escapes": ("/api/tags", tags(name="\x1b]0;owned\x07x:1")),
    "name of two lines": ("/api/tags", tags(name="x:1\n")),
    "name is a number": ("/api/tags", tags(name=7)),
    "name is null": ("/api/tags", tags(name=None)),
    "name is a list": ("/api/tags", tags(name=["x:1"])),
    "empty name": ("/api/tags", tags(name="")),
    "name of 100000 letters": ("/api/tags", tags(name="x" * 100_000)),
    "a lock of nobody": ("/api/tags", tags(name="reaper-ops/lock:a.b", remote_model="x/²-a", modified_at="0000")),
    "rows are numbers": ("/api/tags", '{"models":[1,2,3]}'),
    "rows are an object": ("/api/tags", '{"models":{"name":"x:1"}}'),
    "rows are text": ("/api/tags", '{"models":"x:1"}'),
    "7000 rows": ("/api/tags", json.dumps({"models": [{"name": f"m{n}:1", "size": 1} for n in range(7000)]})),
    "rows without names": ("/api/tags", '{"models":[{}]}'),
    "a list of all": ("/api/tags", "[1]"),
    "nested deeply": ("/api/tags", DEEP),
    "nested in a row": ("/api/tags", '{"models":[{"name":"x:1","size":' + DEEP),
    "300000 objects": ("/api/tags", '{"models":[' + "{}," * 300_000 + "{}]}"),
    "nothing": ("/api/tags", ""),
    "a page": ("/api/tags", "<html><script>alert(1)</script></html>"),
    "vram beyond 64 bits": ("/api/ps", raw(str(1 << 70), "size_vram")),
    "negative vram": ("/api/ps", raw("-1", "size_vram")),
    "context is text": ("/api/ps", raw('"x"', "context_length")),
    "context beyond 64 bits": ("/api/ps", raw(DIGITS, "context_length")),
    "expires is a number": ("/api/ps", raw("7", "expires_at")),
    "expires never ends": ("/api/ps", raw('"' + "9" * 100_000 + '"', "expires_at")),
    "loaded of four parts": ("/api/ps", tags(name="a/b/c/d:1")),
    "version is a number": ("/api/version", '{"version": 7}'),
    "version is a list": ("/api/version", '{"version": ["0.35.1"]}'),
    "version with escapes": ("/api/version", '{"version": "0.1\\u001b[2J"}'),
    "version with a lone surrogate": ("/api/version", '{"version": "0\\ud800"}'),
    "version of 100000 letters": ("/api/version", json.dumps({"version": "1" * 100_000})),
    "version nested deeply": ("/api/version", '{"version":' + DEEP),
}


def http(body: bytes = b"", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """The connection ends with it, so that nobody asks again on one that is about to be closed."""
    head = [b"HTTP/1.1 " + status, b"Connection: close", *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*head, b"", body])


LIST = b'{"models":[]}'
TRANSPORT: dict[str, bytes] = {
    "content type that is no text": http(LIST, b"Content-Type: \xff\xfe"),
    "header that is no text": http(LIST, b"Server: \xff\xfe\x1b[2J"),
    "body that is no text": http(b'{"models":[{"name":"\xff\xfe:1"}]}'),
    "compressed": http(gzip.compress(LIST), b"Content-Encoding: gzip"),
    "compressed twice": http(gzip.compress(gzip.compress(bytes(1 << 24))), b"Content-Encoding: gzip, gzip"),
    "transfer that nobody knows": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \xffzip\r\n\r\nabc",
    "chunks that are none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\xff\r\nabc",
    "chunk without end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc",
    "length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\nabc",
    "two lengths": http(LIST, b"Content-Length: 5"),
    "status that is none": b"HTTP/1.1 2\xb20 OK\r\n\r\n",
    "status beyond": b"HTTP/1.1 99999 OK\r\nContent-Length: 0\r\n\r\n",
    "http of 1991": b"hello\n" * 100,
    "20000 headers": http(LIST, *(b"x%d: %s" % (n, b"y" * 100) for n in range(20_000))),
    "a header of a megabyte": http(LIST, b"x: " + b"y" * (1 << 20)),
    "5000 interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 5000,
    "sent on to a cloud's metadata": http(b"", b"Location: http://169.254.169.254/latest/", status=b"302 Found"),
    "more than four megabytes": http(b"[" + b" " * (5 << 20)),
    "hangs up": b"",
    "hangs up in the middle": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
}
LINES: dict[str, str] = {
    "completed is text": '{"status":"pulling x","digest":"sha256:aa","total":10,"completed":"x"}',
    "completed of 4000 digits": '{"status":"pulling x","digest":"sha256:aa","total":10,"completed":' + DIGITS + "}",
    "negative total": '{"status":"pulling x","digest":"sha256:aa","total":-10,"completed":1}',
    "total is a list": '{"status":"pulling x","digest":"sha256:aa","total":[10],"completed":1}',
    "digest is an object": '{"status":"pulling x","digest":{"a":1},"total":10,"completed":1}',
    "digest is a list": '{"status":"pulling x","digest":["a"],"total":10,"completed":1}',
    "status is a number": '{"status":7}',
    "status is a list": '{"status":["success"]}',
    "error is an object": '{"error":{"a":1}}',
    "error with a lone surrogate": '{"error":"\\ud800"}',
    "a list": "[]",
    "no JSON": "<html>",
    "nested deeply": DEEP,
    "a line of a megabyte": '{"status":"' + "x" * (1 << 20) + '"}',
    "a megabyte without a line's end": "x" * (1 << 20),
    "20000 layers": "\n".join(
        json.dumps({"status": "pulling", "digest": f"sha256:{n:x}", "total": 9, "completed": 1}) for n in range(20_000)
    ),
}
