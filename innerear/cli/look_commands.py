"""Commands that look into one clip."""

from pathlib import Path
from typing import Annotated

import typer

from innerear.cli.console import print_line

app = typer.Typer()


@app.command()
def explore(
    file: Annotated[Path, typer.Argument(help="WAV, FLAC, MP3 or Ogg, no longer than the model's window.")],
    model: Annotated[str, typer.Option(help="Registered name, folder, or hub:owner/name@revision.")],
    output: Annotated[Path, typer.Option(help="Folder to write the page into.")] = Path("explore"),
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or mps.")] = "cpu",
) -> None:
    """Write a page about one clip: transcript, lens, attention, saliency, phones by layer, heads ablated."""
    from innerear.look.page import explore as write_page
    from innerear.models.loading import load_model

    print_line(str(write_page(load_model(model, device=device), file, output)))
