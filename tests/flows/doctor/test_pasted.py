"""What people paste, and the cause that stands first: kinds of reports, in our words and the programs' lines."""

from __future__ import annotations

import pytest

from reaper_ops.core.doctor.diagnosis import Diagnosis
from reaper_ops.flows.doctor import doctor

UNIT = "[Service]\nExecStart=/usr/local/bin/ollama serve\nUser=ollama\n"
CASES = {
    "systemctl status whose only clue is the exit code": (
        "● ollama.service - Ollama\n     Active: activating (auto-restart) (Result: exit-code)\n"
        "    Process: 77 ExecStart=/usr/local/bin/ollama serve (code=exited, status=217/USER)\n",
        "systemd-exec-failed",
        "User=",
    ),
    "service of a Compose project that asks its own loopback": (
        "flows-1  | connect ECONNREFUSED ::1:11434\n",
        "container-to-host-loopback",
        "host.docker.internal",
    ),
    "log line straight below another command's output": (
        "$ ls -l /dev/kfd\ncrw-rw---- 1 root render 235, 0 Mar  2 10:00 /dev/kfd\n"
        "time=2026-03-02T10:00:00Z level=WARN source=amd_linux.go:61 msg=\"running as non-root user does not have "
        'permission" error="open /dev/kfd: permission denied"\n',
        "amd-kfd-permission",
        "render",
    ),
    "no route, in asyncio's words": (
        "[Errno 113] Connect call failed ('192.168.7.10', 11434)\n",
        "firewall-drop",
        "",
    ),
    "card that is too old, in the words of 0.1": (
        'level=INFO source=gpu.go:402 msg="[0] CUDA GPU is too old. Compute Capability detected: 3.5"\n',
        "compute-capability-unsupported",
        "",
    ),
    "LangChain's 404": (
        "OllamaEndpointNotFoundError: Ollama call failed with status code 404. Maybe your model is not found and you "
        "should pull the model with `ollama pull llama9`.\n",
        "model-not-found",
        "Pull it",
    ),
    "layers in the words of an earlier scheduler": (
        'level=INFO source=memory.go:356 msg="offload to cuda" layers.requested=-1 layers.model=81 layers.offload=21\n',
        "partial-cpu-offload",
        "smaller",
    ),
    "month in Chinese": (
        "3月 02 10:00:00 box ollama[7]: Error: mkdir /mnt/big/models: permission denied\n",
        "models-dir-permission",
        "setfacl -m u:ollama:x /mnt/big",
    ),
    "modes and unit, without an error": (
        "$ ls -ld /srv/ai /srv/ai/models\ndrwx------ 4 ann ann 4096 Mar 02 18:57 /srv/ai\n"
        f"drwxrwxrwx 4 ann ann 4096 Mar 02 18:57 /srv/ai/models\n\n{UNIT}Environment=OLLAMA_MODELS=/srv/ai/models\n",
        "models-dir-permission",
        "setfacl -m u:ollama:x /srv/ai",
    ),
    "unit file that hides homes": (
        f"```\n{UNIT}ProtectHome=yes\nEnvironment=OLLAMA_MODELS=models\n```\n```\nError: mkdir /home/ann: "
        f"permission denied\n```\n",
        "unit-sandbox-blocks",
        "ProtectHome=no",
    ),
    "home, nothing known of the unit": (
        "Mar 02 10:00:00 box ollama[7]: Error: mkdir /home/big: permission denied\n",
        "models-dir-permission",
        "ProtectHome",
    ),
    "engine's refusal below its command": (
        '$ docker run --gpus=all ollama/ollama\ndocker: Error response from daemon: could not select device driver ""'
        " with capabilities: [[gpu]].\n",
        "container-toolkit-missing",
        "nvidia-ctk",
    ),
    "nvidia-smi that fails in the container and works outside": (
        "$ docker exec ollama nvidia-smi\nFailed to initialize NVML: Unknown Error\n\n$ nvidia-smi -L\n"
        "GPU 0: NVIDIA A30 (UUID: GPU-5d2e7a10-1111-2222-3333-444455556666)\n",
        "nvml-unknown-container",
        "CDI",
    ),
    "error in somebody's sentence": (
        "it says vk::Queue::submit: ErrorDeviceLost and then nothing\n",
        "vulkan-driver-fault",
        "driver",
    ),
    "lost card in lines of its own": (
        "[ 18.3] NVRM: The NVIDIA GPU 0000:b3:00.0\n               NVRM: fallen off the bus and is not responding.\n",
        "gpu-xid-fault",
        "power cables",
    ),
    "start without a GPU": (
        'time=2026-03-02T10:00:00Z level=INFO source=routes.go:1 msg="Listening on [::]:11434 (version 0.32.14)"\n'
        'time=2026-03-02T10:00:01Z level=INFO source=types.go:2 msg="no compatible GPUs were discovered"\n',
        "gpu-not-used",
        "--gpus=all",
    ),
    "libraries for the CPU only": (
        'time=2026-03-02T10:00:00Z level=INFO source=payload.go:1 msg="Dynamic LLM libraries [cpu cpu_avx]"\n',
        "gpu-library-missing",
        "archive",
    ),
    "two tables, of which the first shows the slow model": (
        "$ ollama ps\nNAME      ID            SIZE   PROCESSOR        UNTIL\n"
        "big:70b   aaaaaaaaaaaa  41 GB  42%/58% CPU/GPU  4 minutes from now\n\n"
        "NAME      ID            SIZE   PROCESSOR        UNTIL\n"
        "small:1b  bbbbbbbbbbbb  2 GB   100% GPU         4 minutes from now\n",
        "partial-cpu-offload",
        "quantization",
    ),
    "daemon.json without a comma": (
        '$ cat /etc/docker/daemon.json\n{\n "runtimes": {}\n "exec-opts": []\n}\n',
        "docker-daemon-config-invalid",
        "daemon.json",
    ),
    "browser that is refused": (
        "GET http://gpu1:11434/api/tags net::ERR_ABORTED 403 (Forbidden)\n",
        "cors-origin-403",
        "OLLAMA_ORIGINS",
    ),
    "proxy's page inside a client's error": (
        "Traceback (most recent call last):\n  File \"x.py\", line 1\nollama._types.ResponseError: <html>504 "
        "Gateway Time-out</html>\n",
        "proxy-504-timeout",
        "stream",
    ),
    "host that is a scheme": (
        "Cannot connect to host http:80 ssl:default [Timeout while contacting DNS servers]\n",
        "base-url-has-path",
        "without http://",
    ),
    "own host by the proxy": (
        "httpx.HTTPStatusError: Server error '503 Service Unavailable' for url 'http://localhost:11434/api/chat'\n",
        "proxy-env-intercepts-localhost",
        "NO_PROXY",
    ),
    "client that answers by its limit": (
        "litellm.APIConnectionError: OllamaException - litellm.Timeout: Connection timed out after 600.0 seconds.\n",
        "client-timeout-too-short",
        "timeout",
    ),
    "commands without prompts": (
        "curl -fsSL https://ollama.com/install.sh | sh\n\nollama -v\nWarning: could not connect to a running "
        "Ollama instance\n",
        "service-not-running",
        "start",
    ),
    "first line of Compose's log": (
        "ollama  | 2026/03/02 10:00:00 routes.go:915: warning: gpu support may not be enabled, check that you have\n",
        "gpu-not-used",
        "--gpus=all",
    ),
    "error on the line of its command": (
        "$ ollama pull big Error: write /m/blobs/sha256-aa-partial: no space left on device\n",
        "pull-disk-full",
        "df -h",
    ),
    "address of another host": (
        "Mar 02 10:00:00 box ollama[7]: Error: listen tcp 192.0.2.9:11434: bind: cannot assign requested address\n",
        "bind-address-missing",
        "OLLAMA_HOST=0.0.0.0",
    ),
    "events of a pod": (
        "Events:\n  Type     Reason               Age  From     Message\n"
        "  Warning  FailedPostStartHook  90s  kubelet  PostStartHook failed\n",
        "service-crash-looping",
        "kubectl logs",
    ),
    "pod without a node": (
        "Warning  FailedScheduling  default-scheduler  0/3 nodes are available: 3 Insufficient nvidia.com/gpu.\n",
        "service-not-running",
        "kubectl describe",
    ),
    "runner's end and the request that failed by it": (
        'time=2026-03-02T10:00:00Z level=ERROR source=sched.go:1 msg="error loading llama server" error="llama runner '
        'process has terminated: signal: segmentation fault (core dumped)"\n'
        '[GIN] 2026/03/02 - 10:00:00 | 500 |  780.2ms |  127.0.0.1 | POST  "/api/embed"\n',
        "runner-crash-other",
        "num_gpu",
    ),
    "NVML's number": (
        'time=2026-03-02T10:00:00Z level=INFO source=gpu.go:3 msg="Unable to load CUDA management library '
        '/usr/lib/libnvidia-ml.so.545: nvml vram init failure: 18"\n',
        "nvidia-version-mismatch",
        "reboot",
    ),
    "AMD's device closed to the server": (
        'time=2026-03-02T10:00:00Z level=WARN source=amd_linux.go:4 msg="amdgpu devices detected but permission'
        ' problems block access" error="open /dev/kfd: permission denied"\n',
        "amd-kfd-permission",
        "usermod -aG render,video",
    ),
    "truncation in older words": (
        "INFO [update_slots] input truncated | n_ctx=2048 n_erase=1090 n_keep=4\n",
        "prompt-truncated",
        "num_ctx",
    ),
    "card that the build leaves out": (
        "2026/03/02 10:00:00 gpu.go:138: CUDA GPU is too old. Falling back to CPU mode. Compute Capability "
        "detected: 5.0\n"
        "2026/03/02 10:00:00 routes.go:953: no GPU detected\n",
        "compute-capability-unsupported",
        "CPU",
    ),
    "500 in a front-end": (
        "Ollama: 500, message='Internal Server Error', url=URL('http://box:11434/api/chat')\n",
        "runner-crash-other",
        "journalctl",
    ),
    "journal without its time": (
        'ollama[77]: time=2026-03-02T10:00:00Z level=INFO source=ggml.go:494 msg="offloaded 10/25 layers to GPU"\n',
        "partial-cpu-offload",
        "num_ctx",
    ),
    "row of a table without its heading": (
        "big:12b    5d4fa005e7bb    26 GB    24%/76% CPU/GPU    59 minutes from now\n",
        "partial-cpu-offload",
        "quantization",
    ),
    "runner that died after its load": (
        'time=2026-03-02T10:00:00Z level=INFO source=server.go:1 msg="llama runner started in 4.01 seconds"\n'
        "CUDA error: an illegal memory access was encountered\n"
        'time=2026-03-02T10:00:09Z level=ERROR source=s.go:2 msg="llama runner terminated" error="exit status 2"\n',
        "runner-crash-other",
        "num_gpu",
    ),
    "store that cannot be renamed in": (
        "Mar 02 10:00:00 box ollama[7]: Error: rename /m/blobs/sha256:aa /m/blobs/sha256-aa: read-only file system\n",
        "filesystem-readonly-or-inodes",
        "ReadWritePaths",
    ),
    "403 in an extension's words": ("ollama error 403:\n", "cors-origin-403", "OLLAMA_ORIGINS"),
    "command name before the loader's words": (
        "ollama : /usr/lib64/libstdc++.so.6: version GLIBCXX_3.4.25 not found\n",
        "system-libraries-too-old",
        "container",
    ),
}  # fmt: skip


def told(text: str) -> Diagnosis:
    (found,) = doctor.examine(doctor.from_text(text)).hosts
    return found


@pytest.mark.parametrize("case", CASES)
def test_the_cause_stands_first_and_its_steps_help(case: str) -> None:
    text, cause, step = CASES[case]
    found = told(text)
    assert [one.finding.id for one in found.causes][:1] == [cause]
    assert step in "\n".join(f"{one.text} {one.command}" for one in found.causes[0].steps)


INNOCENT = {
    "a URL in a program's text": "client = Client(host='http://localhost:11434')\n",
    "modes that are open to the user": (
        f"$ ls -ld /srv/ai\ndrwxr-xr-x 4 ann ann 4096 Mar 02 18:57 "
        f"/srv/ai\n\n{UNIT}Environment=OLLAMA_MODELS=/srv/ai/models\n"
    ),
    "modes that are closed, with another store": (
        f"$ ls -ld /root\ndrwx------ 4 root root 4096 Mar 02 18:57 "
        f"/root\n\n{UNIT}Environment=OLLAMA_MODELS=/srv/models\n"
    ),
    "an answered request": '[GIN] 2026/03/02 - 10:00:00 | 200 |  1.2ms |  127.0.0.1 | POST  "/api/chat"\n',
    "all layers in the words of an earlier scheduler": (
        'level=INFO source=memory.go:356 msg="offload to cuda" layers.requested=-1 layers.model=33 layers.offload=33\n'
    ),
    "valid daemon.json": '$ cat /etc/docker/daemon.json\n{"log-driver": "local"}\n',
    "start with a GPU": (
        'time=2026-03-02T10:00:00Z level=INFO source=routes.go:1 msg="Listening on [::]:11434 (version 0.32.14)"\n'
        'time=2026-03-02T10:00:01Z level=INFO source=types.go:2 msg="inference compute" id=GPU-5d2e library=CUDA '
        'compute=8.9 total="24.0 GiB" available="23.5 GiB"\n'
    ),
}


@pytest.mark.parametrize("case", INNOCENT)
def test_what_is_well_is_accused_of_nothing(case: str) -> None:
    assert [one.finding.id for one in told(INNOCENT[case]).causes if one.finding.id not in HYGIENE] == []


HYGIENE = {"unit-overwritten-by-upgrade", "vulnerable-version"}


def test_no_version_is_claimed_that_nobody_showed() -> None:
    (cause, *_) = told("Error: unknown model architecture: 'later9'\n").causes
    assert cause.finding.summary == "a model cannot be loaded: this version of Ollama does not support it"
