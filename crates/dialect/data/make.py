"""Makes specs.json and environments.json from swebench 4.1.0, specs-swegym.json from SWE-Gym's fork.

    python make.py specs OUT
    python make.py swegym OUT
    python make.py swesmith OUT
    python make.py environments OG OUT [ROWS.jsonl ...]

Run `specs` with an interpreter that has swebench==4.1.0, `swegym` with one that has the fork,
`swesmith` with one that has swesmith==0.0.9. OG is the folder `swebench-og` of the
package's source. The rows tell which of its instances have which version and setup commit.
"""

import json
import os
import sys


def specs(out):
    from swebench.harness.constants import MAP_REPO_TO_EXT, MAP_REPO_VERSION_TO_SPECS

    languages = {}
    for repo, versions in MAP_REPO_VERSION_TO_SPECS.items():
        languages.setdefault(MAP_REPO_TO_EXT[repo], {})[repo] = grouped(versions)
    with open(out, "w") as f:
        write_lines(f, languages)


def swegym(out):
    from swebench.harness.constants import MAP_REPO_VERSION_TO_SPECS

    # The repositories of its dataset; the others are those of SWE-bench.
    repos = (
        "python/mypy getmoto/moto conan-io/conan dask/dask project-monai/monai iterative/dvc "
        "bokeh/bokeh modin-project/modin pydantic/pydantic pandas-dev/pandas facebookresearch/hydra"
    )
    found = {repo: grouped(MAP_REPO_VERSION_TO_SPECS[repo]) for repo in repos.split()}
    with open(out, "w") as f:
        write_lines(f, {"py": found})


def grouped(versions):
    groups = {}
    for version, spec in versions.items():
        text = json.dumps(spec, ensure_ascii=False)
        groups.setdefault(text, (spec, []))[1].append(version)
    return [{"versions": names, "spec": spec} for spec, names in groups.values()]


def write_lines(f, languages):
    """One group a line, so that a change can be read."""
    f.write("{")
    for i, (language, repos) in enumerate(languages.items()):
        f.write(("," if i else "") + f'\n"{language}": {{')
        for j, (repo, groups) in enumerate(repos.items()):
            f.write(("," if j else "") + f'\n"{repo}": [\n')
            lines = [json.dumps(g, ensure_ascii=False, separators=(",", ":")) for g in groups]
            f.write(",\n".join(lines) + "]")
        f.write("}")
    f.write("}\n")


def swesmith(out):
    from swesmith.profiles import registry
    from swesmith.profiles.base import RepoProfile
    from swesmith.profiles.python import PythonProfile

    entries = {}
    for profile in registry.values():
        kind = type(profile)
        # What a function decides for each instance is no data.
        files = kind.get_test_files in (RepoProfile.get_test_files, PythonProfile.get_test_files)
        if not files or kind.get_test_cmd is not RepoProfile.get_test_cmd:
            continue
        entry = {"timeout": profile.timeout, "test_cmd": profile.test_cmd}
        if isinstance(profile, PythonProfile):
            entry["python"] = profile.python_version
            entry["install"] = profile.install_cmds
            # Only these say which files they mean.
            entry["min_testing"] = profile.min_testing
        # Without what is so for most.
        usual = {"timeout": 90, "test_cmd": USUAL, "install": ["python -m pip install -e ."],
                 "min_testing": False}
        entries[profile.repo_name] = {k: v for k, v in entry.items() if usual.get(k) != v}
    with open(out, "w") as f:
        f.write("{\n")
        f.write(",\n".join(
            json.dumps(name) + ":" + json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
            for name, entry in sorted(entries.items())
        ))
        f.write("}\n")


USUAL = (
    "source /opt/miniconda3/bin/activate; conda activate testbed; "
    "pytest --disable-warnings --color=no --tb=no --verbose"
)


def environments(og, out, rows):
    known, lines, files, instances = {}, {}, [], {}
    for folder in sorted(os.listdir(og)):
        for number in sorted(os.listdir(os.path.join(og, folder)), key=int):
            with open(os.path.join(og, folder, number, "environment.yml")) as f:
                text = f.read()
            if text not in known:
                known[text] = len(files)
                files.append([lines.setdefault(line, len(lines)) for line in text.split("\n")])
            instances.setdefault(folder, {})[number] = known[text]
    setups = {}
    for path in rows:
        with open(path) as f:
            for line in f:
                row = json.loads(line)
                folder, number = row["instance_id"].rsplit("-", 1)
                file = instances.get(folder, {}).get(number)
                if file is not None:
                    key = (row["repo"], row["version"], row["environment_setup_commit"])
                    setups.setdefault(key, []).append(file)
    by_file = {}
    for folder, numbers in instances.items():
        for number, file in numbers.items():
            by_file.setdefault((folder, file), []).append(int(number))
    with open(out, "w") as f:
        f.write('{"lines":[\n')
        f.write(",\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
        f.write('],\n"files":[\n')
        f.write(",\n".join(json.dumps(file, separators=(",", ":")) for file in files))
        f.write('],\n"instances":[\n')
        f.write(",\n".join(
            json.dumps([folder, file, numbers], separators=(",", ":"))
            for (folder, file), numbers in by_file.items()
        ))
        f.write('],\n"setups":[\n')
        # Where instances of one setup have several files, the one that most of them have.
        f.write(",\n".join(
            json.dumps([*key, max(sorted(set(found)), key=found.count)])
            for key, found in sorted(setups.items())
        ))
        f.write("]}\n")


if __name__ == "__main__":
    if sys.argv[1] == "specs":
        specs(sys.argv[2])
    elif sys.argv[1] == "swegym":
        swegym(sys.argv[2])
    elif sys.argv[1] == "swesmith":
        swesmith(sys.argv[2])
    else:
        environments(sys.argv[2], sys.argv[3], sys.argv[4:])
