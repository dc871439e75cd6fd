"""The fingerprint is computed here and by gpg alike; a foreign key is never installed."""

import base64
import hashlib
import http.server
import json
import subprocess
import sys
import threading

import pytest

from reaper_ops import assets

MODULE = assets.collection("plugins/modules/repository_key.py")
BODY = b"\x04" + b"\x5f\x00\x00\x00" + b"\x01" + b"\x00\x11" + b"\x01\x02\x03" + b"\x00\x11" + b"\x01\x00\x01"
PACKET = b"\x99" + len(BODY).to_bytes(2, "big") + BODY
FINGERPRINT = hashlib.sha1(PACKET).hexdigest().upper()
ARMOURED = (
    b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n"
    + base64.encodebytes(PACKET)
    + b"=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n"
)


@pytest.fixture
def server():
    files = {"/key": ARMOURED, "/binary": PACKET, "/html": b"<html>captive portal</html>"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = files.get(self.path)
            self.send_response(200 if body else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


def call(check=False, **arguments):
    text = json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check}})
    done = subprocess.run([sys.executable, MODULE], input=text, capture_output=True, text=True, check=False)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["key", "binary"])
def test_the_right_key_is_written_once(server, tmp_path, name):
    target = tmp_path / "keyrings" / "a.asc"
    arguments = {"url": f"{server}/{name}", "path": str(target), "fingerprint": FINGERPRINT}
    assert call(check=True, **arguments)["changed"]
    assert not target.exists()
    assert call(**arguments)["changed"]
    assert oct(target.stat().st_mode)[-3:] == "644"
    assert not call(**arguments)["changed"]


@pytest.mark.parametrize(
    ("name", "message"), [("key", "expected 00000"), ("html", "not an OpenPGP key"), ("none", "Not Found")]
)
def test_anything_else_is_refused_and_nothing_written(server, tmp_path, name, message):
    target = tmp_path / "a.asc"
    answer = call(url=f"{server}/{name}", path=str(target), fingerprint="0" * 40)
    assert answer["failed"]
    assert message in answer["msg"]
    assert not target.exists()
