"""Asks a running Ollama server: what it lists, and the requests that change what it lists."""

from __future__ import annotations

import contextlib
import http.client
import json
from urllib.parse import urlsplit

from ansible.module_utils.reaper_files import Trouble
from ansible.module_utils.reaper_registry import same_name

API_TIMEOUT = 30


@contextlib.contextmanager
def request(base_url, method, path, body=None, timeout=API_TIMEOUT):
    """The answer and its socket; the host's own server is never asked through a proxy."""
    parts = urlsplit(base_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout)
    try:
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, parts.path.rstrip("/") + path, data, {"Content-Type": "application/json"})
        socket = connection.sock
        answer = connection.getresponse()
        yield answer, socket
        answer.close()
    finally:
        connection.close()


def listed(base_url):
    """{name: digest} of the server's models."""
    try:
        with request(base_url, "GET", "/api/tags") as (answer, _):
            text = answer.read().decode("utf-8", "replace")
            if answer.status != 200:
                raise Trouble("%s/api/tags says %d: %s" % (base_url, answer.status, text[:200]))
        return {row["name"]: row.get("digest", "") for row in json.loads(text).get("models") or []}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, http.client.HTTPException) as error:
        raise Trouble("%s cannot be reached or is not Ollama: %s" % (base_url, error)) from None


def digest_of(name, models):
    return next((digest for other, digest in models.items() if same_name(name, other)), None)


def said(answer):
    text = answer.read().decode("utf-8", "replace")
    with contextlib.suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["error"])
    return "the server says %d: %s" % (answer.status, text[:300])


def send(base_url, method, path, body, timeout=API_TIMEOUT):
    """The text of a 200; anything else raises Trouble."""
    try:
        with request(base_url, method, path, body, timeout) as (answer, _):
            if answer.status != 200:
                raise Trouble("%s%s: %s" % (base_url, path, said(answer)))
            return answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise Trouble("%s%s: no whole answer (%s)" % (base_url, path, error or repr(error))) from None


def copy(base_url, source, destination):
    """Gives a model a further name; the bytes of its manifest, and so its digest, stay."""
    send(base_url, "POST", "/api/copy", {"source": source, "destination": destination})


def delete(base_url, name):
    """Takes a name away; blobs stay as long as another name has them."""
    send(base_url, "DELETE", "/api/delete", {"model": name})
