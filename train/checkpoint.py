"""Weights and training state as safetensors: nothing is ever unpickled."""

import json
import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..atomic import atomic_write
from ..errors import InputError


def write_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors and JSON metadata: under the name stands the old file or the new one, whole.

    Raises ``InputError`` if the disk does not take it.
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(about)
    # As bytes: safetensors' own files that a kill leaves behind have names that nobody cleans up.
    data = save(kept, metadata={"frostgrid": text, "crc32": checksum(kept, text)})
    try:
        with atomic_write(path, alone=True) as part:
            part.write_bytes(data)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); what stood there before is whole, so "
            "make room and go on from it."
        ) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote; raises ``InputError`` for anything else."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(metadata["frostgrid"])
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such checkpoint; train the run first.") from error
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    # Checkpoints of earlier versions have no checksum.
    if metadata.get("crc32", expected := checksum(tensors, metadata["frostgrid"])) != expected:
        raise damaged(path, "its checksum differs")
    if not isinstance(about, dict):
        raise damaged(path, "its metadata are no object")
    return tensors, about


def damaged(path: Path, reason: object) -> InputError:
    """The error for a file that is no checkpoint, or not what was written."""
    return InputError(
        f"{path}: not a checkpoint of frostgrid, or damaged ({reason}); put a copy of it back, or "
        "train the run again."
    )


def checksum(tensors: dict[str, Tensor], text: str) -> str:
    """The crc32, in hex, of all that a checkpoint says: names, shapes, types, bytes, metadata."""
    value = zlib.crc32(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        value = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}".encode(), value)
        value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, value)
    return f"{value:08x}"


def load_weights(head: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Put a checkpoint's weights into a head; raises ``InputError`` when they do not fit."""
    try:
        head.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise InputError(f"{path}: does not fit the head of its config.json: {reason}") from error


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's moments as named tensors: ``optimizer.<parameter>.<moment>``."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{name}": value
        for index, moments in state.items()
        for name, value in moments.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`flatten_optimizer` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, moment = name.split(".")
            state.setdefault(int(index), {})[moment] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The state of the random numbers that dropout draws from."""
    state = {"random.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["random.cuda"] = torch.cuda.get_rng_state(device)
    return state


def random_name(name: str, rank: int) -> str:
    """The name of a process's random state in a checkpoint: rank 0 has the plain one."""
    return f"{name}.{rank}" if rank else name


def restore_random_state(
    tensors: dict[str, Tensor], device: torch.device, rank: int = 0, seed: int = 0
) -> None:
    """Put back what :func:`random_state` took; a rank of which nothing was kept takes the seed."""
    if random_name("random.cpu", rank) not in tensors:
        torch.manual_seed(seed)
        return
    torch.set_rng_state(tensors[random_name("random.cpu", rank)])
    if device.type == "cuda" and random_name("random.cuda", rank) in tensors:
        torch.cuda.set_rng_state(tensors[random_name("random.cuda", rank)], device)
