"""Grades the repository in /testbed by the task.json beside this file.

    python grade.py SECONDS

Python 3.6 or newer, standard library only. Strict: a test that is missing, was skipped or did
not come to its end has not passed.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TESTBED = "/testbed"
ENV = "/opt/env"
HOME = "/opt/palestra"
LOGS = "/logs/verifier"
PROGRAMS = {"pytest": "pytest_plugin.py", "unittest": "unittest_runner.py"}
BADNESS = ["passed", "xpass", "xfail", "skipped", "failed", "error"]
INSTALL_NAMES = @INSTALL_NAMES@
INSTALL_EXTENSIONS = @INSTALL_EXTENSIONS@


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def lay(task, stored):
    """The hidden files, over whatever the agent left in their places."""
    for file in task["test_files"]:
        parts = file["path"].split("/")
        if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
            raise SystemExit("refused: the hidden file %r leads out of the repository" % file["path"])
        place = TESTBED
        for part in parts[:-1]:
            place = os.path.join(place, part)
            if os.path.islink(place) or (os.path.lexists(place) and not os.path.isdir(place)):
                remove(place)
        path = os.path.join(TESTBED, *parts)
        remove(path)
        if file.get("hash") is None:
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(os.path.join(HERE, "files", stored[file["path"]]), "rb") as source:
            content = source.read()
        if file["mode"] == 0o120000:
            os.symlink(content, os.fsencode(path))
            continue
        with open(path, "wb") as target:
            target.write(content)
        os.chmod(path, file["mode"] & 0o777)


def variables(task):
    fixed = @VARIABLES@
    fixed.update(task["environment"].get("env", {}))
    return fixed


def run(argv, environ, seconds):
    """Exit status, negative for signals; None if it had to be killed at its deadline."""
    child = subprocess.Popen(argv, cwd=TESTBED, env=environ, stdin=subprocess.DEVNULL,
                             start_new_session=True)
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except OSError:
            pass
        child.wait()


def changed():
    """Paths that differ from the commit the agent started from; None if git cannot tell."""
    git = ["git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", TESTBED]
    paths = []
    for command in (["diff", "--name-only", "-z", "--no-ext-diff", "HEAD"],
                    ["ls-files", "--others", "-z"]):
        try:
            output = subprocess.check_output(git + command, stderr=subprocess.DEVNULL, timeout=120)
        except (OSError, subprocess.SubprocessError):
            return None
        paths.extend(os.fsdecode(path) for path in output.split(b"\0") if path)
    return paths


def needs_reinstall(paths):
    def reads(path):
        name = path.rpartition("/")[2]
        extension = name.rpartition(".")[2].lower() if "." in name else ""
        return name in INSTALL_NAMES or extension in INSTALL_EXTENSIONS

    return paths is None or any(reads(path) for path in paths)


def install_command(argv):
    """The install step, with the environment's pip where an image has no uv."""
    if argv[:2] != ["uv", "pip"] or shutil.which("uv", path=ENV + "/bin:/opt/uv:/usr/bin"):
        return argv
    rest = ["--no-index" if word == "--offline" else word for word in argv[2:]]
    return [ENV + "/bin/python", "-m", "pip"] + rest


class Record(object):
    """What one session wrote."""

    def __init__(self, path):
        self.tests = {}
        self.ended = set()
        self.begun = set()
        self.collected = set()
        self.errors = {}
        self.active = self.collecting = self.exit = None
        self.started = self.broken = self.contradicted = False
        try:
            with open(path, "rb") as file:
                lines = file.read().split(b"\n")
        except OSError:
            lines = []
        for line in lines:
            try:
                event = json.loads(line.decode("ascii"))
                self.take(event["e"], event)
            except (ValueError, KeyError, TypeError):
                continue
        for test in self.begun - self.ended:
            if self.tests.get(test) not in ("failed", "error"):
                self.tests[test] = "error"

    def take(self, kind, event):
        self.contradicted = self.contradicted or self.exit is not None
        if kind == "session":
            self.started = True
        elif kind == "collecting":
            self.collecting = event["file"]
        elif kind == "collected":
            self.collected.update(event["ids"])
        elif kind == "collect_error":
            self.errors[event["file"]] = event["message"]
        elif kind == "collect_skip":
            worsen(self.tests, event["file"], "skipped")
        elif kind == "start":
            self.begun.add(event["id"])
            self.active, self.collecting = event["id"], None
        elif kind == "internal_error":
            self.broken = True
        elif kind == "exit":
            self.exit = event["status"]
        elif kind == "phase":
            test, when, outcome = event["id"], event["when"], event["outcome"]
            status = {"xfailed": "xfail", "xpassed": "xpass"}.get(outcome, outcome)
            if status == "failed" and when != "call":
                status = "error"
            worsen(self.tests, test, status)
            self.begun.add(test)
            if when == "teardown":
                self.ended.add(test)
                if self.active == test:
                    self.active = None

    def finished(self, status):
        return self.exit == status and status in (0, 1, 5) and not self.contradicted

    def died_in(self, status):
        if self.finished(status):
            return None
        if self.active:
            return self.active
        return self.collecting if self.broken or self.exit is None else None

    def complete(self, file):
        tests = [test for test in self.collected if test.partition("::")[0] == file]
        return file in self.errors or file in self.tests or bool(tests) and all(
            test in self.tests and test != self.active for test in tests)


def worsen(tests, test, status):
    known = tests.get(test)
    if known is None or BADNESS.index(status) > BADNESS.index(known):
        tests[test] = status


class Bench(object):
    def __init__(self, task, seconds):
        self.task = task
        self.environ = variables(task)
        self.seconds = seconds
        self.sessions = 0

    def session(self, paths, seconds):
        results = "%s/results-%d.jsonl" % (HOME, self.sessions)
        self.sessions += 1
        remove(results)
        program = "%s/%s" % (HOME, PROGRAMS[self.task["environment"]["runner"]])
        argv = [ENV + "/bin/python", program, results, TESTBED] + paths
        status = run(argv, self.environ, seconds)
        return status, Record(results)

    def run(self, paths):
        """All at once; where that dies, what it did not come to one file at a time."""
        status, first = self.session(paths, self.seconds)
        tests, errors = dict(first.tests), dict(first.errors)
        finished = first.finished(status)
        died_in = first.died_in(status)
        timed_out = status is None
        left = [] if finished or not first.started else left_over(first, paths, died_in)
        deadline = time.monotonic() + self.seconds
        whole = died_in is None and bool(left)
        for number, path in enumerate(left):
            # Half of what is left to each, so that one that hangs leaves something to the rest.
            seconds = (deadline - time.monotonic()) / (2 if number + 1 < len(left) else 1)
            if seconds < 0.1:
                whole, timed_out = False, True
                break
            status, record = self.session([path], seconds)
            timed_out = timed_out or status is None
            whole = whole and record.finished(status)
            for test, outcome in record.tests.items():
                worsen(tests, test, outcome)
            errors.update(record.errors)
        return {"tests": tests, "collection_errors": errors, "finished": finished or whole,
                "started": first.started, "timed_out": timed_out, "died_in": died_in}


def left_over(record, paths, died_in):
    def below(file, path):
        return file == path or file.startswith(path.rstrip("/") + "/")

    files = set()
    for path in paths:
        found = set(test.partition("::")[0] for test in record.collected)
        found = set(file for file in found if below(file, path))
        files.update(found or [path])
    if record.collecting and any(below(record.collecting, path) for path in paths):
        files.add(record.collecting)
    if len(files) == 1:
        return []
    dead = died_in.partition("::")[0] if died_in else None
    return sorted(file for file in files if file != dead and not record.complete(file))


def main():
    with open(os.path.join(HERE, "task.json"), "rb") as file:
        form = json.loads(file.read().decode("utf-8"))
    task = form["task"]
    lay(task, form["stored"])
    os.makedirs(HOME, exist_ok=True)
    for name in os.listdir(os.path.join(HERE, "runner")):
        shutil.copyfile(os.path.join(HERE, "runner", name), os.path.join(HOME, name))
    bench = Bench(task, float(sys.argv[1]))
    install = install_command(task["environment"].get("install") or [])
    report = {"tests": {}, "collection_errors": {}, "finished": False, "started": False}
    if install and needs_reinstall(changed()) and run(install, bench.environ, bench.seconds) != 0:
        report["install_failed"] = True
    else:
        report = bench.run(task["test_paths"])
    wanted = task["fail_to_pass"] + task["pass_to_pass"]
    bad = [test for test in wanted if report["tests"].get(test) not in ("passed", "xpass")]
    resolved = bool(task["fail_to_pass"]) and not bad and report["finished"]
    report["not_passed"] = bad
    report["resolved"] = resolved
    with open(os.path.join(LOGS, "report.json"), "w") as file:
        json.dump(report, file, indent=2, sort_keys=True)
    with open(os.path.join(LOGS, "reward.txt"), "w") as file:
        file.write("1\n" if resolved else "0\n")
    print("%d of %d tests did not pass" % (len(bad), len(wanted)))
    print("resolved" if resolved else "unresolved")


if __name__ == "__main__":
    main()
