"""Runs unittest and writes what happened, test by test, to a file.

    python unittest_runner.py RESULTS ROOT [path]...

Python 2.7 to 3.14, standard library only. Ids have pytest's shape: path::Class::method. RESULTS
is a file, or `-` for what is standard output at the start (see palestra_channel.py).
"""

import os
import re
import sys
import time
import traceback
import unittest

from palestra_channel import Channel, leave, tail
from palestra_guard import Guard

PATTERN = re.compile(r"(test.*|.*_tests?)\.py$")


class Result(unittest.TestResult):
    """Writes each event at once."""

    def __init__(self, channel, names):
        super(Result, self).__init__()
        self.channel = channel
        self.names = names
        self.ended = set()
        self.begun = 0.0
        self.said = False

    def name(self, test):
        return self.names.get(id(test)) or str(test)

    def phase(self, name, when, outcome, message=""):
        self.said = self.said or when == "call"
        seconds = max(0.0, time.time() - self.begun) if when == "call" else 0.0
        self.channel.write("phase", [("id", name), ("when", when), ("outcome", outcome),
                                     ("seconds", float(seconds)), ("message", tail(message))])

    def startTest(self, test):
        super(Result, self).startTest(test)
        self.begun = time.time()
        self.said = False
        self.channel.write("start", [("id", self.name(test))])

    def stopTest(self, test):
        super(Result, self).stopTest(test)
        name = self.name(test)
        # In some versions a test says nothing when all that failed in it was announced.
        self.phase(name, "teardown", "passed" if self.said else "failed")
        self.ended.add(name)

    def text(self, error):
        return "".join(traceback.format_exception(*error))

    def addSuccess(self, test):
        self.phase(self.name(test), "call", "passed")

    def addFailure(self, test, err):
        super(Result, self).addFailure(test, err)
        self.phase(self.name(test), "call", "failed", self.text(err))

    def addError(self, test, err):
        super(Result, self).addError(test, err)
        if id(test) in self.names:
            self.phase(self.name(test), "call", "failed", self.text(err))
        else:
            self.fixture(test, "failed", self.text(err))

    def addSkip(self, test, reason):
        super(Result, self).addSkip(test, reason)
        if id(test) in self.names:
            self.phase(self.name(test), "call", "skipped", reason)
        else:
            self.fixture(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        super(Result, self).addExpectedFailure(test, err)
        self.phase(self.name(test), "call", "xfailed", self.text(err))

    def addUnexpectedSuccess(self, test):
        super(Result, self).addUnexpectedSuccess(test)
        # pytest calls this a failure, and so does the exit status of unittest.
        self.phase(self.name(test), "call", "failed", "unexpected success")

    def addSubTest(self, test, subtest, err):
        super(Result, self).addSubTest(test, subtest, err)
        if err is not None:
            self.phase(self.name(test), "call", "failed", self.text(err))

    def fixture(self, holder, outcome, message):
        """setUpClass, tearDownModule and their like: counts for every test below it."""
        match = re.match(r"(\w+) \((.+)\)$", str(holder))
        place = match.group(2) if match else ""
        for test, name in list(self.below(place)):
            if match and match.group(1).startswith("setUp") and name in self.ended:
                continue
            self.phase(name, "setup", outcome, message)
            self.phase(name, "teardown", "passed")

    def below(self, place):
        for test in self.names.get("tests", ()):
            kind = type(test)
            full = kind.__module__ + "." + getattr(kind, "__qualname__", kind.__name__)
            if place in ("", kind.__module__, full):
                yield test, self.names[id(test)]


def files(root, path):
    """The test files that a path means."""
    full = os.path.join(root, path)
    if not os.path.isdir(full):
        return [path]
    found = []
    for place, folders, names in os.walk(full):
        folders.sort()
        found.extend(os.path.relpath(os.path.join(place, name), root)
                     for name in sorted(names) if PATTERN.match(name))
    return found


def load(root, path):
    """The module of a file, under the name that its packages give it. The folder of the topmost
    package is put on the path, as pytest does."""
    full = os.path.join(root, path)
    folder, name = os.path.split(os.path.splitext(full)[0])
    parts = [name]
    while folder != root and os.path.exists(os.path.join(folder, "__init__.py")):
        folder, name = os.path.split(folder)
        parts.insert(0, name)
    if folder not in sys.path:
        sys.path.insert(1, folder)
    module = ".".join(parts)
    known = sys.modules.get(module)
    if known is not None and os.path.splitext(os.path.realpath(known.__file__ or ""))[0] \
            != os.path.splitext(os.path.realpath(full))[0]:
        # Another file of this name is loaded: take the name from the root of the repository.
        module = os.path.splitext(path)[0].replace("/", ".")
    __import__(module)
    return sys.modules[module]


def flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            for inner in flatten(test):
                yield inner
        else:
            yield test


def main(argv):
    channel = Channel(argv[1])
    root = os.path.realpath(argv[2])
    channel.write("session", [("format", 1), ("runner", "unittest"),
                              ("python", sys.version.split()[0])])
    sys.path[0] = root
    sys.argv = [argv[0]]
    guard = Guard(channel, root)
    guard.remember(("unittest",))
    busy = guard.listen()
    loader = unittest.TestLoader()
    suites = []
    names = {"tests": []}
    broken = False
    for given in argv[3:]:
        if not os.path.lexists(os.path.join(root, given)):
            channel.write("missing", [("file", given)])
            continue
        for path in files(root, given):
            channel.write("collecting", [("file", path)])
            try:
                suite = loader.loadTestsFromModule(load(root, path))
                tests = list(flatten(suite))
            except unittest.SkipTest as error:
                channel.write("collect_skip", [("file", path), ("message", tail(str(error)))])
                continue
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException:
                broken = True
                channel.write("collect_error", [("file", path),
                                                ("message", tail(traceback.format_exc()))])
                continue
            ids = []
            for test in tests:
                kind = getattr(type(test), "__qualname__", type(test).__name__)
                method = getattr(test, "_testMethodName", str(test))
                name = "::".join([path] + kind.split(".") + [method])
                names[id(test)] = name
                ids.append(name)
            names["tests"].extend(tests)
            for start in range(0, len(ids), 100):
                channel.write("collected", [("ids", ids[start:start + 100])])
            suites.append(suite)
    # Files of the grader's that were there to be loaded, and that no test should find.
    for path in channel.extra:
        try:
            os.unlink(os.path.join(root, path))
        except (OSError, IOError):
            pass
    result = Result(channel, names)
    # One suite, so that fixtures of classes and modules run as they do for unittest.
    unittest.TestSuite(suites).run(result)
    for problem in result.failures + result.errors:
        sys.stderr.write("%s\n%s\n" % (problem[0], problem[1]))
    status = 0 if result.wasSuccessful() and not broken else 1
    if result.testsRun == 0 and not broken:
        status = 5
    guard.compare(busy)
    channel.write("exit", [("status", status)])
    leave(status)


if __name__ == "__main__":
    main(sys.argv)
