"""Draw the rooms of innerear and the imports between them: `python docs/draw_rooms.py` writes docs/rooms.svg.

A room is a package directly under innerear/. It stands above every room that it imports. Only imports that do
not follow from others are drawn (the transitive reduction); the number in a box counts all of them.
"""

import ast
from collections.abc import Iterator
from html import escape
from pathlib import Path
from textwrap import wrap

import grimp

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "rooms.svg"
WIDE, TALL, GAP_X, GAP_Y = 256, 66, 26, 46
"""Pixels: a box, and the room between boxes."""


def imports() -> dict[str, set[str]]:
    """For each room the rooms that its modules import, wherever in a module the import stands."""
    graph = grimp.build_graph("innerear", exclude_type_checking_imports=True)
    rooms = {name.split(".")[1] for name in graph.find_children("innerear")} - {"__main__"}
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for module in graph.modules:
        room = module.split(".")[1] if "." in module else ""
        for imported in graph.find_modules_directly_imported_by(module):
            other = imported.split(".")[1] if "." in imported else ""
            if room in rooms and other in rooms and room != other:
                found[room].add(other)
    return found


def floors(arrows: dict[str, set[str]]) -> dict[str, int]:
    """Floor of each room: one above the highest room that it imports; those that import nothing are on 0."""
    known: dict[str, int] = {}

    def floor(room: str) -> int:
        if room not in known:
            known[room] = 1 + max(map(floor, arrows[room]), default=-1)
        return known[room]

    for room in arrows:
        floor(room)
    return known


def reduced(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that do not follow from two or more others."""

    def reached(room: str) -> set[str]:
        return {room}.union(*(reached(other) for other in arrows[room]))

    return {
        room: {other for other in below if not any(other in reached(via) for via in below - {other})}
        for room, below in arrows.items()
    }


def summary(room: str) -> str:
    """First sentence of a package's docstring."""
    text = ast.get_docstring(ast.parse((ROOT / "innerear" / room / "__init__.py").read_text())) or ""
    return text.split("\n\n")[0].replace("\n", " ").split(". ")[0].rstrip(".")


def placed(level: dict[str, int], arrows: dict[str, set[str]]) -> dict[str, tuple[float, float]]:
    """Corner of each box: a row for each floor, rooms of a row side by side near what they import."""
    rows = [sorted(room for room in level if level[room] == at) for at in range(max(level.values()) + 1)]
    width = max(map(len, rows)) * (WIDE + GAP_X) - GAP_X
    corner: dict[str, tuple[float, float]] = {}
    for at, row in enumerate(rows):
        near = {
            room: sum(corner[other][0] for other in sorted(arrows[room])) / max(1, len(arrows[room]))
            for room in row
        }
        row.sort(key=lambda room: (near[room], room))
        left = (width - len(row) * (WIDE + GAP_X) + GAP_X) / 2
        for number, room in enumerate(row):
            corner[room] = (left + number * (WIDE + GAP_X), (len(rows) - 1 - at) * (TALL + GAP_Y))
    return corner


def svg() -> str:
    """The picture."""
    arrows = imports()
    corner = placed(floors(arrows), arrows)
    width = max(x for x, _ in corner.values()) + WIDE
    height = max(y for _, y in corner.values()) + TALL
    return "\n".join(
        [*_head(width, height), *_arrows(reduced(arrows), corner), *_boxes(arrows, corner), "</svg>\n"]
    )


def _head(width: float, height: float) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-16 -16 {width + 32:g} {height + 32:g}" '
        f'width="{width + 32:g}" height="{height + 32:g}" font-family="sans-serif">'
    )
    yield "<title>The rooms of innerear and the imports between them</title>"
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#56708a"/></marker></defs>'
    )
    yield f'<rect x="-16" y="-16" width="{width + 32:g}" height="{height + 32:g}" fill="#ffffff"/>'


def _arrows(drawn: dict[str, set[str]], corner: dict[str, tuple[float, float]]) -> Iterator[str]:
    for room in sorted(drawn):
        below = sorted(drawn[room], key=lambda other: (corner[other], other))
        for number, other in enumerate(below, start=1):
            x, y = corner[room][0] + WIDE * number / (len(below) + 1), corner[room][1] + TALL
            above = sorted(
                (each for each in drawn if other in drawn[each]), key=lambda each: (corner[each], each)
            )
            to_x = corner[other][0] + WIDE * (above.index(room) + 1) / (len(above) + 1)
            to_y = corner[other][1] - 2
            bend = (to_y - y) / 2
            yield (
                f'<path d="M{x:.1f} {y:.1f}C{x:.1f} {y + bend:.1f} {to_x:.1f} {to_y - bend:.1f} {to_x:.1f} '
                f'{to_y:.1f}" fill="none" stroke="#56708a" stroke-width="1.3" marker-end="url(#tip)"/>'
            )


def _boxes(arrows: dict[str, set[str]], corner: dict[str, tuple[float, float]]) -> Iterator[str]:
    for room, (x, y) in sorted(corner.items()):
        yield (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{WIDE}" height="{TALL}" rx="6" fill="#f3f7fb" '
            'stroke="#56708a"/>'
        )
        yield (
            f'<text x="{x + 10:.1f}" y="{y + 19:.1f}" font-size="14" font-weight="bold" fill="#14212e">'
            f"{escape(room)}/</text>"
        )
        counts = f"imports {len(arrows[room])}"
        yield (
            f'<text x="{x + WIDE - 10:.1f}" y="{y + 19:.1f}" font-size="10" text-anchor="end" '
            f'fill="#56708a">{counts}</text>'
        )
        for number, text in enumerate(wrap(summary(room), 44)[:3]):
            yield (
                f'<text x="{x + 10:.1f}" y="{y + 34 + 12 * number:.1f}" font-size="10.5" '
                f'fill="#14212e">{escape(text)}</text>'
            )


if __name__ == "__main__":
    PICTURE.write_text(svg())
    print(PICTURE)
