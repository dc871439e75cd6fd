"""Queries the registry from the host as its server would: through the server's own proxy, for missing models."""

import base64
import http.client
import os
import ssl
import threading
import time
import urllib.parse
import urllib.request

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_layout as layout
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_command import pid_of
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_host import redact
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_http import failed, read_http, telling

MAX_MODELS = 3
MAX_BODY = 1024
PATIENCE = 6.0


def read_upstream(host, ask):
    """Exchanges with the registry for the first wanted models that the server does not list."""
    wanted = missing(host, ask)[:MAX_MODELS]
    environ = environ_of(pid_of(host, ask["server"])) if wanted else {}
    found = []
    until = time.monotonic() + host.left(PATIENCE)
    for row in wanted:
        got = {}
        thread = threading.Thread(target=fetch, args=(row["url"], environ, ask["version"], got), daemon=True)
        thread.start()
        thread.join(max(0.1, until - time.monotonic()))
        late = failed(urllib.parse.urlsplit(row["url"]).path, "connect", TimeoutError("no answer in time"), "", 0)
        found.append(got.get("exchange") or dict(late, error="timeout", elapsed_ms=PATIENCE * 1000))
        if found[-1]["phase"] != "done":
            break
    return {"exchanges": found}


def missing(host, ask):
    """Missing models by the server's own list; none if it does not answer and the store cannot be read."""
    request = {"path": "/api/tags", "timeout": 3}
    answer = read_http(host, {"base_url": ask["base_url"], "connect_timeout": 1, "requests": [request]})
    listing = answer["exchanges"][-1]
    if listing["status"] == 200:
        return [row for row in ask["models"] if '"%s"' % row["name"] not in listing["body"]]
    store = os.path.expanduser(ask["path"])
    if not any(os.path.isdir(os.path.join(store, root)) for root in layout.ROOTS):
        return []
    return [row for row in ask["models"] if not any(map(os.path.exists, manifests_of(store, row["path"])))]


def manifests_of(store, path):
    """Where the manifest HOST/NAMESPACE/MODEL/TAG can lie."""
    host, rest = path.split("/", 1)
    space, model, tag = rest.rsplit("/", 2)
    return [os.path.join(store, place) for place in layout.places(host, space, model, tag)]


def environ_of(pid):
    """The server's environment, unredacted, with the proxy's password; nothing of it leaves the host."""
    try:
        with open("/proc/%d/environ" % pid, "rb") as handle:
            rows = [item.partition("=") for item in handle.read().decode("utf-8", "replace").split("\0")]
    except OSError:
        return {}
    return {name: value for name, _, value in rows}


def proxy_of(url, environ):
    parts = urllib.parse.urlsplit(url)
    given = {name.lower(): value for name, value in environ.items() if name.lower().endswith("_proxy") and value}
    proxy = given.get(parts.scheme + "_proxy")
    if not proxy or urllib.request.proxy_bypass_environment(parts.netloc, {"no": given.get("no_proxy", "")}):
        return None
    return urllib.parse.urlsplit(proxy if "://" in proxy else "http://" + proxy)


def fetch(url, environ, version, got):
    parts, began = urllib.parse.urlsplit(url), time.monotonic()
    phase, proxy = "connect", proxy_of(url, environ)
    where = proxy or parts
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    default = 443 if where.scheme == "https" else 80
    options = {"context": ssl.create_default_context()} if secure else {}
    connection = kind(where.hostname, where.port or default, timeout=4, **options)
    target = parts.path
    if proxy and secure:
        connection.set_tunnel(parts.hostname, parts.port or 443, headers=authorization(proxy))
    elif proxy:
        target = url
    try:
        connection.connect()
        phase = "read"
        extra = authorization(proxy) if proxy and not secure else {}
        connection.request("GET", target, headers=dict(extra, **{"User-Agent": "ollama/" + version}))
        response = connection.getresponse()
        body = response.read(MAX_BODY).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException, ValueError) as exc:
        result = failed(parts.path, phase, exc, "", began)
        result["phase"] = {"dns": "resolve", "tls": "tls"}.get(result["error"], phase)
    else:
        result = failed(parts.path, "done", ValueError(), "", began)
        result.update(status=response.status, body=redact(body), error="", detail="")
        result.update(content_type=response.getheader("Content-Type") or "", headers=telling(response))
    finally:
        connection.close()
    result["address"] = "%s:%d" % (where.hostname, where.port or default)
    got["exchange"] = result


def authorization(proxy):
    if not proxy.username:
        return {}
    words = "%s:%s" % (urllib.parse.unquote(proxy.username), urllib.parse.unquote(proxy.password or ""))
    return {"Proxy-Authorization": "Basic " + base64.b64encode(words.encode("utf-8")).decode("ascii")}
