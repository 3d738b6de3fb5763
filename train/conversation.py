"""The conversation in which a small agent repairs a fault whose place it is told: view, edit, submit.

What the tasks, the expert and the pairs of unproven bugs have in common. The agent is palestra's `mini` with native
calls: one tool, bash.
"""

import ast
import difflib
import json
import random
import re
from dataclasses import dataclass

WINDOW = 8
"""At most so many lines of a file are named as the place, and so shown."""

SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"

NOTHING = "(nothing was changed)"
"""What a verifier sees of an attempt without a patch."""

TOOL = {
    "type": "function",
    "function": {
        "name": "bash",
        "description": "Execute a bash command",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string", "description": "The bash command to execute"}},
            "required": ["command"],
        },
    },
}

_PIECES = re.compile(r"\w+|\s+|[^\w\s]+")
_PLACE = re.compile(r"The fault is in `(?P<path>[^`\n]+)`, lines (?P<first>\d+) to (?P<last>\d+)\.")


@dataclass(frozen=True)
class Place:
    """Lines of a file, counted from 1, the last one included."""

    path: str
    first: int
    last: int

    def sentence(self) -> str:
        return f"The fault is in `{self.path}`, lines {self.first} to {self.last}."

    @staticmethod
    def of(text: str) -> "Place | None":
        """The place that a statement names."""
        found = _PLACE.search(text)
        return found and Place(found["path"], int(found["first"]), int(found["last"]))


@dataclass(frozen=True)
class Hunk:
    """Lines `first` to `last` of a file, which were `was`, become `lines`. It always replaces at least one line."""

    first: int
    last: int
    was: tuple[str, ...]
    lines: tuple[str, ...]

    def is_one_line(self) -> bool:
        return len(self.was) == len(self.lines) == 1


def view(place: Place) -> str:
    """The command that shows the place."""
    return f"cat -n {place.path} | sed -n {place.first},{place.last}p"


def edit(path: str, hunk: Hunk) -> str:
    """The command that makes a change: of one line, what is different in it; of more, all of them."""
    if hunk.is_one_line():
        old, new = substitution(hunk.was[0], hunk.lines[0])
        # What the shell or `sed` would take for an end is put in place as a whole line.
        if old and not any(mark in old + new for mark in "~'\n"):
            old, new = re.sub(r"([\\.*[\]^$])", r"\\\1", old), re.sub(r"([\\&])", r"\\\1", new)
            return f"sed -i '{hunk.first}s~{old}~{new}~' {path}"
    # There must be something: `sed` needs a line to put in place.
    text = "\\\n".join(line.replace("\\", "\\\\") for line in hunk.lines)
    return f"sed -i -f- {path} <<'E'\n{hunk.first},{hunk.last}c\\\n{text}\nE"


def substitution(was: str, now: str) -> tuple[str, str]:
    """What is put in place of what, in whole words and signs. The first such place in the line is the one meant."""
    start, end, end_now = 0, len(was), len(now)
    while start < min(end, end_now) and was[start] == now[start]:
        start += 1
    while min(end, end_now) > start and was[end - 1] == now[end_now - 1]:
        end, end_now = end - 1, end_now - 1
    before, behind = was[:start], was[end:]
    pieces = [0, *(piece.end() for piece in _PIECES.finditer(was))]
    start = max(piece for piece in pieces if piece <= start)
    end = min(piece for piece in pieces if piece >= end)
    # To the left, until it is something, and until nothing like it stands before it.
    while start > 0 and (not was[start:end].strip() or was.index(was[start:end]) != start):
        start = max(piece for piece in pieces if piece < start)
    if not was[start:end].strip():
        end = len(was)
    changed = now[len(before) : len(now) - len(behind)]
    return was[start:end], before[start:] + changed + was[len(was) - len(behind) : end]


def difference(broken: list[str], right: list[str]) -> Hunk | None:
    """The smallest run of lines that makes one of the other. Nothing where they are the same."""
    if broken == right:
        return None
    shortest = min(len(broken), len(right))
    start = 0
    while start < shortest and broken[start] == right[start]:
        start += 1
    end = 0
    while end < shortest - start and broken[-1 - end] == right[-1 - end]:
        end += 1
    # Lines that only come or only go are told by the one before them, or after them.
    if start == len(broken) - end or start == len(right) - end:
        if start > 0:
            start -= 1
        else:
            end -= 1
    was, lines = broken[start : len(broken) - end], right[start : len(right) - end]
    return Hunk(start + 1, start + len(was), tuple(was), tuple(lines))


def entities(tree: ast.AST) -> list[tuple[int, int]]:
    """First and last line of every function and class, decorators included."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [
        (min([node.lineno, *(one.lineno for one in node.decorator_list)]), node.end_lineno)
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    ]


def window(hunk: Hunk, entities: list[tuple[int, int]], count: int, chance: random.Random) -> tuple[int, int]:
    """The lines of the innermost function or class around a change in a file of `count` lines; of a longer one `WINDOW`
    lines, placed by chance. `entities` are those of the file as it is."""
    around = [(first, last) for first, last in entities if first <= hunk.first and hunk.last <= last]
    first, last = min(around, key=lambda one: one[1] - one[0], default=(1, count))
    last = min(last, count)
    if last - first < WINDOW:
        return first, last
    lowest = max(first, hunk.last - WINDOW + 1)
    highest = min(hunk.first, last - WINDOW + 1)
    start = chance.randint(lowest, highest) if lowest <= highest else hunk.first
    return start, min(start + WINDOW - 1, last)


def conversation(place: Place, broken: list[str], hunk: Hunk) -> list[dict]:
    """What palestra would record of an agent that knows the fix."""
    shown = "".join(f"{at:6}\t{broken[at - 1]}\n" for at in range(place.first, place.last + 1))
    messages: list[dict] = [{"role": "user", "content": place.sentence()}]
    answers = [shown, ""]
    for at, command in enumerate([view(place), edit(place.path, hunk), SUBMIT]):
        call = {"id": f"call_{at}", "type": "function", "function": {"name": "bash", "arguments": {"command": command}}}
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        if at < len(answers):
            text = f"<returncode>0</returncode>\n<output>\n{answers[at]}</output>"
            messages.append({"role": "tool", "content": text, "tool_call_id": f"call_{at}"})
    return messages


def judged(place: Place, broken: list[str], right: Hunk, attempt: Hunk | None) -> list[dict]:
    """What a verifier is asked about an attempt, in the form of `palestra export` with `verifier = "patch"`, and what it
    should say."""
    patch = NOTHING
    if attempt is not None:
        after = [*broken[: attempt.first - 1], *attempt.lines, *broken[attempt.last :]]
        changes = difflib.unified_diff(broken, after, f"a/{place.path}", f"b/{place.path}", lineterm="")
        patch = "\n".join([f"diff --git a/{place.path} b/{place.path}", *changes, ""])
    question = "Will the hidden tests pass? Answer with YES or NO."
    user = f"# Issue\n\n{place.sentence()}\n\n# Patch\n\n{patch}\n\n# Question\n\n{question}"
    answer = f"<judgement>{'YES' if attempt == right else 'NO'}</judgement>"
    return [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]


def row(messages: list[dict], about: dict, tools: list[dict] | None = None) -> str:
    """A line of a training set, as `palestra export --for trl --file jsonl` writes it."""
    tools = [TOOL] if tools is None else tools
    return json.dumps({"messages": messages, "tools": tools, **about}, ensure_ascii=False)
