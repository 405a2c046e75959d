"""``frostgrid serve``: parse, load runs, serve the page until stopped."""

from pathlib import Path

import click

from ..console import Command, stop_on_signal
from ..errors import InputError
from ..options import device_option, runs_argument

POLL_SECONDS = 0.3  # between checks for a signal


@click.command("serve", cls=Command)
@runs_argument
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port of 127.0.0.1; 0 takes a free one.",
)
@click.option(
    "--upload-mb",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Largest image accepted, in MB.",
)
@click.option(
    "--weights",
    metavar="imagenet|random|FILE",
    help="The frozen network's weights, where the runs do not say how to get them.",
)
@device_option
def serve(
    runs: tuple[Path, ...], port: int, upload_mb: int, weights: str | None, device: str
) -> None:
    """Serve a web page, on this machine alone, to ask RUNs about any photo.

    VQA runs answer questions, captioning runs describe photos; several runs stand side by side.
    """
    # torch takes seconds to import, and --help needs none of it.
    from ..devices import pick_device
    from ..predict.photo import refuse_huge_images
    from ..predict.provenance import RANDOM_WARNING, has_random_weights
    from ..predict.trained import distinct_names, load_run
    from ..process import return_freed_memory
    from .server import HOST, Server
    from .session import InferenceSession

    chosen = pick_device(device)
    trained = [load_run(path, chosen) for path in runs]
    names = distinct_names(list(runs))
    session = InferenceSession(list(zip(names, trained, strict=True)), weights, chosen)
    for network in session.networks:
        click.echo(f"network    {network.describe()}")
    if any(has_random_weights(run.config) for run in trained):
        click.secho(f"warning    {RANDOM_WARNING}", fg="yellow", err=True)
    for run in session.runs:
        click.echo(f"run        {run.name} ({run.trained.config.head})")
    try:
        server = Server(session, port, upload_mb * 10**6)
    except OSError as error:
        raise InputError(
            f"Port {port} of {HOST} is not available ({error.strerror}); choose another --port, "
            "or 0 for any free one."
        ) from error
    return_freed_memory()
    with server, refuse_huge_images(), stop_on_signal() as stop:
        click.echo(f"open       {server.url} (Ctrl-C stops)")
        server.timeout = POLL_SECONDS
        while not stop:
            server.handle_request()
    click.echo("stopped")
