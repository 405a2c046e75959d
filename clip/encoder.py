"""A CLIP network of open_clip, with weights from a file that is never unpickled."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..featurize.encoders.weight_files import read_weights
from .scores import Float32

MODEL = "ViT-B-32-quickgelu"  # of the paper: OpenAI's ViT-B/32


class ClipEncoder:
    """Images and texts to embeddings; raises ``InputError`` without open_clip or its weights."""

    def __init__(self, model: str, weights: Path, device: torch.device) -> None:
        open_clip = import_open_clip()
        if model not in open_clip.list_models():
            some = ", ".join(open_clip.list_models()[:3])
            raise InputError(f"--model {model}: open_clip has none of that name; it has {some}, …")
        state = read_weights(weights)
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)  # it warns that there are no weights yet
        try:
            self.network, _, self.prepare = open_clip.create_model_and_transforms(model)
        finally:
            logging.disable(level)
        try:
            self.network.load_state_dict(state)
        except RuntimeError as error:
            first = str(error).splitlines()[1:2]
            raise InputError(
                f"--weights {weights}: do not fit {model} ({' '.join(first).strip()}); give the "
                "weights of that network, or name theirs by --model."
            ) from error
        self.network.eval().to(device)
        self.tokenizer = open_clip.get_tokenizer(model)
        self.device, self.name = device, f"{model}+{weights.name}"

    def images(self, pictures: Sequence[Any]) -> Float32:
        """The embeddings of PIL images, [N, E]."""
        pixels = torch.stack([self.prepare(picture) for picture in pictures]).to(self.device)
        return self._embed(self.network.encode_image, pixels)

    def texts(self, texts: Sequence[str]) -> Float32:
        """The embeddings of texts, [N, E]; what is beyond CLIP's 77 tokens is not read."""
        return self._embed(self.network.encode_text, self.tokenizer(list(texts)).to(self.device))

    def _embed(self, encode: Any, batch: torch.Tensor) -> Float32:
        with torch.inference_mode():
            return np.asarray(encode(batch).float().cpu().numpy(), np.float32)


def import_open_clip() -> Any:
    """The library open_clip; raises ``InputError`` where it is not installed."""
    try:
        import open_clip
    except ImportError as error:
        raise InputError(
            f"CLIPScore needs the library open_clip, which is not here ({error}); `pip install "
            "open_clip_torch` where there is a network, and give its weights by --weights FILE."
        ) from error
    return open_clip
