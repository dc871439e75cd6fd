"""What a client of the mirror sees: bytes as they are, the header that Ollama needs, and nothing it should not get."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from mirror import site

SIZE = 3 * site.SLICE + 12345


@pytest.fixture
def library(upstream):
    """URL of the upstream, with one model."""
    site.publish(upstream.root, "library/big:1", SIZE)
    return f"http://localhost:{upstream.server_address[1]}"


def weights(upstream):
    path = next(p for p in (upstream.root / "blobs").iterdir() if p.stat().st_size == SIZE)
    return path.name.replace("-", ":"), path.read_bytes()


def blob_url(mirror, digest):
    return f"http://{mirror}/v2/library/big/blobs/{digest}"


def test_manifest_comes_byte_for_byte_and_is_asked_once(short, resolver, upstream, library):
    with site.running(site.settings(short / "m", library, resolver)) as mirror:
        answers = [site.get(f"http://{mirror}/v2/library/big/manifests/1") for _ in range(3)]
    wanted = (upstream.root / "manifests/library/big/1").read_bytes()
    assert {(status, body) for status, _, body in answers} == {(200, wanted)}
    assert upstream.requests["GET /v2/library/big/manifests/1"] == 1


def test_blob_has_a_location_of_the_mirror_and_ranges(short, resolver, upstream, library):
    digest, data = weights(upstream)
    with site.running(site.settings(short / "m", library, resolver)) as mirror:
        url = blob_url(mirror, digest)
        status, headers, body = site.get(url, "HEAD")
        assert (status, headers["content-length"], headers["location"]) == (
            200,
            str(SIZE),
            f"/v2/library/big/blobs/{digest}",
        )
        first, last = site.SLICE - 10, 2 * site.SLICE + 10
        status, headers, body = site.get(url, Range=f"bytes={first}-{last}")
        assert (status, body) == (206, data[first : last + 1])
        assert headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
        assert site.get(url)[2] == data
    assert upstream.sent[digest] == SIZE


def test_same_blob_under_another_name_costs_nothing(short, resolver, upstream, library):
    digest, data = weights(upstream)
    with site.running(site.settings(short / "m", library, resolver)) as mirror:
        site.get(blob_url(mirror, digest))
        assert site.get(f"http://{mirror}/v2/other/name/blobs/{digest}")[2] == data
    assert upstream.sent[digest] == SIZE


def test_cache_outlives_the_mirror_and_serves_without_upstream(short, resolver, upstream, library):
    digest, data = weights(upstream)
    wanted = site.settings(short / "m", library, resolver)
    with site.running(wanted) as mirror:
        site.get(blob_url(mirror, digest))
    upstream.kill()
    with site.running(wanted) as mirror:
        assert site.get(blob_url(mirror, digest))[2] == data


def test_upstream_errors_come_through(short, resolver, library):
    with site.running(site.settings(short / "m", library, resolver)) as mirror:
        for namespace, status in (("err404", 404), ("err412", 412), ("err429", 429), ("err500", 500), ("err401", 401)):
            assert site.get(f"http://{mirror}/v2/{namespace}/big/manifests/1")[0] == status
        assert site.get(f"http://{mirror}/v2/library/big/blobs/sha256:{'0' * 64}")[0] == 404


@pytest.mark.parametrize("path", ["/", "/etc/passwd", "/v2/library/big/tags/list", "/v2/library/big/blobs/uploads/"])
def test_nothing_else_is_served(short, resolver, upstream, library, path):
    with site.running(site.settings(short / "m", library, resolver)) as mirror:
        before = sum(upstream.requests.values())
        assert site.get(f"http://{mirror}{path}")[0] == 404
        assert sum(upstream.requests.values()) == before


def push(mirror, name, blobs, manifest):
    """As an OCI client does: each blob whole, then the manifest; the last status."""
    for data in blobs:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        status, headers, _ = site.get(f"http://{mirror}/v2/{name}/blobs/uploads/", "POST")
        if status != 202:
            return status
        place = headers["location"]
        assert place.startswith(f"http://{mirror}/"), "`ollama push` cannot read a relative address"
        url = f"{place}{'&' if '?' in place else '?'}digest={digest}"
        assert site.put(url, data, "application/octet-stream") == 201
    return site.put(f"http://{mirror}/v2/{name}/manifests/1", manifest, site.MANIFEST_TYPE)


def own_model(upstream):
    manifest = (upstream.root / "manifests/library/big/1").read_bytes()
    rows = json.loads(manifest)
    digests = [row["digest"] for row in (rows["config"], *rows["layers"])]
    return [(upstream.root / "blobs" / digest.replace(":", "-")).read_bytes() for digest in digests], manifest


def test_own_model_is_kept_byte_for_byte(short, resolver, upstream, library):
    blobs, manifest = own_model(upstream)
    with site.running(site.settings(short / "m", library, resolver)) as mirror:
        assert push(mirror, "own/mine", blobs, manifest) == 201
        assert site.get(f"http://{mirror}/v2/own/mine/manifests/1", Accept=site.MANIFEST_TYPE)[2] == manifest
        digest, data = weights(upstream)
        status, headers, body = site.get(f"http://{mirror}/v2/own/mine/blobs/{digest}", Range="bytes=5-99")
        assert (status, body) == (206, data[5:100])
        assert headers["location"] == f"/v2/own/mine/blobs/{digest}"
    assert upstream.bytes_sent == 0


def test_push_is_for_own_namespaces_and_allowed_networks(short, resolver, upstream, library):
    blobs, manifest = own_model(upstream)
    with site.running(site.settings(short / "m", library, resolver, mirror_push_allow=["192.0.2.0/24"])) as mirror:
        assert push(mirror, "own/mine", blobs, manifest) == 403
        assert site.put(f"http://{mirror}/v2/library/big/manifests/1", manifest, site.MANIFEST_TYPE) == 403


def test_networks_that_may_not_pull_are_refused(short, resolver, library):
    with site.running(site.settings(short / "m", library, resolver, mirror_allow=["127.0.0.1"])) as mirror:
        assert site.get(f"http://{mirror}/v2/library/big/manifests/1")[0] == 200
        assert site.get(f"http://{mirror}/v2/library/big/manifests/1", source="127.0.0.2")[0] == 403


def test_mirror_without_internet_takes_every_name(short, resolver, upstream, library):
    blobs, manifest = own_model(upstream)
    with site.running(site.settings(short / "m", "none", resolver)) as mirror:
        assert push(mirror, "library/big", blobs, manifest) == 201
        assert site.get(f"http://{mirror}/v2/library/big/manifests/1", Accept=site.MANIFEST_TYPE)[2] == manifest


@pytest.fixture
def tls(short, upstream):
    """The upstream behind TLS: its certificate's authority, and the port."""
    port, folder = site.free_port(), short / "tls"
    folder.mkdir()
    ca, key, front = folder / "ca.pem", folder / "key.pem", folder / "nginx.conf"
    subject = ["-subj", "/CN=simulated", "-addext", "subjectAltName=DNS:registry.test,DNS:cdn.test"]
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        key,
        "-out",
        ca,
        *subject,
    ]
    subprocess.run(argv, check=True, capture_output=True)
    front.write_text(site.tls_front(folder, port, int(upstream.server_address[1])))
    process = subprocess.Popen(
        ["nginx", "-e", "stderr", "-c", front], env={"PATH": site.PATH}, stderr=subprocess.DEVNULL
    )
    site.wait_port(port)
    yield ca, port
    process.terminate()
    process.wait(timeout=10)


def test_upstream_is_verified(short, resolver, upstream, library, tls):
    ca, port = tls
    digest, data = weights(upstream)
    for place, authority, name, status in (
        ("good", str(ca), "registry.test", 200),
        ("unknown", "/etc/ssl/certs/ca-certificates.crt", "registry.test", 502),
        ("name", str(ca), "other.test", 502),
    ):
        wanted = site.settings(short / place, f"https://{name}:{port}", resolver, mirror_ca_file=authority)
        with site.running(wanted) as mirror:
            assert site.get(f"http://{mirror}/v2/library/big/manifests/1")[0] == status
            if status == 200:
                assert site.get(blob_url(mirror, digest))[2] == data


def test_no_way_down_to_plain_http(short, resolver, upstream, library, tls):
    ca, port = tls
    wanted = site.settings(short / "m", f"https://registry.test:{port}", resolver, mirror_ca_file=str(ca))
    with site.running(wanted) as mirror:
        assert site.get(f"http://{mirror}/v2/r302/big/blobs/{weights(upstream)[0]}")[0] == 502
    assert upstream.bytes_sent == 0


def test_the_cap_holds_for_all_connections_together(short, resolver, upstream, library, record_property):
    """Sixteen clients ask for different pieces at once. That it takes at least so long is true on any machine."""
    pieces, rate = 16, 4 * site.SLICE
    site.publish(upstream.root, "library/long:1", pieces * site.SLICE)
    path = next(p for p in (upstream.root / "blobs").iterdir() if p.stat().st_size == pieces * site.SLICE)
    wanted = site.settings(short / "m", library, resolver, mirror_rate=rate)
    with site.running(wanted) as mirror, ThreadPoolExecutor(pieces) as pool:
        url, began = blob_url(mirror, path.name.replace("-", ":")), time.monotonic()

        def piece(number):
            return site.get(url, Range=f"bytes={number * site.SLICE}-{(number + 1) * site.SLICE - 1}")[2]

        assert b"".join(pool.map(piece, range(pieces))) == path.read_bytes()
        took = time.monotonic() - began
        record_property("rate", pieces * site.SLICE / took)
        print(f"cap: {rate} bytes/s, measured {pieces * site.SLICE / took:.0f}")
        assert took >= 0.9 * pieces * site.SLICE / rate
        assert b"".join(pool.map(piece, range(pieces))) == path.read_bytes()
    assert upstream.bytes_sent == pieces * site.SLICE


def test_many_at_once_wait_for_one(short, resolver, upstream, library):
    digest, data = weights(upstream)
    with site.running(site.settings(short / "m", library, resolver)) as mirror, ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: site.get(blob_url(mirror, digest))[2] == data, range(20)))
    assert found == [True] * 20
    assert upstream.sent[digest] == SIZE
