"""``train-head``: parse, plan one run, train it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..console import Command
from ..models.names import BEFORE, TASKS
from ..options import choice_option, data_option, device_option, missing_option, trust_ids_option
from ..parameters import OneOf
from .settings.recipes import RECIPES

RESUMABLE = (
    *("head", "resume", "epochs", "device", "step", "no_control"),
    *("data", "features", "trust_ids", "accept_changed_data"),
)
WHEN_OTHERS_END = (
    "go on from the last epoch that was finished with --resume, and as many processes as you like."
)


def heads_of(task: str) -> str:
    """The names of a task's heads, in words."""
    *names, last = [name for name, of in TASKS.items() if of == task]
    return f"{', '.join(names)} and {last}"


HELP = f"""
Train HEAD on features that `featurize` wrote.

HEAD is one of {heads_of("vqa")}, which answer questions, or of {heads_of("caption")}, which write
captions.

The run folder gets config.json, metrics.jsonl, the best and the last checkpoint, the best epoch's
validation answers (preds.json) and TensorBoard events.

What seeing the images is worth is told by a control: the blind head question-only, trained once for
a data set and recipe and kept in the cache folder, or the one caption that fits all images best.
"""


@click.command("train-head", cls=Command, help=HELP)
@click.argument("head", type=OneOf(TASKS), required=False, metavar="HEAD")
@data_option
@click.option(
    "--features",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.h5",
    help="Feature file; give it once a file.  [default: where featurize put them]",
)
@trust_ids_option
@click.option(
    "--views",
    type=click.IntRange(1, 2),
    metavar="1|2",
    help="2: every epoch shows each training image as it is or mirrored, by chance, unless its "
    "texts say left or right; 1: as it is.  [default: 2 where the files of `featurize --views 2` "
    "are]",
)
@choice_option(
    "--split",
    values=("train", "trainval"),
    help="Train on the split train and validate on val; or train on both, for a last run.",
)
@click.option(
    "--hold-out",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="Validate on this share of the training images (with trainval: of val's) instead, and "
    "do not train on it: 0.1, for a set without validation.",
)
@click.option(
    "--hold-out-seed",
    type=click.IntRange(0),
    metavar="N",
    help="Which images these are.  [default: 0, whatever --seed is]",
)
@missing_option
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help="Take N images of each split, at most, with all that is asked or said of them; smaller "
    "limits take parts of what larger ones do.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Run folder.  [default: runs/HEAD, or the next free of runs/HEAD-2, …]",
)
@choice_option(
    "--recipe",
    values=RECIPES,
    help="The best known settings, or those of the report the head comes from.",
)
@click.option(
    "--epochs",
    type=int,
    metavar="N",
    help="Passes over the training split.  [default: the recipe's]",
)
@click.option(
    "--batch-size",
    type=int,
    metavar="N",
    help="Questions or captions a batch.  [default: the recipe's]",
)
@click.option(
    "--lr", type=float, metavar="X", help="Highest learning rate.  [default: the recipe's]"
)
@click.option(
    "--finetune",
    type=OneOf(BEFORE),
    help="Let the network's last block learn too, from features of the layer before "
    "(`featurize --layer layer3 --grid native`).",
)
@click.option(
    "--encoder-lr",
    type=float,
    metavar="X",
    help="Highest learning rate of that block.  [default: the recipe's, 0.0001]",
)
@click.option(
    "--flip",
    is_flag=True,
    default=None,
    help="With --finetune: mirror half of the cells' grids, at random, while training.",
)
@click.option(
    "--weights",
    metavar="imagenet|random|FILE",
    help="With --finetune: the network's weights, where the features do not say how to get them.",
)
@click.option(
    "--texts-per-image",
    type=click.IntRange(0),
    metavar="N",
    help="Questions or captions of an image that are drawn together, at most; 0: all. Fewer make "
    "batches of more images, and read and project each more often.  [default: the recipe's]",
)
@click.option(
    "--accumulate", type=int, metavar="N", help="Batches to one update.  [default: the recipe's]"
)
@click.option(
    "--patience",
    type=click.IntRange(0),
    metavar="N",
    help="Epochs without gain before it stops; 0: never.  [default: the recipe's]",
)
@click.option(
    "--select-by",
    type=OneOf(["score", "cider"]),
    help="What picks the best epoch of captions, and ends the patience: BLEU-4 (score) or "
    "CIDEr-D.  [default: the recipe's]",
)
@click.option(
    "--loss",
    type=OneOf(["soft", "commonest"]),
    help="Targets from all ten answers, or the commonest of them.  [default: the recipe's]",
)
@click.option(
    "--answers",
    type=click.IntRange(1),
    default=3000,
    show_default=True,
    metavar="N",
    help="Keep the most frequent answers, so many.",
)
@click.option(
    "--min-answer-count",
    type=click.IntRange(1),
    metavar="N",
    help="Of them, keep those that are the commonest of so many questions.  [default: all]",
)
@click.option(
    "--min-word-count",
    type=click.IntRange(1),
    metavar="N",
    help="Words seen less often become <unk>.  [default: 1 for questions, 5 for captions]",
)
@click.option(
    "--max-length",
    type=click.IntRange(1),
    metavar="N",
    help="Words after which captions end: what is longer is cut.  [default: 50 in training, 20 in "
    "the head's own captions]",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Of weights, order and dropout.",
)
@choice_option("--amp", values=("auto", "off"), help="Half precision where the hardware has it.")
@choice_option(
    "--kernels",
    values=("auto", "plain"),
    help="Fused attention kernels, or plain PyTorch.",
)
@choice_option(
    "--order",
    values=("auto", "full", "local"),
    help="Shuffle all images, or blocks of neighbours: for features that memory cannot keep.",
)
@device_option
@choice_option(
    "--step",
    values=("auto", "captured", "plain"),
    help="Updates as CUDA graphs, which a GPU does without waiting for the processor, or one "
    "operation after the other; auto: graphs on a GPU, where the features fit it.",
)
@click.option(
    "--word-vectors",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Let words begin with the vectors of this file, GloVe's text or .safetensors, which say "
    "how many numbers a word's vector has.  [default: random]",
)
@click.option(
    "--scst",
    is_flag=True,
    help="With --init: learn from captions that the decoder draws itself, by their CIDEr-D "
    "(self-critical training).",
)
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="With --scst: the run whose best weights, sizes and data it goes on from.",
)
@click.option(
    "--no-control",
    is_flag=True,
    help="Do not compare with what a head reaches that does not see the images.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on with the run in this folder; besides, only --epochs, --device, --step and where "
    "--data and --features are now.",
)
@click.option(
    "--accept-changed-data",
    is_flag=True,
    help="With --resume: go on although the data are not those that the run was begun with.",
)
@click.pass_context
def train_head(
    context: click.Context, /, head: str | None, resume: Path | None, **options: Any
) -> Path:
    """Plan a run, and train it in every process; returns its folder."""
    # torch takes seconds to import, and --help needs none of it.
    from ..devices import pick_device
    from ..distributed import join_ranks
    from .initial import plan_self_critical
    from .plan import Plan, plan_new, plan_resume
    from .run import train
    from .settings.config import convert

    sources = {name: context.get_parameter_source(name) for name in context.params}
    typed = [name for name, source in sources.items() if source is ParameterSource.COMMANDLINE]
    with join_ranks(WHEN_OTHERS_END, on_gpus=True) as ranks:

        def plan() -> dict[str, Any]:
            check_options(head, resume, typed, options)
            if options["scst"]:
                return asdict(plan_self_critical(str(head), options, typed))
            if resume is None:
                return asdict(plan_new(str(head), options))
            return asdict(plan_resume(resume, {name: options.get(name) for name in typed}))

        device = ranks.together(
            lambda: pick_device(options["device"], ranks.local_rank, shared=ranks.n == 1)
        )
        planned = convert(ranks.first_does(plan), Plan)
        train(planned, device, ranks)
    return Path(planned.folder)


def check_options(
    head: str | None, resume: Path | None, typed: list[str], options: dict[str, Any]
) -> None:
    """Raise a usage error for options that do not go together."""
    if resume is not None:
        fixed = [f"--{name.replace('_', '-')}" for name in typed if name not in RESUMABLE]
        if fixed:
            raise click.UsageError(
                f"{' and '.join(fixed)} cannot go with --resume: the run goes on as it was begun; "
                "only --epochs, --device, --step, and where --data and --features are, may change, "
                "and --trust-ids be added."
            )
        from .run_folder import RunFolder

        if head is not None and head != (begun := RunFolder(resume).read_config().head):
            raise click.UsageError(f"{resume} trains {begun!r}, not {head!r}.")
    elif head is None:
        raise click.UsageError(f"Missing argument HEAD: one of {', '.join(TASKS)}.")
    elif options["scst"] or options["init"] is not None:
        check_init(head, typed, options)
    elif options["accept_changed_data"]:
        raise click.UsageError("--accept-changed-data is of use with --resume alone.")
    elif options["hold_out_seed"] is not None and options["hold_out"] is None:
        raise click.UsageError("--hold-out-seed is of use with --hold-out alone; add that too.")
    elif options["max_length"] is not None and TASKS[head] != "caption":
        raise click.UsageError(f"{head} writes no captions; drop --max-length.")
    elif options["select_by"] == "cider" and TASKS[head] != "caption":
        raise click.UsageError(f"{head} writes no captions, that CIDEr-D is of; drop --select-by.")
    elif options["finetune"] is None:
        for name in ("encoder_lr", "flip", "weights"):
            if options[name] is not None:
                option = f"--{name.replace('_', '-')}"
                raise click.UsageError(f"{option} is of use with --finetune alone; add that too.")
    else:
        from ..models.registry import HEADS

        if HEADS[head].features == "none":
            raise click.UsageError(f"{head} does not look at the image; drop --finetune.")
    if options["views"] == 2 and not options["scst"] and head is not None and resume is None:
        from .plan import why_one_view

        if why := why_one_view(head, options["finetune"]):
            raise click.UsageError(f"{why}; drop --views 2.")


def check_init(head: str, typed: list[str], options: dict[str, Any]) -> None:
    """Raise a usage error for options that do not go with --init or --scst."""
    from .initial import BESIDE_INIT

    if TASKS[head] != "caption":
        raise click.UsageError(f"{head} writes no captions; --scst is for {heads_of('caption')}.")
    if not options["scst"]:
        raise click.UsageError("--init is of use with --scst alone; add that too.")
    if options["init"] is None:
        raise click.UsageError(
            f"--scst goes on from a run of {head}; train one first, and name it by --init."
        )
    fixed = [f"--{name.replace('_', '-')}" for name in typed if name not in BESIDE_INIT]
    if fixed:
        raise click.UsageError(
            f"{' and '.join(fixed)} cannot go with --init: its run decides that."
        )
