"""How well scores tell right attempts from wrong ones: the area under the ROC curve, with an interval.

    palestra rank jobs/J --no-execution --preset critic --json > critic.json
    palestra rank jobs/J --no-execution --preset execution-free --judge small --base-url URL --json > judge.json
    python train/auc.py critic.json judge.json --jobs jobs/J

Only attempts that have every score and a verdict are counted. The interval (95 %) is a bootstrap over tasks.
"""

import argparse
import json
import random
import sys
from pathlib import Path


def scores(ranking: dict) -> dict[str, float]:
    """By attempt: what it was ranked by."""
    found = {}
    for task in ranking["tasks"].values():
        for attempt in task["attempts"]:
            has = attempt["candidate"]["scores"]
            judged = attempt.get("judged") or {}
            score = judged.get("score") if judged else has.get("critic")
            if score is not None:
                found[attempt["candidate"]["id"]] = score
    return found


def verdicts(jobs: list[Path]) -> dict[str, tuple[str, bool]]:
    """By attempt: its task, and whether it is resolved."""
    found = {}
    for path in (path for job in jobs for path in job.glob("*/attempt.json")):
        attempt = json.loads(path.read_text())
        verdict = (attempt.get("verdict") or {}).get("verdict")
        if verdict in ("resolved", "unresolved"):
            found[path.parent.name] = (attempt["instance_id"], verdict == "resolved")
    return found


def area(pairs: list[tuple[float, bool]]) -> float | None:
    """The share of pairs of a right and a wrong one in which the right one has more; equals count half."""
    right = [score for score, is_right in pairs if is_right]
    wrong = [score for score, is_right in pairs if not is_right]
    if not right or not wrong:
        return None
    won = sum((a > b) + (a == b) / 2 for a in right for b in wrong)
    return won / (len(right) * len(wrong))


def interval(by_task: list[list[tuple[float, bool]]], seed: int, rounds: int = 2000) -> tuple[float, float]:
    """2.5 % and 97.5 % of the areas of tasks drawn with replacement."""
    chance = random.Random(seed)
    drawn = (area(sum(chance.choices(by_task, k=len(by_task)), [])) for _ in range(rounds))
    areas = sorted(one for one in drawn if one is not None)
    return areas[int(len(areas) * 0.025)], areas[int(len(areas) * 0.975)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rankings", type=Path, nargs="+", help="what `palestra rank --json` printed")
    parser.add_argument("--jobs", type=Path, nargs="+", required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    known = verdicts(options.jobs)
    ranked = {path: scores(json.loads(path.read_text())) for path in options.rankings}
    counted = [one for one in known if all(one in found for found in ranked.values())]
    tasks = {known[one][0] for one in counted}
    right = sum(known[one][1] for one in counted)
    print(f"{len(counted)} attempts at {len(tasks)} tasks, {right} right; {len(known) - len(counted)} have no score")
    for path, found in ranked.items():
        by_task = [[(found[one], known[one][1]) for one in counted if known[one][0] == task] for task in sorted(tasks)]
        value = area(sum(by_task, []))
        if value is None:
            sys.exit("auc: all attempts are right, or all are wrong")
        low, high = interval(by_task, options.seed)
        print(f"{path.stem}: {value:.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
