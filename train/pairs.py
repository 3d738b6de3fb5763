"""Conversations from bugs that nobody ran: the way to much data where proven tasks are few.

    cargo run -p palestra-mutate --example bugs -- DIR SEED > bugs.jsonl
    python train/pairs.py --tree DIR --bugs bugs.jsonl --not sqlparse toolz --out pairs.jsonl

A proven task says that a test sees its bug; here that is not known. Bugs in tests and in functions that also stand in
one of the trees named by `--not` are left out.
"""

import argparse
import ast
import json
import random
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from conversation import Hunk, Place, conversation, difference, entities, judged, row, window


def functions(tree: ast.AST) -> list[tuple[int, int, str]]:
    """First and last line of every function longer than two lines, and what it does, without regard to layout."""
    return [
        (node.lineno, node.end_lineno, ast.dump(ast.Module(node.body, [])))
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno > 2
    ]


def parsed(content: str) -> ast.AST:
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def applied(content: bytes, edits: list[dict]) -> bytes:
    """The file with the bug."""
    for edit in sorted(edits, key=lambda one: -one["start"]):
        content = content[: edit["start"]] + edit["replacement"].encode() + content[edit["end"] :]
    return content


class Source:
    """A file as it is right."""

    def __init__(self, path: Path, held_out: set[str]) -> None:
        self.content = path.read_bytes()
        tree = parsed(self.content.decode(errors="replace"))
        self.entities = entities(tree)
        self.held_out = [(first, last) for first, last, what in functions(tree) if what in held_out] if held_out else []

    def is_held_out(self, line: int) -> bool:
        return any(first <= line <= last for first, last in self.held_out)


@dataclass
class Found:
    """A bug, and where it is."""

    bug: dict
    place: Place
    broken: list[str]
    right: list[str]
    hunk: Hunk
    chance: random.Random


def read(bug: dict, source: Source, options: argparse.Namespace) -> Found | str:
    """A bug, or why there is nothing to learn from it."""
    try:
        right = source.content.decode()
        broken = applied(source.content, bug["edits"]).decode()
    except UnicodeDecodeError:
        return "not UTF-8"
    # Line numbers are those of `cat` and `sed`, so only newlines end lines.
    right_lines, broken_lines = right.split("\n"), broken.split("\n")
    hunk = difference(broken_lines, right_lines)
    if hunk is None or "\r" in broken:
        return "nothing to put in place"
    if max(len(hunk.lines), len(hunk.was)) > options.most_lines:
        return "long change"
    if source.is_held_out(hunk.first):
        return "held out"
    # What ends behind the change ends elsewhere in the broken file.
    shift = len(broken_lines) - len(right_lines)
    behind = hunk.last - shift
    around = [(first, last + shift if last >= behind else last) for first, last in source.entities]
    chance = random.Random(f"{options.seed} {bug['id']} {bug['path']}")
    place = Place(bug["path"], *window(hunk, around, len(broken_lines), chance))
    return Found(bug, place, broken_lines, right_lines, hunk, chance)


def invented(shown: str, chance: random.Random) -> str:
    """A path of words that stand in the lines that are shown. Real ones are few, and a small model learns them by
    heart."""
    words = re.findall(r"[a-z]{2,10}", shown) or ["module"]
    letters = "abcdefghijklmnopqrstuvwxyz"

    def part() -> str:
        some = [
            chance.choice(words) if chance.random() < 0.6 else "".join(chance.choices(letters, k=chance.randint(2, 7)))
            for _ in range(chance.choice([1, 1, 1, 2, 2, 3]))
        ]
        return chance.choice(["", "", "_"]).join(some)

    parts = [part() for _ in range(chance.choice([1, 2, 2, 3, 3, 4]))]
    # As in `toolz/itertoolz.py`, parts are often made of those before them.
    if len(parts) > 1 and chance.random() < 0.3:
        parts[-1] = chance.choice([parts[0] + parts[-1], parts[-1] + parts[0], parts[0], parts[-1] + "_" + parts[0]])
    if chance.random() < 0.1:
        parts[-1] = "_" + parts[-1]
    return "/".join(parts) + ".py"


def wrong(one: Found, bugs: list[Found]) -> Hunk | None:
    """A change that does not repair the bug: another bug in the lines that the place names, or what stands in the place
    of the fault in other bugs. None, an attempt that changes nothing, where the file has neither, and sometimes."""
    changes = []
    for other in bugs:
        if other is one or not (one.hunk.is_one_line() and other.hunk.is_one_line()):
            continue
        at = other.hunk.first
        same = at == one.hunk.first and other.hunk.was not in (one.hunk.was, one.hunk.lines)
        near = at != one.hunk.first and one.place.first <= at <= one.place.last
        if same or near and one.broken[at - 1] == other.hunk.lines[0]:
            changes.append(Hunk(at, at, (one.broken[at - 1],), other.hunk.was))
    if not changes or one.chance.random() < 1 / 6:
        return None
    return one.chance.choice(changes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, required=True, help="the directory that the bugs were made from")
    parser.add_argument("--bugs", type=Path, required=True, help="what the example `bugs` printed")
    parser.add_argument("--not", dest="held_out", type=Path, nargs="*", default=[], help="trees to keep apart")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", help="the repository's name [default: the directory's]")
    parser.add_argument("--most-lines", type=int, default=8, help="no longer changes [%(default)s]")
    parser.add_argument("--only", nargs="*", default=[], help="only modifiers with one of these words in their names")
    parser.add_argument("--verifier", action="store_true", help="right and wrong fixes, with the answer of a verifier")
    parser.add_argument("--invented-paths", action="store_true", help="paths of chance in the place of the files' own")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    trees = [parsed(path.read_text(errors="replace")) for tree in options.held_out for path in tree.rglob("*.py")]
    held_out = {what for tree in trees for _, _, what in functions(tree)}
    name = options.name or options.tree.name
    counts: Counter[str] = Counter()
    sources: dict[str, Source] = {}
    found: dict[str, list[Found]] = {}
    with options.bugs.open() as bugs:
        for line in bugs:
            bug = json.loads(line)
            if options.only and not any(word in bug["modifier"] for word in options.only):
                continue
            path = bug["path"]
            if path not in sources:
                sources[path] = Source(options.tree / path, held_out)
            one = read(bug, sources[path], options)
            if isinstance(one, str):
                counts[one] += 1
            else:
                found.setdefault(path, []).append(one)
    with options.out.open("w") as out:
        for path, bugs in found.items():
            for one in bugs:
                bug = one.bug
                if options.invented_paths:
                    first, last = one.place.first, one.place.last
                    one.place = Place(invented("\n".join(one.broken[first - 1 : last]), one.chance), first, last)
                about = {"instance_id": f"{name}:{bug['id']}", "repository": name, "modifier": bug["modifier"]}
                if options.verifier:
                    attempt = one.hunk if one.chance.random() < 0.5 else wrong(one, bugs)
                    out.write(row(judged(one.place, one.broken, one.hunk, attempt), about, []) + "\n")
                else:
                    out.write(row(conversation(one.place, one.broken, one.hunk), about) + "\n")
                counts["rows"] += 1
    print(f"{name}: " + ", ".join(f"{count} {what}" for what, count in counts.most_common()), file=sys.stderr)


if __name__ == "__main__":
    main()
