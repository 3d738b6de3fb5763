# Run inside a sandbox by the environment's Python, 3.6 or newer, after a project was installed in
# place. The result is shared by commits whose prose and file lists differ, so these go.
import os
import shutil
import sys

testbed, env, build = sys.argv[1:4]


def strip_description(path):
    # Headers end at the first empty line; what follows is the project's README.
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            text = f.read()
    except OSError:
        return
    head = text.split("\n\n", 1)[0].rstrip("\n").split("\n")
    kept, folded = [], False
    for line in head:
        folded = folded and line[:1] in (" ", "\t")
        folded = folded or line.lower().startswith("description:")
        if not folded:
            kept.append(line)
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(kept) + "\n")


def tidy_metadata(directory):
    for name in ("PKG-INFO", "METADATA"):
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            strip_description(path)
    # Lists of the tree's files, and times of this very build.
    for name in ("SOURCES.txt", "uv_cache.json", "uv_build.json"):
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            os.remove(path)


for root, dirs, files in os.walk(testbed):
    depth = root[len(testbed):].count(os.sep)
    for name in list(dirs):
        path = os.path.join(root, name)
        if name == "__pycache__":
            shutil.rmtree(path, ignore_errors=True)
            dirs.remove(name)
        elif name.endswith(".egg-info"):
            tidy_metadata(path)
            dirs.remove(name)
    if depth > 3:
        dirs[:] = []

if build == "drop-build":
    shutil.rmtree(os.path.join(testbed, "build"), ignore_errors=True)

if os.path.isfile(os.path.join(env, ".lock")):
    os.remove(os.path.join(env, ".lock"))
lib = os.path.join(env, "lib")
for python in os.listdir(lib):
    site = os.path.join(lib, python, "site-packages")
    for name in os.listdir(site):
        directory = os.path.join(site, name)
        if name.endswith(".dist-info") and os.path.isfile(os.path.join(directory, "direct_url.json")):
            tidy_metadata(directory)
