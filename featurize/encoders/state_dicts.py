"""State dicts as files hold them, to the names and shapes of torchvision's ResNets."""

from torch import Tensor, nn

from ...errors import InputError

STAGES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
LEARNED = ("conv1", "layer1", "layer2", "layer3", "layer4")  # a file ends after one of these
_STEM = (64, 3, 7, 7)  # the shape of a ResNet's first convolution, whatever its depth


def load_state(
    resnet: nn.Module, state: dict[str, Tensor], weights: str, layer: str = "layer4"
) -> None:
    """Copy weights into the ResNet, and take out of it the stages that the file does not reach.

    The file needs all up to ``layer``; the classifier ``fc`` may be missing or of any size. Names
    may stand behind a prefix (``backbone.``, ``encoder.``, …), or be the positions of an
    ``nn.Sequential``; batch norms may be folded into their convolutions, which have a bias then.

    Raises ``InputError`` that names what is missing or does not fit; ``weights`` is the file.
    """
    state = {name: t for name, t in plain_names(state, weights).items() if affects_features(name)}
    state = unfold_batch_norms(resnet, state)
    for stage in missing_stages(state, weights, layer):
        setattr(resnet, stage, nn.Identity())
    own = {name: t for name, t in resnet.state_dict().items() if affects_features(name)}
    check_fit(own, state, weights)
    resnet.load_state_dict(state, strict=False)


def check_fit(own: dict[str, Tensor], state: dict[str, Tensor], weights: str) -> None:
    """Raise ``InputError`` that names what differs unless a file has a network's own tensors."""
    wrong = [
        f"{len(names)} {what} ({', '.join(sorted(names)[:3])}{', …' if len(names) > 3 else ''})"
        for what, names in (
            ("missing", own.keys() - state.keys()),
            ("unknown", state.keys() - own.keys()),
            (
                "of a different shape",
                {n for n in own.keys() & state if own[n].shape != state[n].shape},
            ),
        )
        if names
    ]
    if wrong:
        raise InputError(
            f"--weights {weights}: does not fit the backbone: {'; '.join(wrong)}; "
            "choose the --backbone that it was made for."
        )


def affects_features(name: str) -> bool:
    """Whether a tensor of a ResNet's state dict affects the features."""
    return not name.startswith("fc.") and not name.endswith("num_batches_tracked")


def plain_names(state: dict[str, Tensor], weights: str) -> dict[str, Tensor]:
    """The state dict under torchvision's names, found by the first convolution.

    What stands outside of a prefix belongs to other modules, and is left out. Raises ``InputError``
    for a file of several networks.
    """
    stems = [name for name, tensor in state.items() if tensor.shape == _STEM]
    prefixes = [
        name.removesuffix(end)
        for name in stems
        for end in ("conv1.weight", "0.weight")
        if name == end or name.endswith(f".{end}")
    ]
    if len(prefixes) > 1:
        raise InputError(
            f"--weights {weights}: holds {len(prefixes)} networks, under {' and '.join(prefixes)}; "
            "save one of them alone."
        )
    if not prefixes:
        return state
    inner = {n.removeprefix(prefixes[0]): t for n, t in state.items() if n.startswith(prefixes[0])}
    if "conv1.weight" in inner:
        return inner
    return {named(name): tensor for name, tensor in inner.items()}


def named(name: str) -> str:
    """A tensor's name in an ``nn.Sequential`` of a ResNet's children, under the child's name."""
    position, _, rest = name.partition(".")
    if not position.isdecimal() or int(position) >= len(STAGES):
        return name
    return f"{STAGES[int(position)]}.{rest}"


def unfold_batch_norms(resnet: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict with an identity batch norm, but for its offset, behind every folded one.

    torchvision registers each batch norm right behind its convolution.
    """
    state = dict(state)
    convolution = ""
    for name, module in resnet.named_modules():
        if isinstance(module, nn.Conv2d):
            convolution = name
        elif isinstance(module, nn.BatchNorm2d) and f"{name}.weight" not in state:
            bias = state.pop(f"{convolution}.bias", None)
            if bias is not None:
                one = bias.new_ones(bias.shape).float()
                # 1 together with the epsilon that the batch norm adds.
                variance = one - module.eps
                values = one, bias, 0 * one, variance
                names = "weight", "bias", "running_mean", "running_var"
                state |= {f"{name}.{key}": value for key, value in zip(names, values, strict=True)}
    return state


def missing_stages(state: dict[str, Tensor], weights: str, layer: str) -> list[str]:
    """The stages behind ``layer`` that the file lacks; ``InputError`` for one before or at it."""
    held = {name.partition(".")[0] for name in state}
    missing = [stage for stage in LEARNED if stage not in held]
    needed = [stage for stage in missing if LEARNED.index(stage) <= LEARNED.index(layer)]
    if len(missing) == len(LEARNED):
        raise InputError(
            f"--weights {weights}: holds none of a ResNet's layers; expected conv1, layer1 to "
            f"{layer}, as torchvision names them, but its first name is {min(state, default='')!r}."
        )
    if needed:
        last = [stage for stage in LEARNED if stage in held][-1]
        ends = LEARNED.index(last) < LEARNED.index(needed[0])
        where = f"the file ends after {last}" if ends else f"the file goes on to {last} without it"
        raise InputError(
            f"--weights {weights}: {needed[0]} is missing: {where}, and features of {layer} need "
            f"all up to it; choose an earlier --layer, or a file of the whole network."
        )
    return missing
