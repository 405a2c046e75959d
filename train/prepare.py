"""From a run's config to a task that can be trained."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..console import say_bytes
from ..datasets.catalog import open_dataset
from ..errors import InputError
from ..models.base import CaptionHead
from ..models.finetuned import Encoder
from .data import captions as caption_data
from .data import vqa as vqa_data
from .data.digests import digest, features_digest
from .data.selection import LeftOut
from .features.split import SplitFeatures
from .finetuning import describe_encoder
from .head import build_head
from .inputs import Inputs, describe_division, open_inputs
from .memory import available_bytes
from .settings.config import Optimisation, RunConfig, read_settings
from .settings.recipes import RECIPES, SELF_CRITICAL, fit_to_size, updates_of_epoch
from .tasks.captions import GREEDY, SAMPLE_IMAGES, CaptionTask
from .tasks.self_critical import SelfCriticalTask
from .tasks.task import Precision, Task
from .tasks.vqa import VqaTask

MEMORY_SHARE = 0.7  # of what is free: features up to so much stay in the page cache


@dataclass(frozen=True)
class Prepared:
    """A task that can be trained; its config, completed; its vocabulary; what to say of it."""

    task: Task
    config: RunConfig
    vocabulary: dict[str, list[str]]
    facts: list[tuple[str, str]]


def prepare(
    config: RunConfig,
    precision: Precision,
    adaptive: Collection[str] = (),
    validates: bool = True,
) -> Prepared:
    """Load data, open features, build the head, whose weights are yet to be set.

    The ``adaptive`` settings follow the size of the training split; ``validates``: whether this
    process reads the validation split's features. Raises ``InputError`` for data
    or features that are missing, empty or do not fit.
    """
    inputs = open_inputs(config)
    config = replace(config, feature_identity=inputs.identity, views=inputs.views)
    make = prepare_vqa if config.task == "vqa" else prepare_caption
    prepared = make(config, precision, inputs, adaptive)
    task, facts = prepared.task, prepared.facts
    config = prepared.config
    if config.views == 2:
        facts.append(("views", mirror(task)))
    digests = config.digests | inputs.division.digests() | digest_features(task)
    config = replace(config, digests=digests)
    task.train.limit_samples(config.optimisation.texts_per_image)
    recipe = RECIPES[config.recipe][config.head] if config.scst is None else SELF_CRITICAL
    fitted = fit_to_size(config.optimisation, task.train.n_items, adaptive, recipe)
    config = replace(config, optimisation=fitted)
    facts.append(("updates", describe_updates(fitted, task)))
    if inputs.train is not None:
        if config.trust_ids:
            facts.append(("features", "taken by image id alone (--trust-ids)"))
        storage, streamed = store_features(task, config.step, validates)
        facts.append(("loading", storage))
        facts += [("unchecked", words) for words in missing_checks(inputs.train, inputs.val)]
        if config.order == "auto":
            config = replace(config, order="local" if streamed else "full")
    encoder = task.head.encoder
    if isinstance(encoder, Encoder):
        assert config.finetune is not None
        identity, lr = config.feature_identity, config.optimisation.encoder_lr
        facts.append(("encoder", describe_encoder(encoder, identity, config.finetune, lr)))
    n_parameters = sum(p.numel() for p in task.head.own_parameters())
    facts.append(("head", f"{config.head} ({config.recipe}), {n_parameters:,} parameters"))
    return replace(prepared, config=config)


def mirror(task: Task) -> str:
    """Let training show images mirrored too, unless their texts would be wrong; says how many."""
    task.train.mirror(but=task.sided_images)
    n, n_mirrored = task.train.n_images, task.train.n_mirrored
    kept = f"; {n - n_mirrored:,} keep their side, as their texts say left or right"
    return (
        f"mirrored images of {n_mirrored:,} of {n:,}, drawn every epoch"
        f"{kept if n_mirrored < n else ''}"
    )


def digest_features(task: Task) -> dict[str, str]:
    """The digests of both splits' features."""
    return {
        f"{name}_features": features_digest(split.features, split.all_rows)
        for name, split in (("train", task.train), ("val", task.val))
        if split.features is not None
    }


def missing_checks(*splits: SplitFeatures | None) -> list[str]:
    """What cannot be checked in the feature files, in words; nothing of files made today."""
    files = [file for split in splits if split is not None for file in split.files]
    return list(dict.fromkeys(file.missing_checks for file in files if file.missing_checks))


def store_features(task: Task, step: str = "auto", validates: bool = True) -> tuple[str, bool]:
    """Decide where the splits' features are read from: in words, and whether from the disk.

    See ``prepare`` for ``validates``; a captured ``step`` has them in the device's own memory.
    """
    device = task.precision.device
    splits = (task.train, task.val) if validates and task.validates else (task.train,)
    parts = [(p, p.features) for p in splits if p.features is not None]
    total = sum(features.bytes_of(len(part.all_rows)) for part, features in parts)
    size = f"{say_bytes(total)} of features"
    free = available_bytes()
    if device.type == "cuda":
        keeps = total <= torch.cuda.mem_get_info(device)[0] // 2
    else:
        keeps = step == "captured" and total <= free // 2
    if keeps:
        for part, features in parts:
            features.make_resident(part.all_rows, device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)  # moving them is no part of training
        return f"{size}, kept on {device}", False
    streamed = total > MEMORY_SHARE * free
    for _, features in parts:
        features.streamed = streamed
    if streamed:
        return f"{size}, more than {say_bytes(free)} of memory keep: read ahead from disk", True
    return f"{size}, from the page cache", False


def prepare_vqa(
    config: RunConfig, precision: Precision, inputs: Inputs, adaptive: Collection[str]
) -> Prepared:
    """The task of a VQA run."""
    dataset = open_dataset(config.data)
    options = read_settings(config.data_settings, vqa_data.VqaOptions, "data_settings")
    train, val, words, answers = vqa_data.load_train_val(dataset, options, inputs.division)
    check_filled(train.question_id, dataset.name, config.train_split, "question")
    if inputs.division.val is not None:
        check_filled(val.question_id, dataset.name, config.split, "question")
    check_scorable(train, dataset.annotations_path("train"))
    channels = inputs.train.channels if inputs.train is not None else 0
    config = fit_head(config, len(train.question_id), adaptive)
    head = build_head(config, words, answers, channels, precision)
    loss = config.optimisation.loss
    task = VqaTask(head, precision, answers, (train, inputs.train), (val, inputs.val), loss)
    both = [(train, "train")] + [(val, "val")] * task.validates
    best = [f"{vqa_data.coverage(data):.2f} % {name}" for data, name in both]
    sizes = describe_sizes(len(train.question_id), len(val.question_id), task, words)
    cut = describe_cut(train.n_cut, val.n_cut, options.max_question_length)
    facts = [
        ("questions", sizes + cut),
        *describe_division(inputs, train.left_out, val.left_out, "questions"),
        ("answers", f"{len(answers):,}; the best score they allow: {', '.join(best)}"),
    ]
    digests = digest_samples(train.digests, val.digests, words, answers)
    config = with_left_out(replace(config, digests=digests), train.left_out, val.left_out)
    return Prepared(task, config, {"words": words, "answers": answers}, facts)


def prepare_caption(
    config: RunConfig, precision: Precision, inputs: Inputs, adaptive: Collection[str]
) -> Prepared:
    """The task of a captioning run."""
    assert inputs.train is not None
    assert inputs.val is not None
    dataset = open_dataset(config.data)
    options = read_settings(config.data_settings, caption_data.CaptionOptions, "data_settings")
    train, val, words = caption_data.load_train_val(dataset, options, inputs.division)
    check_filled(train.image_id, dataset.name, config.train_split, "caption")
    if inputs.division.val is not None:
        check_filled(val.image_id, dataset.name, config.split, "caption")
    config = fit_head(config, len(train.image_id), adaptive)
    head = build_head(config, words, [], inputs.train.channels, precision)
    assert isinstance(head, CaptionHead)
    penalty = config.optimisation.attention_penalty
    # Unless one is asked for, captions are made no longer than most are.
    longest = options.max_length if "max_length" in config.data_settings else GREEDY.max_length
    parts = (train, inputs.train), (val, inputs.val)
    given = (head, precision, words, *parts, penalty, longest)
    task = (
        CaptionTask(*given)
        if config.scst is None
        else SelfCriticalTask(*given, samples=config.scst.samples)
    )
    n = len(val.image_ids)
    scored = "all" if n <= SAMPLE_IMAGES else f"the first {SAMPLE_IMAGES:,}"
    sizes = describe_sizes(len(train.image_id), len(val.image_id), task, words)
    cut = describe_cut(train.n_cut, val.n_cut, options.max_length, " (--max-length)")
    if train.n_dropped + val.n_dropped:
        cut += f"; {train.n_dropped:,} train, {val.n_dropped:,} val rejected or precanned, left out"
    facts = [
        ("captions", sizes + cut),
        *describe_division(inputs, train.left_out, val.left_out, "captions"),
    ]
    if config.scst is not None:
        facts.append(("learns", f"from {config.scst.samples} captions of its own an image"))
        facts.append(("begins", f"with the best weights of {config.scst.init}"))
    if task.validates:
        facts.append(
            (
                "scored",
                f"own captions, greedy, of {scored} of the {n:,} validation images an epoch, of at "
                f"most {longest} words{describe_longer(val, longest)}",
            )
        )
    config = replace(config, digests=digest_samples(train.digests, val.digests, words, []))
    config = with_left_out(config, train.left_out, val.left_out)
    return Prepared(task, config, {"words": words}, facts)


def with_left_out(config: RunConfig, train: LeftOut, val: LeftOut) -> RunConfig:
    """The config with what is left out of either side."""
    return replace(config, left_out_of_training=train, left_out=val)


def fit_head(config: RunConfig, n_items: int, adaptive: Collection[str]) -> RunConfig:
    """The config with the head's settings for a set of ``n_items``, if they are adaptive."""
    if "head" not in adaptive:
        return config
    return replace(config, head_settings=RECIPES[config.recipe][config.head].head_for(n_items))


def digest_samples(
    train: dict[str, str], val: dict[str, str], words: list[str], answers: list[str]
) -> dict[str, str]:
    """The digests of both splits' samples, and of the vocabulary."""
    named = {f"train_{name}": value for name, value in train.items()}
    named |= {f"val_{name}": value for name, value in val.items()}
    return {**named, "vocabulary": digest(words, answers)}


def check_filled(rows: NDArray[np.int64], dataset_name: str, split: str, what: str) -> None:
    """Raise ``InputError`` for a split without questions or captions."""
    if not len(rows):
        raise InputError(f"{dataset_name}: the {split} split has no {what}; nothing to do.")


def check_scorable(train: vqa_data.VqaData, annotations: Path) -> None:
    """Raise ``InputError`` if no answer scores on any training question: nothing can be learned."""
    if vqa_data.coverage(train) == 0:
        raise InputError(
            f"{annotations}: no answer scores above 0 on any question, because officially a "
            "person's answer counts only if another person gave it too, told apart by answer_id; "
            "number each question's answers from 1, and write a lone answer ten times."
        )


def describe_sizes(n_train: int, n_val: int, task: Task, words: list[str]) -> str:
    """How much there is to train and to validate on, in words."""
    if not task.validates:
        return f"{n_train:,} train on {task.train.n_images:,} images; {len(words):,} words"
    return (
        f"{n_train:,} train, {n_val:,} val on {task.train.n_images:,} and {task.val.n_images:,} "
        f"images; {len(words):,} words"
    )


def describe_updates(o: Optimisation, task: Task) -> str:
    """The number of updates of the whole run, in words."""
    n = updates_of_epoch(o, task.train.n_items)
    batches = f"{o.accumulate} x {o.batch_size}" if o.accumulate > 1 else str(o.batch_size)
    return (
        f"at most {o.epochs * n:,}: {o.epochs} epochs of {n:,}, each of {batches} {task.item_name}"
    )


def describe_cut(n_train: int, n_val: int, max_length: int, option: str = "") -> str:
    """How many samples are cut, in words; "" if none is."""
    if not n_train + n_val:
        return ""
    return f"; {n_train:,} train, {n_val:,} val cut after {max_length} words{option}"


def describe_longer(val: caption_data.CaptionData, longest: int) -> str:
    """How many references are longer than the head's own captions may be; "" if none is."""
    n_longer = int((val.length - 2 > longest).sum())  # less <start> and <end>
    if not n_longer:
        return ""
    return f" ({n_longer:,} of {len(val.length):,} references have more: --max-length)"
