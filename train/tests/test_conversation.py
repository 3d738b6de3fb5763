"""The words of the small agent. Needs bash and sed, no model."""

import random
import subprocess
from pathlib import Path

import pytest
from conversation import (
    WINDOW,
    Hunk,
    Place,
    conversation,
    difference,
    edit,
    entities,
    judged,
    substitution,
    view,
    window,
)

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
        changed(4, 4, "    for price in prices~:"),
        changed(2, 2, "    # a comment \\ with \"signs\" & 'less'"),
        changed(7, 7, "  "),
        changed(10, 10, "    return [*.^$]"),
    ],
)
def test_an_edit_repairs(tmp_path: Path, broken: list[str]) -> None:
    (tmp_path / "a.py").write_text("\n".join(broken))
    hunk = difference(broken, RIGHT)
    assert hunk is not None and hunk.lines
    subprocess.run(["bash", "-c", edit("a.py", hunk)], cwd=tmp_path, check=True)
    assert (tmp_path / "a.py").read_text() == "\n".join(RIGHT)


@pytest.mark.parametrize(
    ("was", "now", "old", "new"),
    [
        ("x -= y", "x += y", "-=", "+="),
        ("if x is None:", "if x is not None:", "is ", "is not "),
        ("if x is not None:", "if x is None:", "not ", ""),
        ("a == b and c == d", "a == b and c != d", "c ==", "c !="),
        ("f(1, 1)", "f(1, 2)", " 1", " 2"),
        ("", "x", "", "x"),
    ],
)
def test_what_is_put_in_place(was: str, now: str, old: str, new: str) -> None:
    assert substitution(was, now) == (old, new)


def test_whatever_is_put_in_place_is_right() -> None:
    chance = random.Random(0)
    for _ in range(20_000):
        was, now = ("".join(chance.choices("ab =+", k=chance.randint(0, 7))) for _ in range(2))
        if was != now:
            old, new = substitution(was, now)
            assert was.replace(old, new, 1) == now, (was, now)


def test_a_change_of_one_line_is_short() -> None:
    hunk = Hunk(3, 3, ("    a[0] - b * c",), ("    a[0] - b & c",))
    assert edit("x.py", hunk) == r"sed -i '3s~\*~\&~' x.py"
    assert edit("x.py", Hunk(3, 3, ("a",), ("~",))) == "sed -i -f- x.py <<'E'\n3,3c\\\n~\nE"


def test_a_verifier_sees_the_patch() -> None:
    broken = changed(5, 5, "        result -= price")
    right = difference(broken, RIGHT)
    assert right is not None
    wrong = Hunk(3, 3, ("    result = 0",), ("    result = 1",))
    for attempt, verdict in [(right, "YES"), (wrong, "NO"), (None, "NO")]:
        question, answer = judged(Place("a.py", 1, 6), broken, right, attempt)
        assert answer["content"] == f"<judgement>{verdict}</judgement>"
        assert ("(nothing was changed)" in question["content"]) == (attempt is None)
        if attempt is not None:
            assert "\n# Patch\n\ndiff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -" in question["content"]
            assert f"\n-{attempt.was[0]}\n+{attempt.lines[0]}\n" in question["content"]


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
