"""HTTP client for the Ollama server on the same host, for `reaper_rules` and for single requests."""

from __future__ import annotations

import contextlib
import http.client
import json
from urllib.parse import urlsplit

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_rules
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_deadline import ending
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import Answer, Trouble

API_TIMEOUT = 30
LIMIT = 16 << 20


@contextlib.contextmanager
def request(base_url, method, path, body=None, timeout=API_TIMEOUT):
    """The answer and its socket; requests to the host's own server never use a proxy."""
    parts = urlsplit(base_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout)
    try:
        data = None if body is None else json.dumps(body).encode()
        connection.connect()
        link = connection.sock
        with ending(link, timeout):
            connection.request(method, parts.path.rstrip("/") + path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
        yield answer, link
        answer.close()
    finally:
        connection.close()


def whole(answer):
    """An answer longer than a server's can be is refused."""
    data = answer.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise http.client.HTTPException("the answer is larger than %d bytes" % LIMIT)
    return Answer(answer.status, data.decode("utf-8", "replace"))


def asked(base_url, step, timeout=API_TIMEOUT):
    """The answer to an `Ask`."""
    try:
        with request(base_url, step.method, step.path, step.body, timeout) as (answer, link), ending(link, timeout):
            return whole(answer)
    except (OSError, http.client.HTTPException) as error:
        raise Trouble(str(error) or repr(error)) from None


def _walk(base_url, steps, timeout=API_TIMEOUT):
    return reaper_rules.walk(steps, lambda step: asked(base_url, step, timeout))


def listed(base_url):
    """{name: digest} of the server's models."""
    return _walk(base_url, reaper_rules.listed(base_url))


def send(base_url, method, path, body, timeout=API_TIMEOUT):
    """The body of a 200; anything else raises Trouble."""
    return _walk(base_url, reaper_rules.send(base_url, method, path, body), timeout)


def copy(base_url, source, destination):
    """Gives a model another name; the bytes of its manifest, and so its digest, stay the same."""
    _walk(base_url, reaper_rules.copy(base_url, source, destination))


def delete(base_url, name):
    """Removes a name; blobs stay while another name uses them."""
    _walk(base_url, reaper_rules.delete(base_url, name))


def clear_leases(base_url, have):
    _walk(base_url, reaper_rules.clear_leases(base_url, have))
