"""Codes of CUDA's driver and runtime, which share their numbers where both have one.

Source: CUresult in cuda.h and cudaError_t in driver_types.h; texts as cudaGetErrorString prints them.
"""

from __future__ import annotations

from collections.abc import Mapping

from reaper_ops.core.doctor.tables.meaning import Meaning as M

UVM, DRIVER, FAULT = "nvidia-uvm-stale", "nvidia-driver-too-old", "runner-crash-other"
CODES: Mapping[int, M] = {
    1: M("", "invalid argument"),
    2: M("vram-oom-load", "out of memory"),
    3: M(UVM, "initialization error"),
    4: M(FAULT, "driver shutting down"),
    34: M("gpu-library-missing", "CUDA driver is a stub library"),
    35: M(DRIVER, "CUDA driver version is insufficient for CUDA runtime version", True),
    36: M(DRIVER, "API call is not supported in the installed CUDA driver", True),
    46: M("cuda-initialization-failed", "CUDA-capable device(s) is/are busy or unavailable"),
    100: M("cuda-initialization-failed", "no CUDA-capable device is detected"),
    101: M("visible-devices-misset", "invalid device ordinal"),
    102: M("vgpu-unlicensed", "device doesn't have valid Grid license", True),
    103: M("cuda-initialization-failed", "integrity checks failed"),
    127: M("cuda-initialization-failed", "startup failure in cuda runtime"),
    200: M("gpu-library-missing", "device kernel image is invalid"),
    201: M(FAULT, "invalid device context"),
    209: M("compute-capability-unsupported", "no kernel image is available for execution on the device", True),
    214: M("gpu-xid-fault", "uncorrectable ECC error encountered", True),
    218: M("gpu-library-missing", "a PTX JIT compilation failed"),
    220: M("gpu-xid-fault", "uncorrectable NVLink error detected during the execution", True),
    221: M("gpu-library-missing", "PTX JIT compiler library not found"),
    222: M(DRIVER, "the provided PTX was compiled with an unsupported toolchain", True),
    302: M("shared-library-missing", "shared object symbol not found"),
    303: M("shared-library-missing", "shared object initialization failed"),
    304: M("cuda-initialization-failed", "OS call failed or operation not supported on this OS"),
    400: M(FAULT, "invalid resource handle"),
    500: M("gpu-library-missing", "named symbol not found"),
    600: M("", "device not ready"),
    700: M(FAULT, "an illegal memory access was encountered"),
    701: M(FAULT, "too many resources requested for launch"),
    702: M(FAULT, "the launch timed out and was terminated"),
    704: M(FAULT, "peer access is already enabled"),
    710: M(FAULT, "device-side assert triggered"),
    714: M("gpu-xid-fault", "hardware stack error"),
    715: M(FAULT, "an illegal instruction was encountered"),
    716: M(FAULT, "misaligned address"),
    717: M(FAULT, "operation not supported on global/shared address space"),
    718: M(FAULT, "invalid program counter"),
    719: M(FAULT, "unspecified launch failure"),
    720: M(FAULT, "too many blocks in cooperative launch"),
    800: M("nvml-unknown-container", "operation not permitted"),
    801: M("cuda-initialization-failed", "operation not supported"),
    802: M("nvidia-fabric-manager", "system not yet initialized"),
    803: M("nvidia-version-mismatch", "system has unsupported display driver / cuda driver combination", True),
    804: M(DRIVER, "forward compatibility was attempted on non supported HW"),
    805: M("cuda-initialization-failed", "MPS client failed to connect to the MPS control daemon or the MPS server"),
    806: M("cuda-initialization-failed", "MPS server failed to respond to an RPC request"),
    807: M("cuda-initialization-failed", "MPS server is not ready to accept new MPS client requests"),
    808: M("cuda-initialization-failed", "the hardware resources required to create MPS client have been exhausted"),
    809: M("cuda-initialization-failed", "the hardware resources required to device connections have been exhausted"),
    999: M(UVM, "unknown error"),
}
NAMES: Mapping[str, int] = {
    "CUDA_ERROR_OUT_OF_MEMORY": 2,
    "CUDA_ERROR_NOT_INITIALIZED": 3,
    "CUDA_ERROR_STUB_LIBRARY": 34,
    "CUDA_ERROR_DEVICE_UNAVAILABLE": 46,
    "CUDA_ERROR_NO_DEVICE": 100,
    "CUDA_ERROR_INVALID_DEVICE": 101,
    "CUDA_ERROR_DEVICE_NOT_LICENSED": 102,
    "CUDA_ERROR_NO_BINARY_FOR_GPU": 209,
    "CUDA_ERROR_ECC_UNCORRECTABLE": 214,
    "CUDA_ERROR_INVALID_PTX": 218,
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION": 222,
    "CUDA_ERROR_OPERATING_SYSTEM": 304,
    "CUDA_ERROR_ILLEGAL_ADDRESS": 700,
    "CUDA_ERROR_LAUNCH_TIMEOUT": 702,
    "CUDA_ERROR_LAUNCH_FAILED": 719,
    "CUDA_ERROR_NOT_PERMITTED": 800,
    "CUDA_ERROR_NOT_SUPPORTED": 801,
    "CUDA_ERROR_SYSTEM_NOT_READY": 802,
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": 803,
    "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE": 804,
    "CUDA_ERROR_MPS_CONNECTION_FAILED": 805,
    "CUDA_ERROR_UNKNOWN": 999,
    "cudaErrorMemoryAllocation": 2,
    "cudaErrorInitializationError": 3,
    "cudaErrorInsufficientDriver": 35,
    "cudaErrorDevicesUnavailable": 46,
    "cudaErrorNoDevice": 100,
    "cudaErrorInvalidDevice": 101,
    "cudaErrorDeviceNotLicensed": 102,
    "cudaErrorNoKernelImageForDevice": 209,
    "cudaErrorECCUncorrectable": 214,
    "cudaErrorUnsupportedPtxVersion": 222,
    "cudaErrorOperatingSystem": 304,
    "cudaErrorIllegalAddress": 700,
    "cudaErrorLaunchTimeout": 702,
    "cudaErrorLaunchFailure": 719,
    "cudaErrorNotPermitted": 800,
    "cudaErrorNotSupported": 801,
    "cudaErrorSystemNotReady": 802,
    "cudaErrorSystemDriverMismatch": 803,
    "cudaErrorCompatNotSupportedOnDevice": 804,
    "cudaErrorUnknown": 999,
}
"""The names that appear in logs; the others appear as numbers or texts."""


def by_text(text: str) -> int | None:
    """The code whose text begins so; the longest where several do."""
    said = text.strip().lower()
    found = [(len(known.text), code) for code, known in CODES.items() if said.startswith(known.text.lower()[:40])]
    if said.startswith("all cuda-capable devices are busy"):
        return 46
    return max(found)[1] if found else None
