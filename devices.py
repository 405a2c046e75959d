"""Which device runs the networks, and in which precision."""

import torch

from .errors import InputError


def pick_device(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` to a device; raises ``InputError`` if there is none."""
    if name.partition(":")[0] not in ("auto", "cpu", "cuda"):
        raise InputError(f"Device {name!r}: there is no such device; choose auto, cpu or cuda.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f"Device {name!r}: this PyTorch sees no CUDA device; use --device cpu, or install a "
            "PyTorch build and driver that do."
        )
    return torch.device(name)


def describe_device(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"


def amp_dtype(device: torch.device, mode: str = "auto") -> torch.dtype | None:
    """The half precision that pays on a device, or None for float32.

    bfloat16 where the hardware multiplies it; float16, which then needs a gradient scaler, on
    older CUDA devices.
    """
    if mode == "off":
        return None
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16
    return torch.bfloat16 if multiplies_bfloat16() else None


def multiplies_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16: emulated, it is slower than float32."""
    # torch has no public name for these; a release without them computes in float32.
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, test, bool)() for test in tests)
