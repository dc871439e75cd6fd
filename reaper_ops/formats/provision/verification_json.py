"""The outcome of `verify` for machines."""

from __future__ import annotations

import json
from dataclasses import asdict

from reaper_ops.core.provision.verification import SCHEMA, Verification, VerifyCheck


def render(found: Verification) -> str:
    hosts = [{"host": host, "checks": [_row(check) for check in found.of(host)]} for host in found.hosts]
    document = {"schema": SCHEMA, "status": found.status, "exit_code": found.exit_code, "hosts": hosts}
    return json.dumps(document, indent=1)


def _row(check: VerifyCheck) -> dict[str, str]:
    return {name: value for name, value in asdict(check).items() if name != "host"}
