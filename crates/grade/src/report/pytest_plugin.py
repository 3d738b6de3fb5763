"""Runs pytest and writes what happened, test by test, to a file.

    python pytest_plugin.py RESULTS ROOT [path]...

Python 2.7 to 3.14, pytest 2.8 to 9, standard library only. PYTEST_DONT_REWRITE

ROOT is the repository; paths in ids are relative to it. RESULTS is a file, or `-` for what is
standard output at the start (see palestra_channel.py). The plugin is handed to pytest as an
object, so that nothing in the repository can stand in for it and workers of xdist lack it.
"""

import gc
import os
import sys
import traceback

from palestra_channel import Channel, leave, tail
from palestra_guard import Guard

# Packages without which pytest does not run. Whatever the repository calls by one of these names
# is what it tests, and is imported as it would be without us.
PACKAGES = ("pytest", "_pytest", "pluggy", "py", "attr", "attrs", "iniconfig", "packaging",
            "tomli", "more_itertools", "importlib_metadata", "zipp", "wcwidth", "atomicwrites",
            "six", "exceptiongroup", "colorama", "pygments", "funcsigs", "pathlib2",
            "typing_extensions", "setuptools", "pkg_resources", "toml", "importlib_resources")


class Reporter(object):
    """The plugin."""

    def __init__(self, channel, guard, root, version):
        self.channel = channel
        self.guard = guard
        self.root = root
        self.version = version
        self.base = root
        self.collecting = None
        self.ids = {}
        # The grader's own files; nobody reads how their tests failed.
        self.own = frozenset(channel.extra)

    # Names of things

    def relative(self, path):
        """``path`` relative to the repository, if it is below it."""
        path = path.replace(os.sep, "/")
        if path == self.root:
            return "."
        if path.startswith(self.root + "/"):
            return path[len(self.root) + 1:]
        return path

    def name(self, nodeid, path=None):
        """A node id with its path made relative to the repository."""
        found = self.ids.get(nodeid)
        if found is not None:
            return found
        head, mark, rest = nodeid.partition("::")
        if path is None:
            if not head.startswith("/"):
                head = self.base + "/" + head if head not in ("", ".") else self.base
            path = simplify(head)
        before, bracket, parameters = rest.partition("[")
        # Up to pytest 3, instances of classes are part of the name.
        before = (mark + before).replace("::()", "")
        return self.relative(path) + before + bracket + parameters

    # Configuration

    def pytest_configure(self, config):
        # xdist, if it is there and asked for by the project, starts workers after this: no.
        if getattr(config.option, "dist", "no") != "no":
            config.option.dist = "no"
            config.option.tx = []
        # pytest-randomly: no order of its own, and the same seed in every run.
        if hasattr(config.option, "randomly_reorganize"):
            config.option.randomly_reorganize = False
            config.option.randomly_seed = 0

    # Collection

    def pytest_sessionstart(self, session):
        config = session.config
        base = getattr(config, "rootpath", None) or getattr(config, "rootdir", None)
        if base is not None:
            self.base = os.path.realpath(str(base)).rstrip("/")
        self.channel.write("ready", [("rootdir", self.base)])

    def pytest_collectstart(self, collector):
        path = location(collector)
        if path is not None and path != self.collecting and path.endswith(".py"):
            self.collecting = path
            self.channel.write("collecting", [("file", self.relative(path))])

    def pytest_collectreport(self, report):
        if report.outcome == "passed":
            return
        where = self.name(report.nodeid).partition("::")[0]
        event = "collect_skip" if report.outcome == "skipped" else "collect_error"
        self.channel.write(event, [("file", where), ("message", explain(report))])

    def pytest_collection_finish(self, session):
        names = []
        for item in session.items:
            name = self.name(item.nodeid, location(item))
            self.ids[item.nodeid] = name
            names.append(name)
            if name.partition("::")[0] in self.own:
                item.repr_failure = lambda *args, **more: "failed"
        for start in range(0, len(names), 100):
            self.channel.write("collected", [("ids", names[start:start + 100])])
        self.channel.write("collection_done", [("count", len(names))])
        self.guard.hooks(session.config)
        # Files of the grader's that were there to be collected, and that no test should find.
        for path in self.channel.extra:
            try:
                os.unlink(os.path.join(self.root, path))
            except (OSError, IOError):
                pass

    def forget(self, terminal):
        """Leaves the grader's own tests out of what is printed at the end."""
        own = self.own
        for reports in getattr(terminal, "stats", {}).values():
            if isinstance(reports, list):
                reports[:] = [report for report in reports if not hasattr(report, "nodeid")
                              or self.name(report.nodeid).partition("::")[0] not in own]

    # Running

    def pytest_runtest_logstart(self, nodeid, location):
        self.channel.write("start", [("id", self.name(nodeid))])

    def pytest_runtest_logreport(self, report):
        outcome = report.outcome
        if outcome not in ("passed", "failed", "skipped"):
            return  # "rerun": a later report of the same test counts.
        if hasattr(report, "wasxfail"):
            if outcome == "skipped":
                outcome = "xfailed"
            elif outcome == "passed" or self.version.startswith("2."):
                outcome = "xpassed"
        if outcome != "failed" and type(report).__name__ in ("SubtestReport", "SubTestReport"):
            return  # The test itself reports too; only a failing part must not be lost.
        if outcome == "passed" and report.when == "setup":
            return
        name = self.name(report.nodeid)
        pairs = [
            ("id", name),
            ("when", report.when),
            ("outcome", outcome),
            ("seconds", float(getattr(report, "duration", 0.0))),
        ]
        if outcome != "passed" and name.partition("::")[0] not in self.own:
            pairs.append(("message", explain(report)))
        # A test is over when its teardown is: what went well waits for that, and then for the
        # next test, before which nothing of the repository runs.
        self.channel.write("phase", pairs, outcome == "passed")

    def pytest_internalerror(self, excrepr):
        self.channel.write("internal_error", [("message", tail(str(excrepr)))])

    def pytest_sessionfinish(self, session, exitstatus):
        self.guard.hooks(session.config)
        if self.channel.extra:
            self.forget(session.config.pluginmanager.getplugin("terminalreporter"))
        self.channel.write("finish", [("status", int(exitstatus))])


def simplify(path):
    """``path`` without ``.`` and ``..``; asks nothing of the file system."""
    parts = []
    for part in path.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    return "/" + "/".join(parts)


def location(node):
    """Absolute path of the file of a collector or an item."""
    path = getattr(node, "path", None)
    if path is None or not str(path).startswith("/"):
        path = getattr(node, "fspath", None)
    return None if path is None else str(path)


def explain(report):
    """The end of what a report says about a failure or a skip."""
    try:
        longrepr = report.longrepr
        if longrepr is None:
            text = ""
        elif isinstance(longrepr, tuple) and len(longrepr) == 3:
            text = longrepr[2]
        else:
            text = getattr(report, "longreprtext", None) or longrepr
        reason = getattr(report, "wasxfail", "")
        return tail(reason or text)
    except Exception as error:
        return "(no text: %s)" % type(error).__name__


def options(version):
    """What is asked of every pytest."""
    chosen = ["--maxfail=0"]
    if version[0] >= 3:
        chosen.append("--continue-on-collection-errors")
    return chosen


def forget_addopts():
    """Makes pytest read no ``addopts`` from the project's configuration. `-o addopts=` does so
    only since pytest 3.2, and `-c` changes more than that."""
    from _pytest.config import Config

    getini = Config.getini
    Config.getini = lambda self, name: [] if name == "addopts" else getini(self, name)


def shadowed(root):
    """Whether the repository has a module of a name that pytest needs."""
    return any(os.path.exists(os.path.join(root, name + end))
               for name in PACKAGES for end in (".py", "/__init__.py"))


def main(argv):
    channel = Channel(argv[1])
    # Ids are relative to where the files really are.
    root = os.path.realpath(argv[2])
    # As under `python -m pytest`: the repository first, and not the directory of this file. But
    # nothing of the repository is imported before pytest itself.
    first = shadowed(root)
    sys.path[0:1] = [root] if first else []
    # Nothing of this is ever collected, so that looking for garbage only takes time.
    gc.disable()
    import pytest

    gc.enable()
    if not first:
        sys.path.insert(0, root)
    version = pytest.__version__
    channel.write("session", [("format", 1), ("runner", "pytest " + version),
                              ("python", sys.version.split()[0])])
    guard = Guard(channel, root)
    guard.remember(("pytest", "_pytest", "pluggy", "unittest"))
    # What pytest is made of stays until the end: no collection has to go through it again.
    getattr(gc, "freeze", int)()
    busy = guard.listen()
    paths = []
    for argument in argv[3:]:
        # An option is no path, and so is missing too.
        if not argument.startswith("-") and os.path.lexists(os.path.join(root, argument)):
            paths.append(argument)
        else:
            channel.write("missing", [("file", argument)])
    if argv[3:] and not paths:
        channel.write("exit", [("status", 5)])
        leave(5)
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    arguments = options(numbers or [9]) + paths
    if os.environ.pop("PALESTRA_NO_ADDOPTS", ""):
        forget_addopts()
    sys.argv = [pytest.__file__] + arguments
    try:
        status = pytest.main(list(arguments), plugins=[Reporter(channel, guard, root, version)])
    except SystemExit as error:
        # The tests, or a usage error of an old pytest: not the end of a run.
        status = error.code or 3
    except BaseException:
        status = 3
        try:
            traceback.print_exc()
        except Exception:
            pass  # The tests closed standard error.
    status = 0 if status is None else int(status) if isinstance(status, int) else 1
    guard.compare(busy)
    channel.write("exit", [("status", status)])
    leave(status)


if __name__ == "__main__":
    main(sys.argv)
