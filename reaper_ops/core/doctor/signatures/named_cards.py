"""Lines that name their cause, whoever wrote them: GPU drivers, HIP, Vulkan, CUDA's memory, container tool kits."""

from __future__ import annotations

from reaper_ops.core.doctor.signatures.model import Signature as S

TABLE = (
    S(
        "bus-lost",
        "any",
        r"fallen off the bus|GPU (?:is|has been) lost|GPU_IS_LOST|(?:Timeout after \d{1,6}s of waiting for|GSP) RPC"
        r"|Xid (?:error|\([^)]{4,40}\)):? {0,2}(?P<xid>\d{1,3})\b|GPU recovery action changed",
        ("gpu-xid-fault",),
        "NVRM: fallen off the bus and is not responding to commands.",
        summary="NVIDIA's driver lost the card: it has fallen off the bus, or its firmware does not answer",
        sure=True,
    ),
    S(
        "no-devices",
        "any",
        r"^No devices were found$|NVRM: The NVIDIA probe routine failed",
        ("gpu-xid-fault",),
        "No devices were found",
        summary="NVIDIA's driver is loaded, and cannot initialize any card",
    ),
    S(
        "driver-of-another",
        "any",
        r"NVIDIA probe routine was not called for|obtained ownership of\s{1,4}(?:NVRM: )?the NVIDIA device",
        ("nouveau-loaded",),
        "NVRM: The NVIDIA probe routine was not called for 1 device(s).",
        summary="another driver (nouveau, vfio-pci) owns the NVIDIA card",
    ),
    S(
        "module-absent",
        "any",
        r"modprobe: (?:FATAL|ERROR): .{0,60}\bnvidia|NVRM: No NVIDIA (?:GPU|graphics adapter) found"
        r"|could not insert 'nvidia\w{0,20}'|nvidia\w{0,20}: .{0,60}(?:Key was rejected|disagrees about version"
        r"|Unknown symbol)"
        r"|nvml error: driver not loaded|Kernel driver not loaded",
        ("nvidia-driver-missing",),
        "modprobe: FATAL: Module nvidia not found in directory /lib/modules/6.8.0-45-generic",
        summary="NVIDIA's kernel module is not loaded: it is not built for this kernel, or not signed for Secure Boot",
        sure=True,
    ),
    S(
        "toolkit-no-library",
        "any",
        r"nvidia-container-cli: .{0,80}load library failed: libnvidia-ml\.so",
        ("nvidia-driver-missing",),
        "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object "
        "file: no such file or directory",
        summary="the host of the container has no NVIDIA driver that its tool kit finds (libnvidia-ml.so.1)",
        sure=True,
    ),
    S(
        "toolkit-driver-old",
        "any",
        r"unsatisfied condition: (?:cuda|driver|brand)\s?[<>=]{1,2}\s?(?P<need>[\w.]{1,20})",
        ("nvidia-driver-too-old",),
        "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.6, please update your driver",
        summary="NVIDIA's driver is older than the image asks for ({need})",
        sure=True,
    ),
    S(
        "runtime-unknown",
        "any",
        r"[Uu]nknown (?:or invalid )?runtime (?:name|specified):? ?\"?nvidia|nvidia-container-runtime\S{0,40}: "
        r"(?:executable file not found|no such file)|exec: \\?\"nvidia-container-runtime|no such runtime.{0,20}nvidia"
        r"|nvidia-container-cli: (?:command )?not found",
        ("container-toolkit-missing",),
        "Error response from daemon: unknown or invalid runtime name: nvidia",
        summary="the container engine does not know NVIDIA's runtime: its Container Toolkit is missing or not set up",
        sure=True,
    ),
    S(
        "device-driver-unselected",
        "any",
        r"could not select device driver \"[\w-]{0,30}\" with capabilities",
        ("container-toolkit-missing",),
        'docker: Error response from daemon: could not select device driver "nvidia" with capabilities: [[gpu]].',
        summary="Docker cannot hand over a GPU: the NVIDIA Container Toolkit is missing, or Docker does not know it",
    ),
    S(
        "kfd-absent",
        "any",
        r"(?:device|stat|lstat|open) \"?/dev/kfd\"?: no such file|custom device \"/dev/kfd\": (?:lstat|stat|no such)"
        r"|/dev/kfd[\"']?: No such file|ROCk module is NOT loaded",
        ("amd-driver-too-old",),
        'error gathering device information while adding custom device "/dev/kfd": no such file or directory',
        summary="the host has no /dev/kfd: its kernel's amdgpu driver does not serve this card to ROCm",
        sure=True,
    ),
    S(
        "kfd-denied",
        "any",
        r"/dev/kfd[^\n]{0,40}[Pp]ermission denied|/dev/dri/renderD\d{1,4}[^\n]{0,40}[Pp]ermission denied"
        r"|user (?:is )?not (?:a member of|in) [\"']?(?:render|video)|HSA_STATUS_ERROR_OUT_OF_RESOURCES",
        ("amd-kfd-permission",),
        "Unable to open /dev/kfd read-write: Permission denied",
        summary="the server's user may not open the AMD card's device (/dev/kfd, /dev/dri/renderD*)",
        sure=True,
    ),
    S(
        "tensile-host",
        "any",
        r"[Cc]ould not initialize Tensile host|rocblas_(?:status_internal_error|abort)|TensileLibrary_lazy_gfx\w{2,8}"
        r"[^\n]{0,60}(?:not|No|cannot)",
        ("amd-gfx-unsupported",),
        "Could not initialize Tensile host: No devices found",
        summary=(
            "rocBLAS finds no AMD card that it supports: its gfx type has no kernels, or /dev/kfd is "
            "closed to the server"
        ),
    ),
    S(
        "hip-fault",
        "any",
        r"(?:ROCm|HIP) error: (?:unspecified launch|an illegal memory|unknown error|shared object init"
        r"|the operation cannot)"
        r"|hipError(?:LaunchFailure|IllegalAddress|Unknown|SharedObjectInitFailed|NotInitialized)"
        r"|Memory critical error by agent|amdgpu[ :].{0,120}(?:\*ERROR\*|MES (?:might|ring)|failed with error -\d{1,3}"
        r"|failed to load firmware|hardware queue)|drm:amdgpu_job_timedout",
        ("amd-driver-too-old",),
        "ROCm error: unspecified launch failure",
        summary="the AMD card faults under ROCm: kernel driver, firmware and ROCm do not fit each other or the card",
    ),
    S(
        "hip-memory",
        "any",
        r"hipErrorOutOfMemory|HIP out of memory|VK_ERROR_OUT_OF_(?:DEVICE|HOST|POOL)_MEMORY|ErrorOutOf(?:Host"
        r"|Pool)Memory",
        ("rocm-vulkan-oom",),
        "hipErrorOutOfMemory",
        summary="a model does not fit into the memory of the card",
    ),
    S(
        "vulkan-none",
        "any",
        r"ggml_vulkan: (?:No devices found|Error)|context is lost\b|Found no drivers|vk(?:Create|Enumerate)\w{3,40}"
        r"(?: failed|: failed)[^\n]{0,80}|vk::\w{1,30}(?:::\w{1,30})?: Error(?!OutOf)\w{4,40}"
        r"|VK_ERROR_(?:EXTENSION|FEATURE|LAYER)_NOT_PRESENT|VK_ERROR_UNKNOWN"
        r"|terminate called [^\n]{0,40}vk::\w{4,40}Error",
        ("vulkan-driver-fault",),
        "radv/amdgpu: The CS has been cancelled because the context is lost. This context is guilty of a hard "
        "recovery.",
        summary="the Vulkan driver fails, finds no card, or lost the device",
    ),
    S(
        "cuda-memory",
        "any",
        r"failed to allocate compute (?:pp )?buffers|CUBLAS_STATUS_(?:ALLOC_FAILED|NOT_INITIALIZED)"
        r"|graph_reserve: failed to allocate|NvMapMem\w{4,40}: (?:\d{1,12} )?error \d{1,3}|cudaErrorMemoryAllocation",
        ("vram-oom-load",),
        "graph_reserve: failed to allocate compute buffers",
        summary="the model's working buffers do not fit into the GPU's memory beside its weights",
    ),
    S(
        "shell-illegal-instruction",
        "any",
        r"(?:^|\s|: )Illegal instruction\b|SIGILL\b|trap invalid opcode",
        ("cpu-illegal-instruction",),
        "Illegal instruction (core dumped)",
        summary="the program uses an instruction that this processor lacks",
        sure=True,
    ),
    S(
        "host-memory",
        "any",
        r"std::bad_alloc|fatal error: (?:runtime: )?(?:out of memory|cannot allocate)"
        r"|mmap failed: Cannot allocate memory"
        r"|fork: Cannot allocate memory",
        ("overcommit-or-ulimit",),
        "terminate called after throwing an instance of 'std::bad_alloc'",
        summary="the system refuses the process more memory: it has none left, or a limit forbids it",
    ),
    S(
        "card-too-old",
        "any",
        r"CUDA GPU is too old\.(?: Falling back to CPU mode\.)? Compute Capability detected: (?P<cc>\d{1,2}\.\d)",
        ("compute-capability-unsupported",),
        "gpu.go:138: CUDA GPU is too old. Falling back to CPU mode. Compute Capability detected: 5.2",
        summary="this release of Ollama is not built for a card of compute capability {cc}",
        sure=True,
    ),
    S(
        "cpu-libraries-only",
        "any",
        r"Dynamic LLM libraries (?:runners=)?\"?\[cpu(?:_avx2?)?(?: cpu(?:_avx2?)?){0,4}\]"
        r"|compatible gpu libraries\" compatible=\[\]",
        ("gpu-library-missing",),
        'msg="Dynamic LLM libraries [cpu cpu_avx cpu_avx2]"',
        summary="this build of Ollama has libraries for the CPU only, none for a GPU",
    ),
)
