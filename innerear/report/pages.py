"""What all pages share: templates that escape text, the scripts and the style that stand beside them."""

import json
from importlib.resources import files
from pathlib import Path

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined

from innerear.report.chart import THEME
from innerear.results.schema import Result
from innerear.util.io import sha256_json, write_bytes
from innerear.util.sanitise import clean, slug
from innerear.util.version import __version__

ASSETS = ("style.css", "page.js", "charts.js")
VEGA = "vega.js"
"""Script that draws charts: Vega, Vega-Lite and Vega-Embed as one file."""


def environment() -> Environment:
    """The templates; `clean` is a filter for text of other people."""
    pages = Environment(
        loader=PackageLoader("innerear.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    pages.filters["clean"] = clean
    pages.globals.update(
        version=__version__, slug=slug, model_page=model_page, task_page=task_page, theme=json.dumps(THEME)
    )
    return pages


def write_assets(folder: Path, *more: str) -> None:
    """Write scripts and style into the folder of the pages; `more` are files that not all of them need."""
    for name in (*ASSETS, *more):
        write_bytes(folder / name, files("innerear.report").joinpath("templates", name).read_bytes())
    # in a function of its own: its short names, which no release promises, would meet those of page scripts
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    write_bytes(folder / VEGA, f"(() => {{\n{bundle}\n}})();\n".encode())


def page_of(model: str) -> str:
    """File name of a model's page; names that differ only in special characters get different pages."""
    plain = slug(model)
    return plain if plain == model else f"{plain}-{sha256_json(model)[:6]}"


def model_page(name: str) -> str:
    """Place of a model's page in the site."""
    return f"models/{page_of(name)}.html"


def task_page(name: str) -> str:
    """Place of a task's page in the site."""
    return f"tasks/{slug(name)}.html"


def anchor_of(result: Result) -> str:
    """Anchor of a result on its model's page; part of the key makes it unique where names are cut."""
    return f"{slug(result.task.id)}-{result.key[:10]}"
