"""The ``frostgrid`` command: sub-commands, each imported only when it is called."""

from importlib import import_module

import click
from click.shell_completion import CompletionItem

from .console import HELP_OPTIONS
from .process import set_environment

# name -> (module, attribute, one line of help); `score` must never import torch.
COMMANDS = {
    "featurize": (
        "featurize.cli",
        "featurize",
        "Extract the features of every image once, to a file.",
    ),
    "info": ("featurize.file.cli", "info", "Print what a feature file says about itself."),
    "join": ("featurize.file.cli", "join", "Join several feature files as one virtual file."),
    "convert": (
        "featurize.file.cli",
        "convert",
        "Write a feature file in another dtype or layout.",
    ),
    "import": (
        "featurize.file.imports.cli",
        "import_command",
        "Write features that others extracted as a feature file.",
    ),
    "train-head": ("train.cli", "train_head", "Train a head from a feature file."),
    "predict": ("predict.cli", "predict", "Write a run's predictions for a split."),
    "score": ("evaluate.cli", "score", "Score predictions as the official evaluators do."),
    "clipscore": ("clip.cli", "clipscore", "Score captions by CLIP, against the images."),
    "explain": (
        "explain.cli",
        "explain",
        "Ask a run about any photo, and see its attention.",
    ),
    "compare": (
        "report.cli",
        "compare",
        "Put runs side by side on one page: curves, scores, disagreements.",
    ),
    "reproduce": (
        "report.reproduce_cli",
        "reproduce",
        "Train all heads of a published comparison, then compare them.",
    ),
    "serve": (
        "explain.serve_cli",
        "serve",
        "Serve a local web page to ask runs about any photo.",
    ),
    "demo": ("demo", "demo", "All steps on the embedded data, in minutes."),
}


class LazyGroup(click.Group):
    """A group that imports a sub-command's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        set_environment()
        command = getattr(import_module(f".{module}", __package__), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the first argument; for an unknown one, an error with a similar one."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from difflib import get_close_matches

            similar = get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean {similar[0]!r}?" if similar else f" See {ctx.command_path} -h."
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands and options that begin so, without importing the commands."""
        found = [(name, row[2]) for name, row in COMMANDS.items() if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=line) for name, line in found), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, _, help_line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": HELP_OPTIONS})
@click.version_option(package_name="frostgrid", prog_name="frostgrid")
def main() -> None:
    """Train visual-question-answering and captioning heads in minutes, not hours."""


def train_head() -> None:
    """The ``train-head`` console script."""
    set_environment()
    from .train.cli import train_head

    train_head()
