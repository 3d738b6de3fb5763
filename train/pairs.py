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
import sys
from collections import Counter
from pathlib import Path

from conversation import Place, conversation, difference, entities, row, window


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, required=True, help="the directory that the bugs were made from")
    parser.add_argument("--bugs", type=Path, required=True, help="what the example `bugs` printed")
    parser.add_argument("--not", dest="held_out", type=Path, nargs="*", default=[], help="trees to keep apart")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", help="the repository's name [default: the directory's]")
    parser.add_argument("--most-lines", type=int, default=8, help="no longer changes [%(default)s]")
    parser.add_argument("--only", nargs="*", default=[], help="only modifiers with one of these words in their names")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    trees = [parsed(path.read_text(errors="replace")) for tree in options.held_out for path in tree.rglob("*.py")]
    held_out = {what for tree in trees for _, _, what in functions(tree)}
    name = options.name or options.tree.name
    counts: Counter[str] = Counter()
    sources: dict[str, Source] = {}
    with options.out.open("w") as out, options.bugs.open() as bugs:
        for line in bugs:
            bug = json.loads(line)
            if options.only and not any(word in bug["modifier"] for word in options.only):
                continue
            path = bug["path"]
            if path not in sources:
                sources = {path: Source(options.tree / path, held_out)}
            source = sources[path]
            try:
                right = source.content.decode()
                broken = applied(source.content, bug["edits"]).decode()
            except UnicodeDecodeError:
                counts["not UTF-8"] += 1
                continue
            # Line numbers are those of `cat` and `sed`, so only newlines end lines.
            right_lines, broken_lines = right.split("\n"), broken.split("\n")
            hunk = difference(broken_lines, right_lines)
            if hunk is None or "\r" in broken:
                counts["nothing to put in place"] += 1
                continue
            if len(hunk.lines) > options.most_lines or hunk.last - hunk.first >= options.most_lines:
                counts["long change"] += 1
                continue
            if source.is_held_out(hunk.first):
                counts["held out"] += 1
                continue
            # What ends behind the change ends elsewhere in the broken file.
            shift = len(broken_lines) - len(right_lines)
            behind = hunk.last - shift
            around = [(first, last + shift if last >= behind else last) for first, last in source.entities]
            chance = random.Random(f"{options.seed} {bug['id']} {path}")
            place = Place(path, *window(hunk, around, len(broken_lines), chance))
            about = {"instance_id": f"{name}:{bug['id']}", "repository": name, "modifier": bug["modifier"]}
            out.write(row(conversation(place, broken_lines, hunk), about) + "\n")
            counts["rows"] += 1
    print(f"{name}: " + ", ".join(f"{count} {what}" for what, count in counts.most_common()), file=sys.stderr)


if __name__ == "__main__":
    main()
