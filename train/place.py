"""Copies of tasks whose statements also say where the fault is.

    python train/place.py TASKS OUT

Finding the place is the larger part of most tasks, and beyond a model of a few million parameters. So its tasks name
file and lines: those of the innermost function or class around the change, at most 8. Nothing else differs; files
are linked, not copied.
"""

import argparse
import ast
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from conversation import Hunk, Place, difference, entities, window


def git(*arguments: str | Path, into: bytes | None = None) -> bytes:
    done = subprocess.run(["git", *map(str, arguments)], input=into, capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"place: git {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


class Trees:
    """The trees that tasks start from."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.clones: dict[tuple[int, int], Path] = {}

    def of(self, task: Path) -> Path:
        """A clone of the task's bundle. Tasks of one commit share the file."""
        bundle = task / "environment/repo.bundle"
        stat = bundle.stat()
        key = (stat.st_dev, stat.st_ino)
        if key not in self.clones:
            clone = self.scratch / str(len(self.clones))
            git("clone", "--quiet", bundle, clone)
            self.clones[key] = clone
        return self.clones[key]


def fix_of(task: Path, trees: Trees) -> tuple[str, list[str], Hunk] | str:
    """The file that the fix changes, its lines before, and the change; or why there is none."""
    clone = trees.of(task)
    git("-C", clone, "reset", "--quiet", "--hard")
    git("-C", clone, "clean", "--quiet", "-fdx")
    base = task / "environment/base.patch"
    if base.exists():
        git("-C", clone, "apply", "--whitespace=nowarn", base.resolve())
    gold = (task / "solution/gold.patch").resolve()
    paths = [line.split("\t")[2] for line in git("-C", clone, "apply", "--numstat", gold).decode().splitlines()]
    if len(paths) != 1:
        return f"the fix changes {len(paths)} files"
    path = paths[0]
    broken = (clone / path).read_bytes().decode(errors="replace").split("\n")
    git("-C", clone, "apply", "--whitespace=nowarn", gold)
    right = (clone / path).read_bytes().decode(errors="replace").split("\n")
    hunk = difference(broken, right)
    return (path, broken, hunk) if hunk else "the fix changes nothing"


def tasks_of(directory: Path) -> list[Path]:
    found = sorted(path.parent for path in directory.glob("*/task.toml"))
    if not found:
        raise SystemExit(f"place: there are no tasks in {directory}; name the directory that `palestra curate` wrote")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        trees = Trees(Path(scratch))
        written = 0
        for task in tasks_of(options.tasks):
            fix = fix_of(task, trees)
            if isinstance(fix, str):
                print(f"{task.name}: left out, {fix}", file=sys.stderr)
                continue
            path, broken, hunk = fix
            try:
                around = entities(ast.parse("\n".join(broken)))
            except (SyntaxError, ValueError):
                around = []
            place = Place(path, *window(hunk, around, len(broken), random.Random(task.name)))
            copy = options.out / task.name
            for source in task.rglob("*"):
                target = copy / source.relative_to(task)
                if source.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                elif source.name != "instruction.md" or source.parent != task:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.unlink(missing_ok=True)
                    os.link(source, target)
            statement = (task / "instruction.md").read_text()
            title, _, rest = statement.partition("\n")
            (copy / "instruction.md").write_text(f"{title}\n\n{place.sentence()}\n{rest}")
            written += 1
    print(f"{written} tasks are in {options.out}")


if __name__ == "__main__":
    main()
