"""The words of the small agent. Needs bash and sed, no model."""

import random
import subprocess
from pathlib import Path

import pytest
from conversation import WINDOW, Place, conversation, difference, edit, entities, view, window

RIGHT = """def total(prices):
    # a comment \\ with "signs" & 'more'
    result = 0
    for price in prices:
        result += price
    return result


def other():
    return 1
""".split("\n")


def changed(first: int, last: int, *lines: str) -> list[str]:
    return RIGHT[: first - 1] + list(lines) + RIGHT[last:]


@pytest.mark.parametrize(
    "broken",
    [
        changed(5, 5, "        result -= price"),
        changed(2, 2, r"    # a \n \\ & comment"),
        changed(3, 5),  # lines are gone
        changed(4, 3, "    prices = []"),  # a line came
        changed(4, 5, "    while prices:", "        result += prices.pop()", "        break"),
        changed(1, 1),
        changed(10, 10),
    ],
)
def test_an_edit_repairs(tmp_path: Path, broken: list[str]) -> None:
    (tmp_path / "a.py").write_text("\n".join(broken))
    hunk = difference(broken, RIGHT)
    assert hunk is not None and hunk.lines
    subprocess.run(["bash", "-c", edit("a.py", hunk)], cwd=tmp_path, check=True)
    assert (tmp_path / "a.py").read_text() == "\n".join(RIGHT)


def test_the_same_has_no_difference() -> None:
    assert difference(RIGHT, RIGHT) is None


def test_a_place_is_said_and_read() -> None:
    place = Place("src/a b.py", 3, 12)
    assert Place.of(f"# Title\n\n{place.sentence()}\nMore.") == place
    assert Place.of("The fault is somewhere.") is None


def test_a_view_is_what_the_pairs_show(tmp_path: Path) -> None:
    broken = changed(5, 5, "        result -= price")
    (tmp_path / "a.py").write_text("\n".join(broken))
    hunk = difference(broken, RIGHT)
    place = Place("a.py", 1, 6)
    shown = subprocess.run(["bash", "-c", view(place)], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert hunk is not None
    assert conversation(place, broken, hunk)[2]["content"] == f"<returncode>0</returncode>\n<output>\n{shown}</output>"


def test_a_window_holds_the_change() -> None:
    lines = ["def long():"] + [f"    x{at} = {at}" for at in range(60)]
    right = list(lines)
    lines[40] = "    x39 = 0"
    hunk = difference(lines, right)
    assert hunk is not None
    import ast

    around = entities(ast.parse("\n".join(lines)))
    for seed in range(20):
        first, last = window(hunk, around, len(lines), random.Random(seed))
        assert first <= hunk.first <= hunk.last <= last
        assert last - first == WINDOW - 1
