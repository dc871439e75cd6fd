"""The mirror between people who do not trust each other: clients with tokens, registries that lie, odd paths."""

from __future__ import annotations

import contextlib
import http.client

import pytest
from mirror import liars, site
from mirror.liars import BLOB, DIGEST, EVIL, GOOD, MANIFEST
from servers import free_port

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
LISTS = "application/vnd.ollama.manifest.list.v2+json"
PRIVATE = "/v2/private/secret"


def honest(request):
    if "/private/" in request.path and request.token != "Bearer secret" and request.token != "0":
        return 401, {"Www-Authenticate": 'Bearer realm="x"'}, b"no"
    if "/blobs/" in request.path:
        return liars.part(GOOD, request)
    return 200, {}, f"{request.path} {request.headers.get('accept')}".encode()


def lying(request):
    if "/blobs/" in request.path:
        return liars.part(EVIL, request)
    return 200, {}, b"EVIL manifest"


@pytest.fixture
def registry(short):
    with liars.serving(honest) as found:
        yield found


@pytest.fixture
def mirror(short, resolver, registry):
    with site.running(site.settings(short / "m", f"http://{registry.at}", resolver)) as found:
        registry.asked.clear()
        yield found


@pytest.mark.parametrize("token", ["Bearer secret", "0"])
@pytest.mark.parametrize("path", [f"{PRIVATE}/manifests/latest", f"{PRIVATE}/blobs/{DIGEST}"])
def test_what_a_token_opened_is_for_nobody_else(mirror, registry, path, token):
    for method in ("GET", "HEAD", "GET"):
        assert site.get(f"http://{mirror}{path}", method, Authorization=token)[0] == 200
    assert site.get(f"http://{mirror}{path}")[0] == 401
    assert site.get(f"http://{mirror}{path}", Authorization="Bearer other")[0] == 401
    assert [request.token for request in registry.asked] == [token, token, token, "", "Bearer other"]


def test_a_token_asks_past_what_is_kept(mirror, registry):
    for path in (MANIFEST, BLOB):
        registry.asked.clear()
        for headers in ({}, {"Authorization": "Bearer secret"}, {}):
            assert site.get(f"http://{mirror}{path}", **headers)[0] == 200
        assert [request.token for request in registry.asked] == ["", "Bearer secret"]


def test_a_lying_registry_lies_at_its_own_port_only(short, resolver, registry):
    port = free_port()
    with liars.serving(lying) as liar:
        more = {"mirror_sources": {liar.at: port}, "ollama_insecure_registries": [liar.at]}
        with site.running(site.settings(short / "m", f"http://{registry.at}", resolver, **more)) as mirror:
            assert site.get(f"http://127.0.0.1:{port}{BLOB}")[2] == EVIL
            assert site.get(f"http://{mirror}{BLOB}")[2] == GOOD
            assert site.get(f"http://127.0.0.1:{port}{MANIFEST}")[2] == b"EVIL manifest"
            assert MANIFEST.encode() in site.get(f"http://{mirror}{MANIFEST}")[2]


ODD = (
    "/v2/a/b/manifests/x%3f/../../../../library/tiny/manifests/latest",
    "/v2/library/tiny/manifests/%6catest",
    "/v2/library/tiny/manifests/x/../latest",
    "/v2/library//tiny/manifests/latest",
    "/v2/./library/tiny/manifests/latest",
    "/v2/library/tiny/manifests/latest%0a",
    "/v2/library/tiny/manifests/latest?x=1",
    "/v2/library/tiny/manifests/latest?",
    "/v2/library/tiny/manifests/latest#x",
    f"/v2/library%2ftiny/blobs/{DIGEST}",
    f"/v2/a/../library/tiny/blobs/{DIGEST}",
    f"{BLOB}?x=1",
    "/v2/own/x/%2e%2e/%2e%2e/library/manifests/1",
)
NOWHERE = (
    "/v2/library/tiny/manifests/-x",
    f"/v2/library/tiny/manifests/{'x' * 129}",
    "/v2/library/tiny/manifests/sha256:00",
    "/v2/library/tiny/manifests/a/b",
    "/v2/-x/tiny/manifests/latest",
    "/v2/.x/tiny/manifests/latest",
    f"/v2/{'a/' * 9}manifests/latest",
    f"{BLOB}0",
    BLOB.upper().replace("/V2/", "/v2/").replace("BLOBS/SHA", "blobs/sha"),
    "/v2/library/tiny/blobs/sha512:00",
    "/v2/_catalog",
    "/v2/library/tiny/referrers/" + DIGEST,
    "/token?service=x",
)


def raw(mirror, line, headers=()):
    link = http.client.HTTPConnection(mirror, timeout=20)
    link._http_vsn_str = "HTTP/1.1"
    link.putrequest(line[0], line[1], skip_host=True, skip_accept_encoding=True)
    for name, value in [("Host", "x"), *headers]:
        link.putheader(name, value)
    link.endheaders()
    answer = link.getresponse()
    try:
        return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    finally:
        link.close()


def test_a_path_has_one_form(mirror, registry, monkeypatch):
    monkeypatch.setattr(http.client.HTTPConnection, "_validate_path", lambda *_: None)
    assert {path: raw(mirror, ("GET", path))[0] for path in ODD} == dict.fromkeys(ODD, 400)
    assert {path: raw(mirror, ("GET", path))[0] for path in NOWHERE} == dict.fromkeys(NOWHERE, 404)
    assert registry.asked == []
    assert raw(mirror, ("GET", MANIFEST))[2] == f"{MANIFEST} {DOCKER}".encode()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_only_reading_goes_on(mirror, registry, method):
    assert {raw(mirror, (method, path))[0] for path in (MANIFEST, BLOB)} <= {403, 405}
    assert registry.asked == []


def test_an_accept_of_one_client_is_no_answer_of_another(mirror, registry):
    url = f"http://{mirror}{MANIFEST}"
    first = site.get(url, Accept="text/html, application/x-evil")[2]
    assert first == site.get(url)[2] == site.get(url, Accept=DOCKER)[2] == f"{MANIFEST} {DOCKER}".encode()
    for accept in (f"{LISTS}, {DOCKER}", f"{DOCKER},{LISTS};q=0.5", f"{LISTS}, text/evil"):
        assert site.get(url, Accept=accept)[2] == f"{MANIFEST} {LISTS}, {DOCKER}".encode()
    assert len(registry.asked) == 2


CLIENT = [
    ("Cookie", "a=b"),
    ("X-Forwarded-For", "10.0.0.1"),
    ("X-Original-URL", "/v2/library/evil/manifests/latest"),
    ("Accept-Encoding", "gzip"),
    ("Accept-Language", "xx"),
    ("If-None-Match", "*"),
    ("If-Modified-Since", "Thu, 26 Nov 2099 00:00:00 GMT"),
    ("Range", "bytes=0-3"),
    ("User-Agent", "curl/evil"),
    ("Proxy-Authorization", "Basic eDp5"),
    ("Forwarded", "host=evil"),
    ("Content-Type", "text/evil"),
    ("Content-Length", "0"),
]
SENT = {"host", "connection", "user-agent", "accept-encoding", "accept", "range"}


@pytest.mark.parametrize("path", [MANIFEST, BLOB, "/reaper_ops/upstream?x=y"])
def test_upstream_sees_nothing_of_the_client(mirror, registry, path):
    assert raw(mirror, ("GET", path), CLIENT)[0] in {200, 206}
    [request] = registry.asked
    assert set(request.headers) <= SENT
    text = repr(request)
    assert not [value for _, value in CLIENT if len(value) > 3 and value != "gzip" and value in text]
    assert request.headers["accept-encoding"] == "identity"
    assert ("range" in request.headers) == ("/blobs/" in path)
    assert request.path == path.replace("/reaper_ops/upstream?x=y", "/v2/")


HOSTILE = {
    "Set-Cookie": "a=b",
    "X-Accel-Redirect": "/reaper_ops/status",
    "X-Accel-Limit-Rate": "1",
    "X-Accel-Expires": "0",
    "X-Accel-Buffering": "no",
    "Cache-Control": "no-store",
    "Vary": "*",
    "Alt-Svc": 'h3="evil:443"',
    "Strict-Transport-Security": "max-age=1",
    "Refresh": "0; url=http://evil",
    "Link": "<http://evil>",
}


@pytest.mark.parametrize("path", [MANIFEST, BLOB])
def test_upstream_cannot_steer_mirror_or_client(short, resolver, path):
    def answer(request):
        return liars.part(GOOD, request, **HOSTILE)

    with contextlib.ExitStack() as stack:
        registry = stack.enter_context(liars.serving(answer))
        mirror = stack.enter_context(site.running(site.settings(short / "m", f"http://{registry.at}", resolver)))
        registry.asked.clear()
        answers = [site.get(f"http://{mirror}{path}") for _ in range(2)]
    assert [(status, body) for status, _, body in answers] == [(200, GOOD)] * 2
    assert len(registry.asked) == 1
    for _, headers, _ in answers:
        assert not {"set-cookie", "alt-svc", "strict-transport-security", "refresh", "link", "x-accel-redirect"} & {
            *headers
        }
