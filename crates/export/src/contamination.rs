//! Repositories and tasks that models are measured on.

use serde::{Deserialize, Serialize};

/// The repositories of SWE-bench (Full, Lite and Verified).
pub const SWE_BENCH: [&str; 12] = [
    "astropy/astropy",
    "django/django",
    "matplotlib/matplotlib",
    "mwaskom/seaborn",
    "pallets/flask",
    "psf/requests",
    "pydata/xarray",
    "pylint-dev/pylint",
    "pytest-dev/pytest",
    "scikit-learn/scikit-learn",
    "sphinx-doc/sphinx",
    "sympy/sympy",
];

/// A repository that is barred, wholly or for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Barred {
    /// `owner/name`, or `name` whoever owns it.
    pub repository: String,
    /// Only tasks from this day on (`2024-01-31`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only tasks up to this day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What must not be trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Decontamination {
    /// [`SWE_BENCH`].
    pub swe_bench: bool,
    /// More repositories.
    pub repositories: Vec<Barred>,
    /// Tasks by name.
    pub tasks: Vec<String>,
    /// No task from this day on, of any repository: the day from which a benchmark draws its tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

impl Default for Decontamination {
    fn default() -> Self {
        Self { swe_bench: true, repositories: Vec::new(), tasks: Vec::new(), from: None }
    }
}

impl Decontamination {
    /// Nothing is barred.
    pub fn none() -> Self {
        Self { swe_bench: false, ..Self::default() }
    }

    /// Why a task is barred, if it is. A task whose day is not known is on every day.
    pub fn bars(
        &self,
        task: &str,
        repository: Option<&str>,
        created_at: Option<&str>,
    ) -> Option<String> {
        if self.tasks.iter().any(|barred| barred == task) {
            return Some(format!("the task {task} is barred"));
        }
        let after = |from: &Option<String>| {
            from.as_ref().is_none_or(|from| created_at.is_none_or(|at| day(at) >= day(from)))
        };
        if self.from.is_some() && after(&self.from) {
            return Some(format!("of {}", created_at.unwrap_or("an unknown day")));
        }
        let repository = repository?;
        if self.swe_bench && SWE_BENCH.iter().any(|barred| same(barred, repository)) {
            return Some(format!("{repository} is in SWE-bench"));
        }
        let barred = self.repositories.iter().find(|barred| {
            let before =
                barred.to.as_ref().is_none_or(|to| created_at.is_none_or(|at| day(at) <= day(to)));
            same(&barred.repository, repository) && after(&barred.from) && before
        });
        barred.map(|barred| format!("{} is barred", barred.repository))
    }
}

/// Days compare as text.
fn day(date: &str) -> &str {
    date.get(..10).unwrap_or(date)
}

/// Whether two names are of one repository: a bare name is of any owner, so that forks and data sets
/// that name no owner are caught too.
fn same(one: &str, other: &str) -> bool {
    let name = |full: &str| full.rsplit('/').next().unwrap_or(full).to_lowercase();
    let owned = one.contains('/') && other.contains('/');
    if owned { one.eq_ignore_ascii_case(other) } else { name(one) == name(other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_and_days() {
        let check = |what: &Decontamination, repository: &str, at: Option<&str>, want: bool| {
            assert_eq!(what.bars("t", Some(repository), at).is_some(), want, "{repository} {at:?}");
        };
        let plain = Decontamination::default();
        check(&plain, "Django/django", None, true);
        check(&plain, "requests", None, true);
        check(&plain, "psf/black", None, false);
        check(&Decontamination::none(), "django/django", None, false);
        let some = Barred {
            repository: "a/b".into(),
            from: Some("2024-02-01".into()),
            to: Some("2024-03-01".into()),
        };
        let dated = Decontamination { repositories: vec![some], ..Decontamination::none() };
        check(&dated, "a/b", Some("2024-02-01T00:00:00Z"), true);
        check(&dated, "a/b", Some("2024-01-31T23:59:59Z"), false);
        check(&dated, "a/b", Some("2024-03-02"), false);
        check(&dated, "a/b", None, true);
        let from = Decontamination { from: Some("2025-01-01".into()), ..Decontamination::none() };
        check(&from, "x/y", Some("2024-12-31"), false);
        check(&from, "x/y", Some("2025-01-01"), true);
    }
}
