"""The picture of the rooms is drawn from the code; rooms are few, and modules are short."""

import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

from draw_rooms import PICTURE, floors, imports, reduced, svg  # noqa: E402


def test_the_picture_is_drawn_from_the_code():
    assert PICTURE.read_text() == svg(), "python docs/draw_rooms.py draws it anew"


def test_arrows_run_downwards_and_none_is_lost_by_the_reduction():
    arrows = imports()
    level, drawn = floors(arrows), reduced(arrows)
    assert all(level[other] < level[room] for room in arrows for other in arrows[room])

    def reached(room):
        return {room}.union(*map(reached, drawn[room]))

    assert all(arrows[room] <= reached(room) for room in arrows)


def test_at_most_22_rooms_and_no_loose_modules():
    package = ROOT / "innerear"
    assert len(imports()) <= 22
    assert {path.name for path in package.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_no_module_has_more_than_450_lines():
    long = {
        path.relative_to(ROOT).as_posix(): count
        for path in (ROOT / "innerear").rglob("*.py")
        if (count := len(path.read_text().splitlines())) > 450
    }
    assert not long


def test_no_two_test_modules_share_a_name():
    """Of two with one name, pytest imports the first for both and runs neither's tests in a whole run."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py"))
    assert not [name for name, count in names.items() if count > 1]
