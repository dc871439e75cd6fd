"""What the server says of a variable, and the kernel of a file system that it gave up."""

from __future__ import annotations

from reaper_ops.core.doctor.signatures.model import Signature as S

TABLE = (
    S(
        "env-invalid",
        "environment",
        r'invalid environment variable, using default" key=(?P<key>\S{1,256}) '
        r'value=(?P<value>"[^"]{0,4000}"|\S{0,4000})'
        r"(?: default=(?P<default>\S{1,256}))?",
        ("env-value-invalid",),
        'level=WARN msg="invalid environment variable, using default" key=OLLAMA_NUM_PARALLEL value=four default=1',
    ),
    S(
        "file-system-error",
        "kernel",
        r"EXT4-fs error|Remounting filesystem read-only|XFS (?:(?!XFS ).){0,200}(?i:shutting down filesystem)"
        r"|Buffer I/O error|I/O error, dev|"
        r"BTRFS: error.{0,200}forced readonly",
        ("filesystem-readonly-or-inodes",),
        "EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ollama: reading directory lblock 0",
    ),
    S(
        "access-denied",
        "audit",
        r"(?:avc: {1,4}denied|apparmor=\"DENIED\")(?:(?!avc: |apparmor=).){0,1000}?"
        r"comm=\"(?P<comm>ollama|llama-server)[^\"]{0,64}\"",
        ("unit-sandbox-blocks",),
        'type=AVC msg=audit(1700000000.123:456): avc:  denied  { write } for  pid=812 comm="ollama" name="blobs" '
        'dev="sdb1" scontext=system_u:system_r:ollama_t:s0 tcontext=unconfined_u:object_r:user_home_t:s0 tclass=dir',
    ),
)
