//! The same environment as the text of a Dockerfile.

use palestra_core::Environment;
use palestra_core::environment::{ENV_DIR, TESTBED};

/// Minor versions whose last images are built on Debian bullseye.
const BULLSEYE: &[&str] = &["3.5", "3.6"];

/// How the repository gets to its place.
const CLONED: &str = "COPY repo.bundle /opt/repo.bundle
RUN git clone --branch main /opt/repo.bundle /testbed \\
    && git -C /testbed remote remove origin \\
    && rm /opt/repo.bundle
";

/// How it does when its tree is the bundle's with a patch: the bundle is in no layer of the image.
const PATCHED: &str = "RUN --mount=type=bind,target=/context \\
    git clone --branch main /context/repo.bundle /testbed \\
    && cd /testbed \\
    && git apply --whitespace=nowarn /context/base.patch \\
    && xargs --delimiter='\\n' rm -f -- < /context/base.removed \\
    && rm -rf .git \\
    && git init --quiet --initial-branch main \\
    && git add --all --force \\
    && git -c user.name=palestra -c user.email=palestra@localhost commit --quiet --message base
";

/// A Dockerfile that makes the environment, to be built in a directory that holds `repo.bundle`
/// (one branch, `main`) and `requirements.lock` (the environment's lock). The repository ends up
/// at `/testbed` without the bundle and without a remote. With `patched`, `base.patch` stands there
/// too and is applied to the bundle's tree, and the paths in `base.removed` go: what the image shows is
/// one commit of the result.
pub fn dockerfile(environment: &Environment, patched: bool) -> String {
    let python = &environment.python;
    let debian = if BULLSEYE.contains(&python.as_str()) { "bullseye" } else { "bookworm" };
    let mut out = format!(
        "# Python {full}; packages as of {date}.\n\
         FROM python:{python}-{debian}\n\
         \n\
         RUN apt-get update \\\n    \
         && apt-get install -y --no-install-recommends build-essential git \\\n    \
         && rm -rf /var/lib/apt/lists/*\n\
         \n\
         ENV LANG=C.UTF-8 TZ=UTC PIP_DISABLE_PIP_VERSION_CHECK=1\n\
         COPY requirements.lock /opt/requirements.lock\n\
         RUN python -m venv {ENV_DIR} \\\n    \
         && {ENV_DIR}/bin/python -m pip install --no-cache-dir --no-deps -r /opt/requirements.lock\n\
         ENV VIRTUAL_ENV={ENV_DIR} PATH={ENV_DIR}/bin:$PATH\n\
         \n\
         {repository}\
         WORKDIR {TESTBED}\n",
        full = environment.python_full,
        repository = if patched { PATCHED } else { CLONED },
        date = environment.exclude_newer.get(..10).unwrap_or(&environment.exclude_newer),
    );
    for (name, value) in &environment.env {
        out.push_str(&format!("ENV {name}={}\n", quote(value)));
    }
    if !environment.install.is_empty() {
        out.push_str(&format!("RUN {}\n", install(&environment.install)));
    }
    out
}

/// The install step, with pip in place of uv: the image has one and not the other.
fn install(argv: &[String]) -> String {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let words: Vec<&str> = match words.as_slice() {
        ["uv", rest @ ..] => {
            let mut out = vec!["python", "-m"];
            out.extend(rest.iter().map(|w| if *w == "--offline" { "--no-index" } else { *w }));
            out
        }
        other => other.to_vec(),
    };
    words.iter().map(|w| shell(w)).collect::<Vec<_>>().join(" ")
}

fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=+:,@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A value in an `ENV` instruction, where `$` and quotes have a meaning.
fn quote(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
    format!("\"{}\"", escaped.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use palestra_core::{Hash, Runner};

    #[test]
    fn one_file_says_it_all() {
        let words = |t: &str| t.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let environment = Environment {
            id: Environment::identify("3.6", "a==1\n"),
            python: "3.6".to_owned(),
            python_full: "3.6.15".to_owned(),
            lock: "a==1\n".to_owned(),
            exclude_newer: "2017-04-01T00:00:00Z".to_owned(),
            install: words("uv pip install --quiet --offline --no-deps --no-build-isolation -e ."),
            env: [("X".to_owned(), "a $b".to_owned())].into(),
            runner: Runner::Pytest,
            install_key: Hash::of(b""),
        };
        insta::assert_snapshot!(dockerfile(&environment, false), @r#"
    # Python 3.6.15; packages as of 2017-04-01.
    FROM python:3.6-bullseye

    RUN apt-get update \
        && apt-get install -y --no-install-recommends build-essential git \
        && rm -rf /var/lib/apt/lists/*

    ENV LANG=C.UTF-8 TZ=UTC PIP_DISABLE_PIP_VERSION_CHECK=1
    COPY requirements.lock /opt/requirements.lock
    RUN python -m venv /opt/env \
        && /opt/env/bin/python -m pip install --no-cache-dir --no-deps -r /opt/requirements.lock
    ENV VIRTUAL_ENV=/opt/env PATH=/opt/env/bin:$PATH

    COPY repo.bundle /opt/repo.bundle
    RUN git clone --branch main /opt/repo.bundle /testbed \
        && git -C /testbed remote remove origin \
        && rm /opt/repo.bundle
    WORKDIR /testbed
    ENV X="a \$b"
    RUN python -m pip install --quiet --no-index --no-deps --no-build-isolation -e .
    "#);
    }
}
