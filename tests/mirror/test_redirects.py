"""Where a registry of the internet may send the mirror: an internet of its own in a network namespace, real nginx."""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import struct
import subprocess
import threading
from pathlib import Path

import pytest
from mirror import liars, site, wires
from mirror.liars import DIGEST, EVIL, GOOD

from reaper_ops.core.mirror import desired_state

REGISTRY, CDN, INNER, METADATA = "9.9.9.1", "9.9.9.2", "10.9.9.9", "169.254.169.254"
NAMES = {"registry.test": REGISTRY, "cdn.test": CDN, "inner.test": INNER, "metadata.test": METADATA, "lan.test": INNER}
SECURE, PLAIN = 4443, 4480


class Dns(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        end, at, labels = data.index(b"\0", 12) + 5, 12, []
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        address = NAMES.get(".".join(labels), INNER)
        answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(address)
        sock.sendto(data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + data[12:end] + answer, self.client_address)


@contextlib.contextmanager
def internet():
    """A namespace with these addresses; the thread is in it meanwhile."""
    space = f"rr{os.getpid()}"
    wires.run("ip", "netns", "add", space)
    try:
        wires.run("ip", "-n", space, "link", "set", "lo", "up")
        for address in (REGISTRY, CDN, INNER, METADATA):
            wires.run("ip", "-n", space, "addr", "add", f"{address}/32", "dev", "lo")
        with wires.within(space), socketserver.ThreadingUDPServer(("127.0.0.1", 5353), Dns) as dns:
            thread = threading.Thread(target=dns.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            yield space
            dns.shutdown()
            thread.join()
    finally:
        subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)


def certificate(short):
    both = short / "both.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=simulated", "-addext"]
    names = "subjectAltName=" + ",".join(f"DNS:{name}" for name in NAMES)
    subprocess.run(
        ["openssl", *words, names, "-keyout", both, "-out", short / "ca.pem"], check=True, capture_output=True
    )
    both.write_text(both.read_text() + (short / "ca.pem").read_text())
    return both


REACHED = {
    f"https://cdn.test:{SECURE}/x": GOOD,
    f"/moved/blobs/{DIGEST}": GOOD,
}
REFUSED = (
    f"http://cdn.test:{PLAIN}/x",
    f"https://{METADATA}:{SECURE}/x",
    f"http://{METADATA}:{PLAIN}/latest/meta-data/",
    f"https://{INNER}:{SECURE}/x",
    f"https://{CDN}:{SECURE}/x",
    f"https://127.0.0.1:{SECURE}/x",
    f"https://[::1]:{SECURE}/x",
    f"https://0x7f000001:{SECURE}/x",
    f"https://2130706433:{SECURE}/x",
    f"https://localhost:{SECURE}/x",
    f"https://metadata.google.internal:{SECURE}/x",
    f"https://nas.lan:{SECURE}/x",
    f"https://cdn.test@{INNER}:{SECURE}/x",
    f"https://cdn.test:{SECURE}",
    "file:///etc/passwd",
    f"https://inner.test:{SECURE}/x",
    f"https://metadata.test:{SECURE}/x",
)


@pytest.mark.parametrize(("tls", "by_another"), [(True, False), (False, False), (True, True)])
def test_a_registry_of_the_internet_sends_to_the_internet_only(short, tls, by_another):
    """Also where the first place that it sends to sends on."""
    if reason := wires.why_not():
        pytest.skip(reason)
    reached = {place: data for place, data in REACHED.items() if not (by_another and place.startswith("/"))}
    cert, places = certificate(short), [*reached, *REFUSED]

    def registry(request):
        if request.path.startswith("/moved/"):
            return liars.part(GOOD, request)
        number, kind = request.path.split("/")[3:5]
        place = f"https://cdn.test:{SECURE}/x" if kind == "manifests" else places[int(number)]
        if by_another and kind == "blobs":
            place = f"https://cdn.test:{SECURE}/hop/{number}"
        return 307, {"Location": place}, b""

    def cdn(request):
        if request.path.startswith("/hop/"):
            return 302, {"Location": places[int(request.path.split("/")[2])]}, b""
        return liars.part(GOOD, request)

    def inner(request):
        return liars.part(EVIL, request)

    with internet() as space, contextlib.ExitStack() as stack:
        start = stack.enter_context
        start(liars.serving(registry, REGISTRY, SECURE if tls else PLAIN, cert if tls else None))
        asked = start(liars.serving(cdn, CDN, SECURE, cert))
        plain = start(liars.serving(cdn, CDN, PLAIN))
        inners = [start(liars.serving(inner, at, PLAIN)) for at in (INNER, METADATA)]
        inners += [start(liars.serving(inner, at, SECURE, cert)) for at in (INNER, METADATA, "127.0.0.1")]
        wanted = site.settings(
            short / "m",
            f"https://registry.test:{SECURE}" if tls else f"http://registry.test:{PLAIN}",
            "127.0.0.1:5353",
            mirror_ca_file=str(short / "ca.pem"),
        )
        with running_in(space, wanted) as mirror:
            answers = {
                place: site.get(f"http://{mirror}/v2/x/{number}/blobs/{digest(number)}")
                for number, place in enumerate(places)
            }
            manifest = site.get(f"http://{mirror}/v2/x/0/manifests/latest")
        assert manifest[0] == 502
    assert {place: answers[place][2] for place in reached} == reached
    assert {place: answers[place][0] for place in REFUSED} == dict.fromkeys(REFUSED, 502)
    assert not [place for place in REFUSED if EVIL in answers[place][2]]
    assert plain.asked == []
    assert len([one for one in asked.asked if one.path == "/x"]) == 1
    assert len([one for one in asked.asked if one.path != "/x"]) == (len(places) if by_another else 0)
    lines = [request.line for one in inners for request in one.asked]
    assert lines == ["GET /x HTTP/1.1"] * 2, "only the names that lead inside are asked, and their answer is dropped"


def digest(number):
    return f"sha256:{number:064x}"


@contextlib.contextmanager
def running_in(space, wanted):
    mirror = desired_state.of(wanted)
    site.lay_out(mirror)
    process = site.spawn(mirror, ["ip", "netns", "exec", space])
    try:
        site.wait(mirror.context["local_url"] + "/reaper_ops/own", process, Path(mirror.paths["log"]) / "mirror.log")
        yield f"127.0.0.1:{wanted.mirror_port}"
    finally:
        process.terminate()
        process.wait(timeout=20)
