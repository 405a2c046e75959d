"""What a run reads: the features of its splits, and which of their images take part."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from ..datasets.catalog import open_dataset
from ..datasets.dataset import Dataset
from ..errors import InputError
from ..featurize.file.layout import ABSENT, DONE, FAILED, GRID, IDENTITY_BEFORE, TO_DO, name_grid
from ..models.registry import HEADS
from .data.selection import Division, Ids, LeftOut, SplitPart, beyond_limit, hold_out
from .features.identity import ImageCheck
from .features.joined_splits import JoinedSplits
from .features.split import SplitFeatures, open_split
from .finetuning import check_features
from .settings.config import RunConfig

WHY_MISSING = {
    ABSENT: "not in the feature files",
    TO_DO: "not extracted yet",
    FAILED: "failed to be extracted",
}


@dataclass(frozen=True)
class Inputs:
    """The features of both sides, None for a head without; the parts; what to say of them."""

    train: SplitFeatures | None
    val: SplitFeatures | None
    division: Division
    why_missing: Mapping[str, str] = field(default_factory=dict)  # by split, in words

    @property
    def views(self) -> Literal[1, 2]:
        """How many views of each training image there are."""
        return 2 if self.train is not None and self.train.mirrored else 1

    @property
    def identity(self) -> dict[str, object]:
        """What the features must be made with to fit the head."""
        return {} if self.train is None else self.train.files[0].identity()


def open_inputs(config: RunConfig) -> Inputs:
    """Open what a run reads; raises ``InputError`` for features that are missing or do not fit.

    The training's and the validation's features are apart, even where both are of one split, since
    each may be kept in memory by itself.
    """
    splits = training_splits(config)
    train = [open_run_features(config, splits[0], config.views)]
    if (first := train[0]) is not None:
        config = replace(config, feature_identity=first.files[0].identity())
        train += [open_run_features(config, split, config.views) for split in splits[1:]]
    val = open_run_features(config, config.split) if config.split else None
    division, why = divide(config)
    found = [each for each in train if each is not None]
    if any(each.mirrored for each in found):  # then all must have them, or this says which have not
        for split, each in zip(splits, found, strict=True):
            if not each.mirrored:
                open_run_features(config, split, views=2)
    if not found:
        return Inputs(None, None, division, why)
    joined = found[0]
    if len(found) > 1:
        joined = JoinedSplits(found, [part.known_ids for part in division.train])
    return Inputs(joined, joined if val is None else val, division, why)


def training_splits(config: RunConfig) -> list[str]:
    """The data set's splits that a run trains on."""
    return ["train", "val"] if config.train_split == "trainval" else ["train"]


def divide(config: RunConfig) -> tuple[Division, dict[str, str]]:
    """Which images a run trains and validates on, and by split why some are missing, in words.

    First some are held out, which depends on the data alone; then those without features are left
    out, and then those beyond the limit, of either side.
    """
    splits = training_splits(config)
    is_whole = len(splits) == 1 and not config.hold_out
    if is_whole and config.limit is None and config.missing == "stop":
        return Division(), {}
    dataset = open_dataset(config.data)
    ids = {s: stated_ids(dataset, s) for s in {*splits, *filter(None, [config.split])}}
    train = [SplitPart(split, ids[split]) for split in splits]
    val = SplitPart(config.split, ids[config.split]) if config.split else None
    if config.hold_out:
        all_ids = ids[config.split]
        held = hold_out(all_ids, config.hold_out, config.hold_out_seed)
        assert val is not None
        train[-1] = train[-1].without("hold_out", held)
        val = val.without("hold_out", np.setdiff1d(all_ids, held))
    why: dict[str, str] = {}
    for split in ids if config.missing == "skip" else ():
        missing, why[split] = find_missing(config, split, ids[split])
        train = [skip(part, missing) if part.split == split else part for part in train]
        val = skip(val, missing) if val is not None and val.split == split else val
    if config.limit is not None:
        train = [cut(part, ids[part.split], config.limit) for part in train]
        val = None if val is None else cut(val, ids[val.split], config.limit)
    return Division(train, val), why


def stated_ids(dataset: Dataset, split: str) -> Ids:
    """The ids of a split's images, sorted."""
    return np.unique(dataset.stated_images(dataset.checked_split(split)).image_ids)


def skip(part: SplitPart, missing: Ids) -> SplitPart:
    """The part without the images that have no features."""
    return part.without("missing", np.intersect1d(part.known_ids, missing))


def cut(part: SplitPart, all_ids: Ids, limit: int) -> SplitPart:
    """The part without the images beyond the limit."""
    return part.without("limit", beyond_limit(all_ids, part.known_ids, limit))


def find_missing(config: RunConfig, split: str, image_ids: Ids) -> tuple[Ids, str]:
    """Those of the images without features, and why, in words.

    A head that reads no features leaves out the same as others, if feature files are named for it.
    """
    if not config.features:
        return image_ids[:0], ""
    kind = HEADS[config.head].features
    check = ImageCheck(config.data, split, config.trust_ids)
    features = open_split(config.features, "pooled" if kind == "none" else kind, check)
    states = features.lacking(image_ids)
    counts = {words: int((states == state).sum()) for state, words in WHY_MISSING.items()}
    why = ", ".join(f"{n:,} {words}" for words, n in counts.items() if n)
    return image_ids[states != DONE], why


def describe_division(
    inputs: Inputs, train: LeftOut, val: LeftOut, item: str
) -> list[tuple[str, str]]:
    """What to say of a division: what is validated on, if not the split val, and left out."""
    division, facts = inputs.division, []
    splits = " and ".join(part.split for part in division.train)
    if division.val is None:
        facts.append(
            ("validation", f"none: trained on {splits}; nothing is scored, the last epoch is kept")
        )
    elif "hold_out" in division.val.left_out:
        n = len(division.val.known_ids)
        facts.append(
            (
                "validation",
                f"on {n:,} images of {division.val.split} that are held out by --hold-out",
            )
        )
    for part, left_out, name in ((division.train[0], train, "train"), (division.val, val, "val")):
        why = inputs.why_missing.get(part.split, "") if part is not None else ""
        if said := describe_left_out(left_out, name, item, why):
            facts.append(("left out", said))
    return facts


def describe_left_out(left_out: LeftOut, name: str, item: str, why: str) -> str:
    """What of a split is left out by the user's word, in words; "" if nothing is.

    ``why``: images without features, of the whole split, by what is wrong.
    """
    reasons = {"missing": f"without features ({why})", "limit": "beyond --limit"}
    parts = [
        f"{count['texts']:,} of the {name} {item}, on {count['images']:,} images: {reasons[reason]}"
        for reason, count in left_out.items()
        if reason in reasons
    ]
    return "; ".join(parts)


def open_run_features(config: RunConfig, split: str, views: int = 1) -> SplitFeatures | None:
    """The features that the run's head reads, or None; raises ``InputError`` if they do not fit.

    ``views`` as in ``RunConfig``; only training has another than 1.
    """
    kind = HEADS[config.head].features
    if kind == "none":
        return None
    if config.finetune is not None:
        kind = "grid"  # that the encoder goes on from
    check = ImageCheck(config.data, split, config.trust_ids)
    features = open_split(config.features, kind, check, views)
    identity = features.files[0].identity()
    if config.finetune is not None:
        check_features(str(features.files[0].path), identity, config.finetune)
    # Runs from before there was another grid, or decoder, do not name theirs.
    wanted = {"grid": name_grid(GRID), **IDENTITY_BEFORE, **config.feature_identity}
    if config.feature_identity and identity != wanted:
        what = ", ".join(
            f"{name} {identity.get(name)!r} instead of {value!r}"
            for name, value in wanted.items()
            if identity.get(name) != value
        )
        raise InputError(
            f"{features.files[0].path}: these features are not of the kind that the run was "
            f"trained on: {what}; name the right files by --features."
        )
    return features
