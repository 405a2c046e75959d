"""Weights as files hold them: read without unpickling anything, and hashed."""

import hashlib
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from .state_dicts import affects_features


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or of a ``torch.save``d state dict (never unpickled)."""
    if not path.is_file():
        raise InputError(
            f"--weights {path}: no such file; expected 'imagenet', 'random' or a weights file."
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds for other files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, UnpicklingError):  # torch's message advises to unpickle it anyway
            reason = "it is damaged, or holds more than tensors"
        raise InputError(
            f"--weights {path}: is not a readable weights file ({reason}); expected a "
            "safetensors file or a torch.save'd state dict."
        ) from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise InputError(f"--weights {path}: holds no state dict (names and tensors).")
    return {str(name).removeprefix("module."): tensor for name, tensor in state.items()}


def hash_state(state: dict[str, Tensor]) -> str:
    """sha256 over the tensors that affect the features, sorted by name.

    Each is hashed as its name, ``\\0``, its shape as decimal numbers joined by ``x``, ``\\0``, and
    its values as little-endian float32, so the hash depends neither on the file format nor on the
    classifier. A network that ends earlier is hashed as far as it goes.
    """
    digest = hashlib.sha256()
    for name in sorted(filter(affects_features, state)):
        tensor = state[name].detach().cpu().float().contiguous()
        digest.update(f"{name}\0{'x'.join(map(str, tensor.shape))}\0".encode())
        digest.update(tensor.numpy().astype("<f4").tobytes())
    return digest.hexdigest()
