"""Which device runs the networks, and in which precision."""

import re

import torch

from .errors import InputError


def pick_device(name: str, local_rank: int = 0, shared: bool = True) -> torch.device:
    """The device of a name: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Each process of a machine (``local_rank``) gets a GPU of its own; where there are fewer GPUs,
    processes take turns on them if they may (``shared``). Raises ``InputError`` for a missing
    device.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,4})?", name):
        raise InputError(f"Device {name!r}: there is no such device; choose auto, cpu or cuda.")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not n_gpus):
        return torch.device("cpu")
    if not n_gpus:
        raise InputError(
            f"Device {name!r}: this PyTorch sees no CUDA device; use --device cpu, or install a "
            "PyTorch build and driver that do."
        )
    index = int(name.partition(":")[2] or 0) + local_rank
    if index >= n_gpus and not (shared and local_rank):
        raise InputError(
            f"Device {name!r}: this machine has {n_gpus} CUDA devices, of which process "
            f"{local_rank + 1} asks for number {index}; start one process a device "
            "(--nproc-per-node), or add --device cpu."
        )
    return torch.device("cuda", index % n_gpus)


def use_exact_float32() -> None:
    """Let CUDA multiply float32 as such: cuDNN's default is TF32, which has 10 bits of mantissa."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


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
