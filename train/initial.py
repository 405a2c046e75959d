"""A run that goes on from another one's best weights, by self-critical training."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..datasets.catalog import address_of
from ..errors import InputError
from .checkpoint import load_weights, read_tensors
from .plan import OVERRIDES, Plan, why_one_view
from .run_folder import RunFolder, next_free
from .settings.config import RunConfig, SelfCritical, check_optimisation
from .settings.recipes import SELF_CRITICAL
from .tasks.captions import CaptionTask

# Options that may be typed beside --init; the run that it names decides the rest.
BESIDE_INIT = (
    *("head", "init", "scst", "out", "data", "features", "trust_ids", "seed", "device", "amp"),
    *(
        "kernels",
        "order",
        "step",
        "epochs",
        "batch_size",
        "lr",
        "accumulate",
        "patience",
        "encoder_lr",
    ),
    *("no_control", "flip", "views"),
)


def plan_self_critical(head: str, o: dict[str, Any], typed: list[str]) -> Plan:
    """Go on from the run ``o["init"]`` as the ``typed`` options say.

    Raises ``InputError`` for a run of another head.
    """
    begun = RunFolder(o["init"])
    config = begun.read_config()
    if config.head != head:
        raise InputError(
            f"{begun.path}: trains {config.head!r}, not {head!r}; name a run of {head} by --init, "
            f"or train {config.head}."
        )
    kept = ("seed", "amp", "kernels", "order", "step")
    given: dict[str, Any] = {name: o[name] for name in kept if name in typed}
    if "data" in typed:
        given["data"] = address_of(o["data"])
    if "features" in typed:
        given["features"] = [str(path.resolve()) for path in o["features"]]
    if "views" in typed:
        if o["views"] == 2 and (why := why_one_view(head, config.finetune)):
            raise InputError(f"{why}; drop --views 2.")
        given["views"] = o["views"]
    scst = SelfCritical(str(begun.path.resolve()), checkpoint_digest(begun.best))
    config = replace(
        config, optimisation=SELF_CRITICAL.optimisation, digests={}, scst=scst, **given
    )
    config = config.with_overrides(**{name: o[name] for name in OVERRIDES if name in typed})
    if "trust_ids" in typed:
        config = replace(config, trust_ids=True)
    run = RunFolder(o["out"] or next_free(Path("runs"), f"{head}-scst"))
    run.check_free()
    check_optimisation(config.optimisation)
    adaptive = tuple(name for name in SELF_CRITICAL.adaptive if name not in typed)
    return Plan(config, str(run.path), adaptive=adaptive, control=not o["no_control"])


def load_initial(task: CaptionTask, config: RunConfig) -> None:
    """Give a new run's head the weights that it goes on from.

    Raises ``InputError`` if they are no longer those that were found, or of other words.
    """
    assert config.scst is not None
    begun = RunFolder(Path(config.scst.init))
    if begun.read_vocabulary()["words"] != task.words:
        raise InputError(
            f"{begun.path}: was trained with other words than the captions of {config.data} have; "
            "name a run on the same captions by --init."
        )
    if checkpoint_digest(begun.best) != config.scst.init_sha256:
        raise InputError(f"{begun.best}: was written anew meanwhile; begin again.")
    load_weights(task.head, read_tensors(begun.best)[0], begun.best)


def checkpoint_digest(path: Path) -> str:
    """The sha256 of a checkpoint, in hex; raises ``InputError`` if there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); train the run first."
        ) from error
