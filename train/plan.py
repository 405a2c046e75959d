"""From what is typed to the run that is asked for: its config and its folder."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..datasets.catalog import address_of, open_dataset
from ..datasets.dataset import Dataset
from ..errors import InputError
from ..models.registry import HEADS
from .data.word_vectors import read_width
from .features.locate import find_features
from .run_folder import RunFolder, next_free
from .settings.config import RunConfig, WordVectors, check_optimisation
from .settings.recipes import RECIPES

# What goes before the recipe's own, where it is typed.
OVERRIDES = (
    *("epochs", "batch_size", "texts_per_image", "accumulate", "patience", "loss"),
    *("lr", "encoder_lr", "flip", "select_by"),
)


@dataclass(frozen=True)
class Plan:
    """A run to begin or, with ``resume``, to go on with.

    ``adaptive``: the settings that follow the size of the set (see ``recipes.ADAPTIVE``);
    ``control``: whether to compare with a head that does not see the images;
    ``encoder_weights``: the backbone's, if its features do not say how to get them;
    ``accept_changed_data``: go on although the data differ from those the run was begun with.
    """

    config: RunConfig
    folder: str
    resume: bool = False
    adaptive: tuple[str, ...] = ()
    control: bool = True
    encoder_weights: str | None = None
    accept_changed_data: bool = False


def plan_resume(folder: Path, typed: dict[str, Any]) -> Plan:
    """Go on with a run; of the options, only those that are typed count."""
    config = RunFolder(folder).read_config()
    config = config.with_overrides(epochs=typed.get("epochs"))
    if "data" in typed:
        config = replace(config, data=address_of(typed["data"]))
    if "features" in typed:
        config = replace(config, features=[str(path.resolve()) for path in typed["features"]])
    if "step" in typed:
        config = replace(config, step=typed["step"])
    if typed.get("trust_ids"):
        config = replace(config, trust_ids=True)
    check_optimisation(config.optimisation)
    accept = bool(typed.get("accept_changed_data"))
    control = not typed.get("no_control")
    return Plan(config, str(folder), resume=True, control=control, accept_changed_data=accept)


def plan_new(head: str, o: dict[str, Any]) -> Plan:
    """Begin a run as the options say."""
    data = address_of(o["data"])
    recipe = RECIPES[o["recipe"]][head]
    features = [str(path.resolve()) for path in o["features"]]
    split = validated_split(o["split"], o["hold_out"])
    splits = ["train"] + ["val"] * (o["split"] == "trainval" or split == "val")
    if split == "val":
        check_validation(open_dataset(data), HEADS[head].task)
    if not features and HEADS[head].features != "none":
        found = find_features(o["data"], splits, native=o["finetune"] is not None)
        print(f"features   {', '.join(found)} (the newest backbone's)", flush=True)
        features = [str(Path(path).resolve()) for path in found]
    config = RunConfig(
        head=head,
        task=HEADS[head].task,  # type: ignore[arg-type]
        data=data,
        split=split,
        train_split=o["split"],
        hold_out=o["hold_out"] or 0.0,
        hold_out_seed=o["hold_out_seed"] or 0,
        missing=o["missing"],
        limit=o["limit"],
        features=features,
        recipe=o["recipe"],
        seed=o["seed"],
        amp=o["amp"],
        kernels=o["kernels"],
        order=o["order"],
        views=views_of(head, o),
        step=o["step"],
        head_settings=recipe.head,
        data_settings=data_settings(HEADS[head].task, o),
        optimisation=recipe.optimisation,
        finetune=o["finetune"],
        trust_ids=o["trust_ids"],
    ).with_overrides(**{name: o[name] for name in OVERRIDES})
    if o["word_vectors"] is not None:
        file = o["word_vectors"].resolve()
        config = replace(config, word_vectors=WordVectors(str(file), read_width(file)))
    run = RunFolder(o["out"] or next_free(Path("runs"), head))
    run.check_free()
    check_optimisation(config.optimisation)
    adaptive = tuple(name for name in recipe.adaptive if o.get(name) is None)
    control = not o["no_control"]
    return Plan(config, str(run.path), False, adaptive, control, o["weights"])


def views_of(head: str, o: dict[str, Any]) -> Literal[0, 1, 2]:
    """How many views of each image are asked for; 0 for as many as there are features of."""
    return 1 if why_one_view(head, o["finetune"]) else (o["views"] or 0)


def why_one_view(head: str, finetune: str | None) -> str:
    """Why a run takes no mirrored features, in words; "" if it can."""
    if HEADS[head].features == "none":
        return f"{head} does not look at the image"
    return "" if finetune is None else "with --finetune, --flip mirrors the cells themselves"


def validated_split(train_split: str, hold_out: float | None) -> str:
    """The split that a run validates on, or of which it holds out a part; "" for none."""
    if train_split == "trainval":
        return "" if hold_out is None else "val"
    return "val" if hold_out is None else "train"


def check_validation(dataset: Dataset, task: str) -> None:
    """Raise ``InputError``, with what to do, for a data set without a split to validate on."""
    remedy = "to validate on a tenth of the training images, add --hold-out 0.1."
    try:
        dataset.annotations_path("val") if task == "vqa" else dataset.captions_path("val")
        dataset.stated_images("val")  # of one file that holds all splits there may be none
    except InputError as error:
        raise InputError(f"{str(error).rstrip('.')}; {remedy}") from error


def data_settings(task: str, o: dict[str, Any]) -> dict[str, Any]:
    """How the data become classes and tokens: ``VqaOptions`` or ``CaptionOptions``."""
    if task == "vqa":
        return {
            "n_answers": o["answers"],
            "min_answer_count": o["min_answer_count"],
            "min_word_count": o["min_word_count"] or 1,
        }
    settings = {"min_word_count": o["min_word_count"] or 5}
    return settings if o["max_length"] is None else {**settings, "max_length": o["max_length"]}
