"""Watches over what reports the tests, from inside their process, and tells the grader.

Python 2.7 to 3.14, standard library only. PYTEST_DONT_REWRITE

Code that is tested can undo all of this; what was told by then has been told.
"""

import os
import sys
import types

try:
    import builtins
except ImportError:
    import __builtin__ as builtins

LIMIT = 40
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)
# Functions that end, fork and write, beside those of the packages that run tests.
_SYSTEM = ("_exit", "write", "getpid", "kill", "abort", "fstat", "close", "dup2")
# What is told: everything that reaches into the interpreter or into other processes.
_EVENTS = dict.fromkeys((
    "gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys.settrace", "sys.setprofile",
    "sys._current_frames", "sys._current_exceptions", "sys._getframe", "sys.addaudithook",
    "os.kill", "os.killpg", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn",
    "subprocess.Popen", "os.system", "signal.pthread_kill", "os.abort", "code.__new__",
    "object.__getattr__", "object.__setattr__", "ctypes.dlopen", "ctypes.dlsym", "ctypes.string_at",
    "ctypes.cdata", "ctypes.addressof", "ctypes.call_function", "ctypes.PyObj_FromPtr",
    "open", "os.remove", "os.rename", "os.link", "os.symlink", "os.truncate", "mmap.__new__",
), True)
_PATHS = ("open", "os.remove", "os.rename", "os.link", "os.symlink", "os.truncate")
_FRAMES = frozenset(("tb_frame", "gi_frame", "cr_frame", "ag_frame", "__code__", "gi_code"))


class Guard(object):
    """Remembers functions, and listens to what the interpreter says of itself."""

    def __init__(self, channel, root):
        self.write = channel.write
        self.root = root + "/"
        self.told = set()
        self.known = []
        self.seen = {}

    def tell(self, kind, name, place):
        """Once for each; a bounded number of times."""
        key = (kind, name, place)
        if key in self.told or len(self.told) >= LIMIT:
            return
        self.told.add(key)
        self.write("guard", [("kind", kind), ("name", name), ("file", place)])

    def short(self, path):
        """``path`` relative to the repository, if it is below it."""
        return path[len(self.root):] if path.startswith(self.root) else path

    # Functions that are still the same

    def remember(self, packages):
        """Notes every function of the loaded modules of these packages."""
        known = self.known
        for name, module in sorted(sys.modules.items()):
            if module is None or name.partition(".")[0] not in packages:
                continue
            space = getattr(module, "__dict__", {})
            for key, value in list(space.items()):
                kind = type(value)
                if kind is types.FunctionType:
                    known.append((space, name, key, value, value.__code__))
                elif isinstance(value, type) and value.__module__ == name:
                    inner = value.__dict__
                    for part, member in list(inner.items()):
                        code = getattr(member, "__code__", None)
                        if code is not None or type(member) in (staticmethod, classmethod, property):
                            known.append((inner, name + "." + key, part, member, code))
        space = builtins.__dict__
        known.extend((space, "builtins", key, value, None) for key, value in list(space.items())
                     if isinstance(value, (type, types.BuiltinFunctionType)))
        space = os.__dict__
        known.extend((space, "os", key, space[key], None) for key in _SYSTEM if key in space)

    def compare(self, busy=None):
        """Tells which of them were replaced, and by functions of which file. ``busy`` is what
        `listen` gave: to ask for the code of a function is an event too."""
        if busy is not None:
            busy.append(1)
        for space, owner, key, value, code in self.known:
            now = space.get(key)
            if now is value and (code is None or getattr(now, "__code__", None) is code):
                continue
            now = getattr(now, "__func__", now)
            now = getattr(now, "__code__", None)
            place = getattr(now, "co_filename", "") if now is not None else ""
            self.tell("replaced", owner + "." + key, self.short(str(place)))

    # What the interpreter says of itself

    def listen(self):
        """From here on; nothing can take this back. Python 3.8 and newer. Gives a list; as long
        as something is in it, nothing is told."""
        busy = []
        add = getattr(sys, "addaudithook", None)
        if add is None:
            return busy
        watched, paths, frames, tell = _EVENTS, _PATHS, _FRAMES, self.tell
        root, short, getframe = self.root, self.short, sys._getframe
        # By the name of a file: 1 for one of the repository, 2 for code that no file holds.
        kinds = {}

        def kind_of(place):
            kind = 0
            if place.startswith(root):
                kind = 1
            elif place[:1] == "<" and place[:7] != "<frozen":
                kind = 2
            if len(kinds) < 20000:
                kinds[place] = kind
            return kind

        # Runs several times in every test: the first lines decide for most.
        def hook(event, args):
            if event not in watched or busy:
                return
            if event[:7] == "object.":
                if args[1] not in frames:
                    return
            elif event in paths:
                path = args[0]
                if type(path) is not str:
                    return
                if path.startswith("/proc/"):
                    event = "proc"
                elif event == "open" and not (args[2] or 0) & 3 and (args[1] or "r")[:1] == "r":
                    return
                elif not path.endswith(".py") or "test" not in path:
                    return
                else:
                    event = "test_file"
            busy.append(1)
            try:
                frame = getframe(1)
                left = 4
                while left and frame is not None:
                    place = frame.f_code.co_filename
                    kind = kinds.get(place)
                    if kind is None:
                        kind = kind_of(place)
                    if kind == 1 or kind == 2 and event != "sys._getframe":
                        tell("event", event, short(place))
                        break
                    frame = frame.f_back
                    left -= 1
            finally:
                del busy[:]

        add(hook)
        return busy

    # Plugins of pytest

    def hooks(self, config):
        """Tells which files of the repository have a say in how pytest runs."""
        seen = self.seen
        for plugin in config.pluginmanager.get_plugins():
            found = list(getattr(type(plugin), "__dict__", {}).items())
            found.extend(getattr(plugin, "__dict__", {}).items())
            for name, value in found:
                if name[:7] != "pytest_":
                    continue
                value = getattr(value, "__func__", value)
                if seen.get(id(value)) is value:
                    continue
                seen[id(value)] = value
                while getattr(value, "__wrapped__", None) is not None:
                    value = value.__wrapped__
                place = getattr(getattr(value, "__code__", None), "co_filename", "")
                if place.startswith(self.root) or place[:1] == "<":
                    self.tell("hook", name, self.short(place))
