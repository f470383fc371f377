"""The command that makes the model organisms, for maintainers."""

from pathlib import Path
from typing import Annotated

import typer

from innerear.cli.console import print_line


def make_organisms(
    stage: Annotated[str, typer.Argument(help="speech, recognisers, audio-lm or store.")],
    output: Annotated[Path, typer.Argument(help="Folder for speech, checkpoints and models.")],
    recipe: Annotated[str, typer.Option(help="full or trial.")] = "full",
    processes: Annotated[int, typer.Option(min=1, help="Processes that render; training has one.")] = 1,
    work: Annotated[Path | None, typer.Option(help="Folder for downloads.", show_default="the cache")] = None,
) -> None:
    """Make the model organisms again, which takes hours; an interrupted run continues where it was."""
    from innerear.organisms.making import STAGES, Makings
    from innerear.organisms.recipe import RECIPES
    from innerear.organisms.storing import store
    from innerear.util.errors import InputError, unknown_name
    from innerear.util.paths import cache_folder

    for kind, name, known in (("stage", stage, (*STAGES, "store")), ("recipe", recipe, RECIPES)):
        if name not in known:
            raise InputError(unknown_name(kind, name, list(known)))
    if stage == "store":
        for folder in store(output):
            stored = folder / "model.safetensors"
            print_line(f"{folder}: {stored.stat().st_size / 1e6:.1f} MB of weights of its own")
        return
    makings = Makings(RECIPES[recipe], output, work or cache_folder() / "render", processes)
    made = STAGES[stage](makings)
    if stage == "speech":
        for split, hours in made["hours"].items():
            print_line(f"{split}: {made['clips'][split]} clips, {hours:.2f} hours")
        print_line(f"{made['left_out']} clips could not be rendered")
    else:
        for folder in made:
            print_line(f"{folder} is written; `innerear models check {folder}` tries it")
