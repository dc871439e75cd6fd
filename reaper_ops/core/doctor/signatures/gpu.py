"""Why a GPU is not used, as Ollama and the drivers log it."""

from __future__ import annotations

from reaper_ops.core.doctor.signatures.model import Signature as S

TABLE = (
    S(
        "gpu-driver-too-old",
        "log",
        r'NVIDIA driver too old"(?:.{0,200}required_driver="(?P<need>[^"]{1,512})")?'
        r"|CUDA driver version is insufficient for CUDA runtime version",
        ("nvidia-driver-too-old",),
        'msg="NVIDIA driver too old" device="NVIDIA GeForce GTX 1070 Ti" driver=535 required_driver="570 or newer"',
    ),
    S(
        "gpu-arch-unsupported",
        "log",
        r"CUDA GPU is too old|compute capability not in compiled architectures",
        ("compute-capability-unsupported",),
        "gpu.go:138: CUDA GPU is too old. Falling back to CPU mode. Compute Capability detected: 5.2",
    ),
    S(
        "gpu-discovery-slow",
        "log",
        r"failed to finish discovery before timeout|GPU discovery watchdog timed out"
        r"|discovery: timed out waiting for server startup",
        ("gpu-discovery-slow", "amd-driver-too-old"),
        'msg="failure during GPU discovery" error="failed to finish discovery before timeout"',
    ),
    S(
        "nvml-unknown",
        "log",
        r"Failed to initialize NVML: Unknown Error",
        ("nvml-unknown-container",),
        "Failed to initialize NVML: Unknown Error",
    ),
    S(
        "nvidia-version-mismatch",
        "log kernel",
        r"(?i:Driver/library version mismatch)|NVRM: API mismatch",
        ("nvidia-version-mismatch",),
        "NVRM: API mismatch: the client has the version 535.171.04, but",
    ),
    S(
        "cuda-uvm",
        "log",
        r"(?:cudart init failure|cuInit failed|CUDA error|failed to get device context)[: ]{1,128}"
        r"(?P<code>3|46|100|802|999)\b",
        ("nvidia-uvm-stale",),
        'Unable to load cudart library error="cudart init failure: 999"',
    ),
    S(
        "amd-kfd-permission",
        "log",
        r"permission problems block access|open /dev/kfd: permission denied|Unable to open /dev/kfd read-write",
        ("amd-kfd-permission",),
        'msg="amdgpu devices detected but permission problems block access" error="open /dev/kfd: permission denied"',
    ),
    S(
        "amd-gfx-unsupported",
        "log",
        r"amdgpu is not supported|dropping ROCm device",
        ("amd-gfx-unsupported",),
        'level=WARN msg="dropping ROCm device" gfx=gfx803',
    ),
    S(
        "visible-devices",
        "log",
        r'user overrode visible devices" (?P<variable>\w{1,128})=(?P<value>\S{1,4000})',
        ("visible-devices-misset",),
        'level=WARN msg="user overrode visible devices" CUDA_VISIBLE_DEVICES=-1',
    ),
    S(
        "gpu-discovery-failed",
        "log",
        r"failure during (?:llama-server )?GPU discovery|no compatible GPUs were discovered",
        ("gpu-not-used",),
        'level=INFO msg="failure during llama-server GPU discovery" OLLAMA_LIBRARY_PATH=[/usr/local/bin]',
    ),
    S(
        "gpu-xid",
        "kernel",
        r"NVRM: Xid \((?P<pci>[^)]{1,64})\): (?P<xid>\d{1,20})",
        ("gpu-xid-fault",),
        "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
    ),
    S(
        "igpu-dropped",
        "log",
        r"dropping integrated GPU; to enable",
        ("igpu-dropped",),
        'msg="dropping integrated GPU; to enable, set OLLAMA_IGPU_ENABLE=1" id=0 library=ROCm compute=gfx1103',
    ),
    S(
        "gpu-blocked-by-os",
        "log",
        r"GPU access blocked by the operating system",
        ("wsl2-gpu", "no-cgroups-mismatch"),
        "Failed to initialize NVML: GPU access blocked by the operating system",
    ),
    S(
        "toolkit-missing",
        "log",
        r"could not select device driver \"(?:nvidia)?\" with capabilities|unresolvable CDI devices nvidia"
        r"|failed to discover GPU vendor from CDI",
        ("container-toolkit-missing", "docker-is-snap-or-desktop"),
        'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].',
    ),
    S(
        "rootless-cgroups",
        "log",
        r"bpf_prog_query\(BPF_CGROUP_DEVICE\) failed: operation not permitted",
        ("no-cgroups-mismatch",),
        "nvidia-container-cli: mount error: failed to add device rules: bpf_prog_query(BPF_CGROUP_DEVICE) failed: "
        "operation not permitted: unknown",
    ),
    S(
        "module-refused",
        "kernel",
        r"Loading of (?:unsigned module|module with unavailable key) is rejected",
        ("nvidia-driver-missing",),
        "kernel: Loading of module with unavailable key is rejected",
    ),
    S(
        "resumed",
        "kernel",
        r"PM: suspend exit",
        ("nvidia-uvm-stale",),
        "kernel: PM: suspend exit",
    ),
    S(
        "cpu-trap",
        "kernel",
        r"traps: (?P<comm>(?:ollama|llama)\S{0,256})\[(?P<pid>\d{1,20})\] trap invalid opcode",
        ("cpu-illegal-instruction",),
        "kernel: [ 1529.028302] traps: ollama-runner[2213] trap invalid opcode ip:472d79 sp:7ffdbe33f680 error:0 in "
        "ollama-runner[407000+da000]",
    ),
)
