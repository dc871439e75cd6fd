"""Texts about models that run in Ollama's cloud."""

from __future__ import annotations

from reaper_ops.core.doctor.signatures.model import Signature as S

TABLE = (
    S(
        "cloud-error",
        "api",
        r"ollama cloud is disabled|\(ref: [0-9a-f]{8}-[0-9a-f-]{1,128}\)|^account unavailable$",
        ("cloud-model-error",),
        "Server overloaded, please retry shortly (ref: aaa65c70-cfa0-446b-86f1-4ab0e2deb9e4)",
    ),
    S(
        "cloud-off",
        "log",
        r'msg="Ollama cloud disabled: (?P<off>true|false)"',
        (),
        'level=INFO source=routes.go:1953 msg="Ollama cloud disabled: true"',
    ),
)
