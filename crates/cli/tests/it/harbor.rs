//! Harbor's own models judge what we write.

use std::process::Command;

use crate::support::{Palestra, can_build, skip};

/// Loads a dataset directory with Harbor, and computes its digests.
const JUDGE: &str = r#"
import json, sys, tomllib
from pathlib import Path
from harbor.models.task.task import Task
from harbor.models.task.config import TaskConfig
from harbor.models.dataset.manifest import DatasetManifest
from harbor.publisher.packager import Packager
root = Path(sys.argv[1])
manifest = DatasetManifest.from_toml_file(root / "dataset.toml")
digests = {t.name: t.digest for t in manifest.tasks}
seen = 0
for path in sorted(root.iterdir()):
    if path.name.startswith(".") or not path.is_dir():
        continue
    assert Task.is_valid_dir(path), path
    task = Task(path)
    raw = tomllib.loads((path / "task.toml").read_text())
    known = set(TaskConfig.model_fields)
    assert set(raw) <= known, set(raw) - known
    assert task.config.schema_version == "1.4"
    assert "/testbed" in task.instruction
    digest, files = Packager.compute_content_hash(path)
    assert digests[task.name] == "sha256:" + digest, (task.name, digests[task.name], digest)
    seen += 1
print(seen)
"#;

#[test]
fn harbor_accepts_the_tasks_and_the_dataset() {
    let Some(python) = std::env::var_os("PALESTRA_HARBOR_PYTHON") else {
        skip("PALESTRA_HARBOR_PYTHON does not name a Python with harbor");
        return;
    };
    let has_harbor = Command::new(&python).args(["-c", "import harbor"]).output();
    if !has_harbor.is_ok_and(|output| output.status.success()) {
        skip(&format!("{} cannot import harbor", python.display()));
        return;
    }
    if !can_build() {
        return;
    }
    let palestra = Palestra::new();
    let out = palestra.dir().join("demo").to_string_lossy().into_owned();
    let ran = palestra.run(&["demo", "--out", &out, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let output =
        Command::new(&python).args(["-c", JUDGE, &format!("{out}/tasks")]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{error}");
    assert_eq!(said.trim(), report["tasks"].to_string());
}
