"""How well scores tell right from wrong."""

import json
import subprocess
import sys
from pathlib import Path

from auc import area

TRAIN = Path(__file__).parents[1]


def test_areas() -> None:
    assert area([(0.9, True), (0.1, False)]) == 1
    assert area([(0.1, True), (0.9, False)]) == 0
    assert area([(0.5, True), (0.5, False)]) == 0.5
    assert area([(0.5, True)]) is None


def test_rankings_are_compared(tmp_path: Path) -> None:
    attempts = [(f"t{at % 5}__{at}", at % 5, at % 2 == 0) for at in range(20)]
    for name, task, right in attempts:
        (tmp_path / "job" / name).mkdir(parents=True)
        verdict = {"verdict": "resolved" if right else "unresolved"}
        attempt = {"instance_id": f"t{task}", "verdict": verdict}
        (tmp_path / "job" / name / "attempt.json").write_text(json.dumps(attempt))

    def ranking(name: str, score: dict[bool, dict], left_out: int) -> Path:
        tasks: dict = {}
        for at, (trial, task, right) in enumerate(attempts):
            if at != left_out:
                attempt = {"candidate": {"id": trial, "scores": {}}, **score[right]}
                attempt["candidate"]["scores"] = attempt.pop("scores", {})
                tasks.setdefault(f"t{task}", {"attempts": []})["attempts"].append(attempt)
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"tasks": tasks}))
        return path

    critic = ranking("critic", {True: {"scores": {"critic": 0.2}}, False: {"scores": {"critic": 0.7}}}, -1)
    judge = ranking("judge", {True: {"judged": {"score": 0.8}}, False: {"judged": {"score": 0.3}}}, 3)
    command = [sys.executable, TRAIN / "auc.py", critic, judge, "--jobs", tmp_path / "job"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "19 attempts at 5 tasks, 10 right; 1 have no score",
        "critic: 0.000 (0.000 to 0.000)",
        "judge: 1.000 (1.000 to 1.000)",
    ]
