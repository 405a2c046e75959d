"""How kernels are compiled, and how they read and write half-precision tensors."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
import torch
from numba import types
from numba.extending import overload
from torch import Tensor

Array = npt.NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])

# LLVM may reorder and fuse sums, to vectorise them; NaN and infinity keep their meaning.
_REORDERED = {"reassoc", "contract", "nsz", "arcp"}
_AS_WRITTEN = {"contract"}


def kernel(function: Function) -> Function:
    """Compile a function on its first call; the next process finds it in Numba's cache."""
    return _compiled(function, _REORDERED)


def exact_kernel(function: Function) -> Function:
    """``kernel`` for arithmetic whose order is its accuracy."""
    return _compiled(function, _AS_WRITTEN)


def _compiled(function: Function, fastmath: set[str]) -> Function:
    compiled: Any = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=fastmath)(
        function
    )
    return cast(Function, compiled)


def array_of(tensor: Tensor) -> Array:
    """A contiguous CPU tensor's memory; half-precision numbers as their bits (see ``decode``)."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy()
    if tensor.dtype == torch.float16:
        return tensor.view(torch.int16).numpy()
    return tensor.numpy()


def decode(value: Any) -> Any:
    """A stored number as a float: Numba has no half types on the CPU, so their bits are passed.

    uint16: the bits of a bfloat16; int16: those of a float16. Both to float32; floats stay.
    """
    raise NotImplementedError("compiled code only")


def encode(value: Any, like: Any) -> Any:
    """A float as a number of the type of ``like``: a float, or the bits of a bfloat16 (uint16).

    It is rounded to the nearest, ties to even, as PyTorch does.
    """
    raise NotImplementedError("compiled code only")


@overload(decode, strict=False)  # type: ignore[untyped-decorator, unused-ignore]
def _decode(value: Any) -> Callable[[Any], Any]:
    if value == types.uint16:
        return lambda value: np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)
    if value == types.int16:
        return _decode_float16
    return lambda value: value


def _decode_float16(value: Any) -> Any:
    magnitude = np.uint32(np.uint32(value) & np.uint32(0x7FFF)) << np.uint32(13)
    # Multiplying by 2^112 moves the exponent's bias, and makes float16 subnormals normal.
    scaled = np.uint32(magnitude).view(np.float32) * np.float32(2.0**112)
    bits = np.float32(scaled).view(np.uint32)
    if magnitude >= np.uint32(0x0F800000):  # infinity or NaN
        bits = np.uint32(bits | np.uint32(0x7F800000))
    sign = np.uint32(np.uint32(value) & np.uint32(0x8000)) << np.uint32(16)
    return np.uint32(bits | np.uint32(sign)).view(np.float32)


@overload(encode, strict=False)  # type: ignore[untyped-decorator, unused-ignore]
def _encode(value: Any, like: Any) -> Callable[[Any, Any], Any]:
    if like == types.uint16:
        return _encode_bfloat16
    return lambda value, like: value


def _encode_bfloat16(value: Any, like: Any) -> Any:
    bits = np.float32(value).view(np.uint32)
    upper = np.uint32(bits >> np.uint32(16))
    rounded = np.uint32(bits + np.uint32(0x7FFF) + np.uint32(upper & np.uint32(1)))
    if value != value:  # NaN: rounding could carry into the exponent
        return np.uint16(upper | np.uint32(0x40))
    return np.uint16(rounded >> np.uint32(16))
