"""Lines that name their cause, whoever wrote them: Kubernetes, engines, systemd's other results, front-ends."""

from __future__ import annotations

from reaper_ops.core.doctor.signatures.model import Signature as S

TABLE = (
    S(
        "pod-unscheduled",
        "any",
        r"\d{1,5} (?P<what>Insufficient [\w./-]{2,60}|node\(s\) (?:didn't match|had untolerated)[^\n,]{0,80})"
        r"|pod has unbound immediate (?P<claim>PersistentVolumeClaims)",
        ("service-not-running",),
        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        summary="Kubernetes finds no node for the pod: {what}{claim}",
        sure=True,
    ),
    S(
        "pod-image",
        "any",
        r"\b(?:ImagePullBackOff|ErrImagePull|ErrImageNeverPull|InvalidImageName)\b",
        ("service-not-running",),
        "Warning  Failed  kubelet  Error: ImagePullBackOff",
        summary="Kubernetes cannot pull the image of the container",
        sure=True,
    ),
    S(
        "pod-volume",
        "any",
        r"\bFailed(?:Mount|AttachVolume)\b|MountVolume\.\w{3,20} failed|Multi-Attach error",
        ("models-mount-missing",),
        'Warning  FailedMount  kubelet  MountVolume.SetUp failed for volume "models"',
        summary="Kubernetes cannot mount a volume of the pod",
        sure=True,
    ),
    S(
        "pod-restarts",
        "any",
        r"\bCrashLoopBackOff\b|Back-off restarting failed container|(?:Liveness|Startup) probe failed"
        r"|PostStartHook failed"
        r"|FailedPostStartHook",
        ("service-crash-looping",),
        "Warning  BackOff  kubelet  Back-off restarting failed container ollama",
        summary="Kubernetes ends and restarts the container: it exits, or its probe or its start hook (a pull) fails",
    ),
    S(
        "engine-down",
        "any",
        r"Cannot connect to the Docker daemon|permission denied while trying to connect to the Docker daemon"
        r"|[Ii]s the docker daemon running",
        ("service-not-running",),
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
        summary="the Docker engine does not run, or this user may not reach it",
        sure=True,
    ),
    S(
        "unit-masked",
        "any",
        r"Unit ollama\.service is masked|ollama\.service: masked",
        ("service-not-running",),
        "Failed to start ollama.service: Unit ollama.service is masked.",
        summary="the unit is masked, so systemd never starts it",
        sure=True,
    ),
    S(
        "unit-dependency",
        "any",
        r"Dependency failed for (?:Ollama|ollama)|Job ollama\.service/start failed with result 'dependency'",
        ("models-mount-missing",),
        "systemd[1]: Dependency failed for Ollama Service.",
        summary="a unit that the server needs has failed, as a mount of its store",
    ),
    S(
        "hub-rate-limit",
        "any",
        r"toomanyrequests|pull rate limit",
        ("pull-rate-limited",),
        "toomanyrequests: You have reached your pull rate limit.",
        summary="the registry refuses more pulls for now (rate limit)",
        sure=True,
    ),
    S(
        "http-to-https",
        "any",
        r"[Cc]lient sent an HTTP request to an HTTPS server|plain HTTP request was sent to HTTPS port",
        ("scheme-mismatch",),
        "Client sent an HTTP request to an HTTPS server.",
        summary="the client speaks http to a port that speaks https",
        sure=True,
    ),
    S(
        "other-protocol",
        "any",
        r"Received HTTP/0\.9 when not allowed|malformed HTTP response|Expected HTTP/, RTSP/ or ICE/"
        r"|Parse Error: Expected HTTP",
        ("wrong-service-on-port",),
        "curl: (1) Received HTTP/0.9 when not allowed",
        summary="something other than Ollama answers on that port: it does not speak HTTP",
    ),
    S(
        "page-not-found",
        "any",
        r"\b404 page not found",
        ("base-url-has-path",),
        "Error: 404 page not found",
        summary="the client asks for a path that Ollama does not have: its base URL is wrong, or the server too old",
    ),
    S(
        "client-left",
        "any",
        r"timed out waiting for (?:llama runner"
        r"|llama-server) to start ?(?:- progress [\d.]{1,6} - ?)?: context canceled",
        ("client-timeout-too-short",),
        "timed out waiting for llama runner to start: context canceled",
        summary="the client gave up while the model was being loaded",
    ),
    S(
        "front-end-alone",
        "any",
        r"(?:[Cc]ould not|[Cc]ouldn't|[Cc]annot|[Ff]ailed to|[Uu]nable to) connect to (?:the )?(?:local )?Ollama"
        r"|Server Connection Error|Ollama: Network Problem|refused the connection|target machine actively refused"
        r"|WebUI could not connect",
        ("listening-loopback-only", "service-not-running"),
        "Couldn't connect to Ollama at http://127.0.0.1:11434",
        summary="a front-end does not reach Ollama: it does not run there or listens on 127.0.0.1 only; in a"
        " container, localhost is the container itself",
    ),
    S(
        "client-500",
        "any",
        r"500, message='Internal Server Error', url=|500 (?:Server|Internal Server) Error[^\n]{0,60}/(?:api"
        r"|v1)/\w{3,11}"
        r"|Server error '500 Internal Server Error' for url",
        ("runner-crash-other", "vram-oom-load"),
        "Ollama: 500, message='Internal Server Error', url=URL('http://localhost:11434/api/chat')",
        summary="the server answers 500: a model did not load, or its runner ended; the server's own log says why",
    ),
    S(
        "no-gpu-said",
        "any",
        r"gpu support may not be enabled|No NVIDIA(?:/AMD)? GPU detected|Unable to detect NVIDIA/AMD GPU"
        r"|Not compiled with GPU offload support",
        ("gpu-not-used",),
        "WARNING: No NVIDIA/AMD GPU detected. Ollama will run in CPU-only mode.",
        summary="Ollama finds no GPU that it can use, so models run on the CPU",
    ),
)
