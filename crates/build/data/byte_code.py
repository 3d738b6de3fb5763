# Run inside a sandbox by the environment's Python, 3.6 or newer, before its packages are compiled:
# takes byte code over from an earlier environment. A file with the same path, size and time has
# the same content, since the store derives times from content.
import os
import shutil
import sys

env, prior = sys.argv[1:3]
tag = sys.implementation.cache_tag

for root, dirs, files in os.walk(os.path.join(env, "lib")):
    if "__pycache__" in dirs:
        dirs.remove("__pycache__")
    before = prior + root[len(env):]
    cache = os.path.join(before, "__pycache__")
    if not os.path.isdir(cache):
        continue
    made = False
    for name in files:
        if not name.endswith(".py"):
            continue
        try:
            here = os.stat(os.path.join(root, name))
            there = os.stat(os.path.join(before, name))
        except OSError:
            continue
        if here.st_size != there.st_size or int(here.st_mtime) != int(there.st_mtime):
            continue
        compiled = "%s.%s.pyc" % (name[:-3], tag)
        source = os.path.join(cache, compiled)
        if os.path.exists(source):
            if not made:
                os.makedirs(os.path.join(root, "__pycache__"), exist_ok=True)
                made = True
            shutil.copyfile(source, os.path.join(root, "__pycache__", compiled))
