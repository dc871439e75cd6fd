"""Lines that name their cause, whoever wrote them: GPU and drivers, the programs of a release, limits, engines."""

from __future__ import annotations

from reaper_ops.core.doctor.signatures.model import Signature as S

TABLE = (
    S(
        "discovery-gave-up",
        "any",
        r"discovery watchdog timed out|failed to finish discovery before timeout"
        r"|failure during (?:llama-server )?GPU discovery.{0,600}?context deadline exceeded"
        r"|bootstrap discovery took\" duration=(?:[3-9]\d|\d{3}|[1-9]m\d{0,2})[.s\d]",
        ("gpu-discovery-slow",),
        'msg="failure during llama-server GPU discovery" extra_envs=map[] error="context deadline exceeded" detail=""',
        summary="the search for GPUs met its time limit (30 s watchdog), so the server uses the CPU",
        sure=True,
    ),
    S(
        "open-module-old-card",
        "any",
        r"not supported by (?:the )?open\b|NVIDIA open GPU kernel module.{0,100}(?:not support|unsupported)"
        r"|nvidia\.ko because it does not include the required GPU|requires? use of the NVIDIA proprietary",
        ("nvidia-open-module",),
        "NVRM: installed in this system is not supported by open",
        summary="the open NVIDIA kernel modules (open nvidia.ko) do not support this card, which has no GSP",
        sure=True,
    ),
    S(
        "adapter-failed",
        "any",
        r"NVRM:.{0,80}(?:RmInitAdapter|rm_init_adapter) failed",
        ("gpu-xid-fault",),
        "NVRM: GPU 0000:03:00.0: RmInitAdapter failed! (0x24:0x72:1603)",
        summary="NVIDIA's driver cannot initialize the card",
    ),
    S(
        "fabric-manager",
        "any",
        r"(?i:fabric ?manager).{0,120}(?i:fail|error|not running|mismatch|inactive|abort)"
        r"|Fabric State\s{0,40}: In Progress|(?i:nvswitch).{0,80}(?i:version mismatch|failed|error)",
        ("nvidia-fabric-manager",),
        "nv-fabricmanager[812]: fabric manager NVIDIA GPU driver interface version mismatch",
        summary="nvidia-fabricmanager, which NVSwitch machines need, is not working",
        sure=True,
    ),
    S(
        "vgpu-license",
        "any",
        r"(?i:vgpu|grid).{0,80}(?i:unlicensed|license (?:is |was )?(?:not|expired|request failed|state)|no"
        r" valid license)"
        r"|(?i:license status\s{0,40}: unlicensed)|(?i:unlicensed.{0,40}(?:vgpu|grid))",
        ("vgpu-unlicensed",),
        "nvidia-gridd: vGPU Software package (0): unlicensed (Unrestricted)",
        summary="the NVIDIA vGPU of this virtual machine has no license, so its compute is restricted",
        sure=True,
    ),
    S(
        "amd-fault",
        "any",
        r"amdgpu[ :].{0,120}(?:page fault|PROTECTION_FAULT|ring \S{1,40} timeout|GPU reset|MES failed|failed to"
        r" respond)"
        r"|Memory access fault by GPU|HSA_STATUS_ERROR_[A-Z_]{4,60}|HW Exception by GPU",
        ("amd-driver-too-old",),
        "amdgpu 0000:c2:00.0: amdgpu: [gfxhub] page fault (src_id:0 ring:153 vmid:8 pasid:32795)",
        summary="the GPU faults under ROCm (amdgpu page fault, reset or time-out): kernel driver and ROCm do not fit",
    ),
    S(
        "rocm-no-kernels",
        "any",
        r"rocBLAS error: Cannot read |TensileLibrary\S{0,60}: (?:not found|No such file)"
        r"|hipErrorNoBinaryForGpu|hipErrorInvalidDeviceFunction|(?:ROCm|HIP) error: invalid device function"
        r"|no kernel image is available for execution on the device.{0,200}(?:hip|rocm)",
        ("amd-gfx-unsupported",),
        "rocBLAS error: Cannot read /opt/rocm/lib/rocblas/library/TensileLibrary.dat: No such file or directory for GPU"
        " arch : gfx1103",
        summary="Ollama's ROCm libraries hold no kernels for this AMD card",
        sure=True,
    ),
    S(
        "rocm-no-device",
        "any",
        r"no ROCm-capable device is detected|hipErrorNoDevice|ROCk module is NOT loaded",
        ("amd-driver-too-old",),
        "ggml_cuda_init: failed to initialize ROCm: no ROCm-capable device is detected",
        summary="ROCm finds no AMD card: the amdgpu kernel driver is missing, or too old for this ROCm",
    ),
    S(
        "vulkan-driver",
        "any",
        r"(?:vk::|VK_|ggml_vulkan: ?).{0,120}(?:ErrorIncompatibleDriver|ERROR_INCOMPATIBLE_DRIVER|ErrorDeviceLost"
        r"|ERROR_DEVICE_LOST|ErrorInitializationFailed|ERROR_INITIALIZATION_FAILED)",
        ("vulkan-driver-fault",),
        "vk::Queue::submit: VK_ERROR_DEVICE_LOST",
        summary="the Vulkan driver fails, or lost the device",
        sure=True,
    ),
    S(
        "vulkan-buffer-limit",
        "any",
        r"exceeds (?:device )?(?:buffer size|memory allocation|max ?[Bb]uffer\w{0,20}|maxMemoryAllocationSize)"
        r"[^\n]{0,60}limit|Requested buffer size exceeds",
        ("rocm-vulkan-oom",),
        "ggml_vulkan: Requested buffer size exceeds device buffer size limit: ErrorOutOfDeviceMemory",
        summary="one buffer is larger than the Vulkan driver's buffer limit, although the card has room",
        sure=True,
    ),
    S(
        "jetson-no-match",
        "any",
        r"(?i:(?:jetpack|tegra|L4T).{0,120}(?:unsupported|no matching|not supported|mismatch|unrecognized)"
        r"|(?:unsupported|unrecognized|no matching).{0,60}(?:jetpack|tegra|L4T))",
        ("jetson-libraries",),
        "unsupported JetPack version: R39",
        summary="this release has no libraries for this JetPack",
    ),
    S(
        "old-c-library",
        "any",
        r"version [`'\"]?(?P<symbol>(?:GLIBC|GLIBCXX|CXXABI|GCC|GOMP)_[\d.]{1,12})['\"]? not found(?: \(required by"
        r" (?P<by>[^)]{1,300})\))?",
        ("system-libraries-too-old",),
        "/usr/local/bin/ollama: /lib64/libm.so.6: version `GLIBC_2.27' not found (required by /usr/local/bin/ollama)",
        summary="the system's C library is too old for this build of Ollama: it lacks {symbol}",
        sure=True,
    ),
    S(
        "musl-loader",
        "any",
        r"Error relocating (?P<by>[^:]{1,300}): (?P<symbol>\S{1,120}): symbol not found"
        r"|(?:ld-linux-\S{1,40}|ld-musl\S{0,40}): .{0,120}(?:No such file|not found)",
        ("system-libraries-too-old",),
        "Error relocating /usr/bin/ollama: __strdup: symbol not found",
        summary="this system has another C library (musl) than Ollama was built for (glibc)",
    ),
    S(
        "library-absent",
        "any",
        r"(?:error while loading shared libraries: |Unable to load \w{1,20} library[^:\n]{0,200}: "
        r"(?:Unable to load dynamic server library: )?)"
        r"(?P<library>[\w./+-]{1,300}): (?P<why>cannot open shared object file[^\n\"]{0,80}"
        r"|failed to map segment[^\n\"]{0,80}|invalid ELF header|wrong ELF class[^\n\"]{0,40}|file too short)",
        ("shared-library-missing",),
        "/usr/local/lib/ollama/llama-server: error while loading shared libraries: libggml-base.so: cannot open shared "
        "object file: No such file or directory",
        summary="a program of the release does not start, because the library {library} cannot be loaded ({why})",
        sure=True,
    ),
    S(
        "program-refused",
        "any",
        r"(?:fork/exec|exec:?) \"?(?P<program>/[^\s:\"]{1,300})\"?: "
        r"(?P<why>permission denied|no such file or directory|exec format error|text file busy|operation not permitted)"
        r"|(?P<shown>ollama|llama-server|runner): (?:Permission denied|cannot execute[^\n]{0,60})",
        ("program-not-executable",),
        'error="fork/exec /usr/local/lib/ollama/llama-server: permission denied"',
        summary="the server cannot execute a program of its release: {program}{shown} ({why})",
        sure=True,
    ),
    S(
        "descriptors-used-up",
        "any",
        r"too many open files|EMFILE|ENFILE|(?i:file table overflow|file-max limit \d{1,20} reached)",
        ("process-limits",),
        "accept tcp [::]:11434: accept4: too many open files; retrying in 1s",
        summary="the server has used up its file descriptors (too many open files)",
        sure=True,
    ),
    S(
        "threads-used-up",
        "any",
        r"pthread_create failed|failed to create new OS thread|newosproc|std::system_error.{0,60}Resource temporarily"
        r"|(?:fork/exec|clone|fork)\b[^\n]{0,300}: [Rr]esource temporarily unavailable|Cannot fork"
        r"|cgroup: fork rejected by pids controller",
        ("process-limits",),
        "runtime: failed to create new OS thread (have 9 already; errno=11)",
        summary="the server may start no more threads or processes",
        sure=True,
    ),
    S(
        "runner-died",
        "any",
        r"do load request: [^\n]{0,300}: (?:EOF|read: connection reset|dial tcp)"
        r"|level=ERROR [^\n]{0,120}llama runner terminat(?!ed\" error=\"signal: (?:killed|terminated))"
        r"|(?:llama runner|llama-server) process has terminated: (?!signal: (?:killed|terminated|illegal))"
        r"|GGML_ASSERT\([^\n]{0,200}|SIG(?:ABRT|SEGV|BUS): |signal arrived during cgo execution",
        ("runner-crash-other",),
        'level=INFO source=sched.go:470 msg="Load failed" error="do load request: Post '
        '\\"http://127.0.0.1:38187/load\\": EOF"',
        summary="the runner died while it loaded or ran a model",
    ),
)
