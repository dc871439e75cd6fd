#!/usr/bin/python
"""Fetches a package repository's OpenPGP key and writes it only if its fingerprint is the expected one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: repository_key
short_description: Fetch a repository's signing key, checked by its fingerprint
description:
  - Computes the version 4 fingerprint itself (RFC 4880, section 12.2), so no gpg is needed on the host.
  - Refuses a file with any other primary key in it.
options:
  url: {description: URL of the key., type: str, required: true}
  path: {description: File for the ASCII-armored key., type: path, required: true}
  fingerprint: {description: The expected 40 hex digits., type: str, required: true}
author: [reaper_ops]
"""
EXAMPLES = r"""
- name: Docker's key
  reaper_ops.ollama.repository_key:
    url: https://download.docker.com/linux/debian/gpg
    path: /etc/apt/keyrings/reaper_ops-docker.asc
    fingerprint: 9DC858229FC7DD38854AE2D88D81803C0EBFCD88
"""
RETURN = r"""
fingerprints: {description: Primary keys found., type: list, returned: always}
"""

import base64  # noqa: E402 - Ansible wants the documentation first
import hashlib  # noqa: E402
import os  # noqa: E402
import tempfile  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.urls import fetch_url  # noqa: E402

PUBLIC_KEY = 6


def dearmor(data):
    """Binary packets of an armored or binary key; the CRC line and headers are dropped."""
    if b"-----BEGIN PGP" not in data:
        return data
    out = b""
    for block in data.split(b"-----BEGIN PGP PUBLIC KEY BLOCK-----")[1:]:
        body = block.split(b"-----END PGP")[0].replace(b"\r", b"")
        text = body.split(b"\n\n", 1)[-1]
        lines = [line for line in text.split(b"\n") if line and not line.startswith(b"=")]
        out += base64.b64decode(b"".join(lines))
    return out


def packets(data):
    """(tag, body) of each OpenPGP packet: old and new format headers."""
    at = 0
    while at + 1 < len(data):
        first = data[at]
        if not first & 0x80:
            raise ValueError("not an OpenPGP key")
        if first & 0x40:
            tag, size, start = first & 0x3F, *new_length(data, at + 1)
        else:
            tag = (first >> 2) & 0x0F
            width = {0: 1, 1: 2, 2: 4}.get(first & 3)
            if width is None:
                raise ValueError("a packet of indefinite length")
            size, start = int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width
        yield tag, data[start : start + size]
        at = start + size


def new_length(data, at):
    first = data[at]
    if first < 192:
        return first, at + 1
    if first < 224:
        return ((first - 192) << 8) + data[at + 1] + 192, at + 2
    if first == 255:
        return int.from_bytes(data[at + 1 : at + 5], "big"), at + 5
    raise ValueError("a packet of partial length")


def fingerprints(data):
    found = []
    for tag, body in packets(dearmor(data)):
        if tag == PUBLIC_KEY and body[:1] == b"\x04":
            framed = b"\x99" + len(body).to_bytes(2, "big") + body
            found.append(hashlib.sha1(framed).hexdigest().upper())
    return found


def current(path):
    try:
        with open(path, "rb") as stream:
            return fingerprints(stream.read())
    except (OSError, ValueError, IndexError):
        return []


def download(module, url):
    response, info = fetch_url(module, url, timeout=30)
    if response is None or info["status"] != 200:
        module.fail_json(msg="%s: %s; check the host's internet access or its proxy" % (url, info["msg"]))
    return response.read()


def write(path, data):
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=os.path.dirname(path))
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
    os.chmod(name, 0o644)
    os.rename(name, path)


def main():
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "fingerprint": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    path, wanted = module.params["path"], module.params["fingerprint"].replace(" ", "").upper()
    there = current(path)
    if there == [wanted]:
        module.exit_json(changed=False, fingerprints=there)
    if module.check_mode:
        module.exit_json(changed=True, fingerprints=there)
    data = download(module, module.params["url"])
    try:
        found = fingerprints(data)
    except (ValueError, IndexError) as error:
        module.fail_json(msg="%s: not an OpenPGP key: %s" % (module.params["url"], error))
    if found != [wanted]:
        module.fail_json(
            msg="%s: the key's fingerprint is %s, expected %s; nothing was installed. Someone may be intercepting, "
            "or the key has changed: compare it with the vendor's page"
            % (module.params["url"], ", ".join(found) or "unknown", wanted)
        )
    write(path, data)
    module.exit_json(changed=True, fingerprints=found)


if __name__ == "__main__":
    main()
