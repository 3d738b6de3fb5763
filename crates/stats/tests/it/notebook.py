"""R2E-Gym's way to estimate best@k, to be timed: for every number of attempts k it draws 1,000 subsets,
and four times sorts and filters each as lists of tuples. Takes the number of tasks; prints seconds of CPU
for one task."""

import random
import sys
import time

try:
    import numpy

    mean, any_of, kind = numpy.mean, numpy.any, "numpy"

    def draw(n, k):
        return numpy.random.choice(range(n), size=k, replace=False)

except ImportError:
    any_of, kind = any, "plain Python"

    def mean(values):
        return sum(values) / len(values)

    def draw(n, k):
        return random.sample(range(n), k)


ATTEMPTS, TRIALS = 26, 1000
EF, REGRESSION, REPRODUCTION, RIGHT = range(4)


def keep_max(rows, by):
    rows.sort(reverse=True, key=lambda row: row[by])
    best = rows[0][by]
    return [row for row in rows if row[by] == best]


def rate(rows):
    return mean([row[RIGHT] for row in rows])


def execution_based(rows):
    return rate(keep_max(keep_max(list(rows), REGRESSION), REPRODUCTION))


def execution_free(rows):
    return rate(keep_max(list(rows), EF))


def hybrid(rows):
    rows = sorted(rows, reverse=True, key=lambda row: row[:RIGHT])
    rows = rows[: max(3, int(len(rows) * 0.5))]
    return rate(keep_max(keep_max(keep_max(rows, REGRESSION), REPRODUCTION), EF))


def task():
    return [
        (random.random(), 20 - random.randrange(3), random.randrange(6), random.random() < 0.3)
        for _ in range(ATTEMPTS)
    ]


tasks = int(sys.argv[1])
begin = time.process_time()
for _ in range(tasks):
    attempts = task()
    for k in range(1, ATTEMPTS + 1):
        for _ in range(TRIALS):
            rows = [attempts[i] for i in draw(ATTEMPTS, k)]
            any_of([row[RIGHT] for row in rows])
            execution_based(rows)
            execution_free(rows)
            hybrid(rows)
print((time.process_time() - begin) / tasks, kind, sep="\t")
