//! Which package index is in effect, and what reaching it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use palestra_proxy::{AddressKind, Policy, classify};
use palestra_sandbox::Bind;

/// Settings of the package index, as variables that uv understands. They reach only the phase
/// in which no code of a repository runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    variables: BTreeMap<String, String>,
    /// The host's own proxy.
    upstream: Option<String>,
    more_hosts: Option<String>,
}

/// pip's names for settings that uv knows under another name.
const FROM_PIP: &[(&str, &str)] = &[
    ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
    ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
    ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
    ("PIP_CERT", "SSL_CERT_FILE"),
    ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"),
];

/// uv's own settings that are taken over.
const FROM_UV: &[&str] = &[
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_INDEX_STRATEGY",
    "UV_INSECURE_HOST",
    "UV_HTTP_TIMEOUT",
    "UV_SYSTEM_CERTS",
    "UV_NATIVE_TLS",
    "UV_NO_INDEX",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Where uv takes its main index from, by rank.
const MAIN: &[&str] = &["UV_DEFAULT_INDEX", "UV_INDEX_URL"];

/// Settings that name indexes, as addresses with blanks between them.
const ADDRESSES: &[&str] =
    &["UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"];

/// More hosts that may be reached while packages are fetched, for an index that keeps its files
/// elsewhere: rules as a network policy has them.
const MORE_HOSTS: &str = "PALESTRA_INDEX_HOSTS";

/// The main index where none is set, and where it keeps its files.
const PYPI: &[&str] = &["pypi.org:443", "files.pythonhosted.org:443"];

/// Settings whose value is a file or a directory of the host.
const PATHS: &[&str] = &["SSL_CERT_FILE", "SSL_CERT_DIR", "UV_FIND_LINKS"];

impl Index {
    /// Takes what concerns the index out of a face's variables.
    pub fn from_variables(all: impl IntoIterator<Item = (String, String)>) -> Self {
        let all: BTreeMap<String, String> =
            all.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let mut variables = BTreeMap::new();
        for (pip, uv) in FROM_PIP.iter().rev() {
            if let Some(value) = all.get(*pip) {
                variables.insert((*uv).to_owned(), value.clone());
            }
        }
        for name in FROM_UV {
            if let Some(value) = all.get(*name) {
                variables.insert((*name).to_owned(), value.clone());
            }
        }
        for (name, value) in &all {
            let lower = name.to_ascii_lowercase();
            if (name.starts_with("UV_INDEX_") && lower.ends_with("_username"))
                || (name.starts_with("UV_INDEX_") && lower.ends_with("_password"))
            {
                variables.insert(name.clone(), value.clone());
            }
        }
        let proxy = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
        let upstream = proxy.iter().find_map(|name| all.get(*name)).cloned();
        Self { variables, upstream, more_hosts: all.get(MORE_HOSTS).cloned() }
    }

    /// The proxy through which the host itself reaches the network, if it has one.
    pub fn upstream(&self) -> Option<&str> {
        self.upstream.as_deref()
    }

    /// What may be reached while packages are fetched: the hosts of the indexes in effect and
    /// nothing else.
    ///
    /// An index that the host's settings name may be anywhere, so where its name leads to an
    /// address that is not public, that very address is allowed too.
    pub(crate) fn policy(&self) -> Result<Policy, String> {
        self.policy_with(&[])
    }

    /// As [`Index::policy`], with more hosts.
    pub(crate) fn policy_with(&self, others: &[String]) -> Result<Policy, String> {
        let mut hosts: BTreeSet<String> = BTreeSet::new();
        let values = ADDRESSES.iter().filter_map(|name| self.variables.get(*name));
        hosts.extend(values.flat_map(|value| value.split_whitespace()).filter_map(authority));
        if !MAIN.iter().any(|name| self.variables.contains_key(*name)) || hosts.contains(PYPI[0]) {
            hosts.extend(PYPI.iter().map(|host| (*host).to_owned()));
        }
        let mut rules = BTreeSet::new();
        for host in hosts {
            if let Ok(address) = host.parse::<SocketAddr>() {
                rules.insert(address.to_string());
                continue;
            }
            // Unknown names are for the proxy to report; behind another proxy they may be known.
            let found = host.to_socket_addrs().into_iter().flatten();
            rules.extend(
                found
                    .filter(|address| classify(address.ip()) != AddressKind::Public)
                    .map(|address| address.to_string()),
            );
            // A name of one label can only lead to a host of one's own, which is named above.
            if host.contains('.') {
                rules.insert(host);
            }
        }
        let more = self.more_hosts.iter().flat_map(|more| more.split_whitespace());
        rules.extend(more.map(str::to_owned));
        rules.extend(others.iter().cloned());
        let text = rules.into_iter().collect::<Vec<_>>().join(" ");
        text.parse::<Policy>().map_err(|error| {
            format!("the package index's settings make no network policy ({text}): {error}")
        })
    }

    /// The variables, for uv. The main index is not among them: [`Index::config`] has it.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.variables.iter().filter(|(k, _)| !MAIN.contains(&k.as_str()));
        all.map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// A configuration for uv that names the main index, and says how long its answers may be
    /// kept. Packages are always taken as of a time in the past, so that a page of some hours
    /// ago is as good as a fresh one; and a file of an index never changes.
    pub(crate) fn config(&self) -> String {
        let url = MAIN.iter().find_map(|name| self.variables.get(*name));
        let url = url.map_or("https://pypi.org/simple", String::as_str);
        let url = toml::Value::String(url.to_owned());
        format!(
            "[[index]]\nname = \"main\"\nurl = {url}\ndefault = true\n\
             cache-control = {{ api = \"max-age=21600\", files = \"max-age=31536000, immutable\" }}\n"
        )
    }

    /// The settings in pip's words.
    pub(crate) fn for_pip(&self) -> Vec<(String, String)> {
        let mut out: Vec<(String, String)> =
            self.variables.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        out.extend(self.upstream.iter().map(|url| ("HTTPS_PROXY".to_owned(), url.clone())));
        for (pip, uv) in FROM_PIP {
            if let Some(value) = self.variables.get(*uv) {
                out.push(((*pip).to_owned(), value.clone()));
            }
        }
        out
    }

    /// What of the host must be visible for them, at its own path.
    pub(crate) fn binds(&self) -> Vec<Bind> {
        let values = PATHS.iter().filter_map(|name| self.variables.get(*name));
        let words = values.flat_map(|v| v.split([' ', ',']));
        let paths = words.map(PathBuf::from).filter(|p| p.is_absolute() && p.exists());
        let mut paths: Vec<PathBuf> = paths.collect();
        paths.sort();
        paths.dedup();
        let outer = |p: &PathBuf| !paths.iter().any(|o| o != p && p.starts_with(o));
        let bind = |p: PathBuf| Bind { source: p.clone(), target: p, writable: false };
        paths.iter().filter(|p| outer(p)).cloned().map(bind).collect()
    }
}

/// Host and port of an address, which may have a name before it (`name=https://…`).
fn authority(address: &str) -> Option<String> {
    let (before, rest) = address.split_once("://")?;
    let scheme = before.rsplit('=').next()?;
    let port = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    let has_port = authority.rsplit_once(':').is_some_and(|(host, port)| {
        !port.contains(']') && !host.is_empty() && port.parse::<u16>().is_ok()
    });
    Some(if has_port { authority.to_owned() } else { format!("{authority}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_translated() {
        let index = Index::from_variables(
            [
                ("PIP_INDEX_URL", "https://a.example/simple"),
                ("UV_INDEX", "https://b.example/simple"),
                ("PIP_EXTRA_INDEX_URL", "https://c.example/simple"),
                ("HTTPS_PROXY", "http://127.0.0.1:3128"),
                ("PIP_CERT", "/usr"),
                ("SECRET", "x"),
                ("UV_CACHE_DIR", "/x"),
                ("SSL_CERT_DIR", "/usr/lib"),
            ]
            .map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        let all: Vec<_> = index.variables().collect();
        assert_eq!(
            all,
            [
                ("SSL_CERT_DIR", "/usr/lib"),
                ("SSL_CERT_FILE", "/usr"),
                ("UV_INDEX", "https://b.example/simple"),
            ]
        );
        assert!(
            index.config().contains("url = \"https://a.example/simple\""),
            "{}",
            index.config()
        );
        assert!(Index::default().config().contains("url = \"https://pypi.org/simple\""));
        assert_eq!(index.binds().len(), 1, "the directory below the other is not bound again");
    }

    #[test]
    fn only_the_hosts_of_indexes_may_be_reached() {
        let policy = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Index::from_variables(pairs).policy().unwrap().to_string()
        };
        let usual = policy(&[]);
        for host in ["pypi.org", "files.pythonhosted.org"] {
            assert!(usual.contains(host), "{usual}");
        }
        let own = policy(&[
            ("UV_DEFAULT_INDEX", "http://user:secret@127.0.0.1:8080/simple"),
            ("PIP_EXTRA_INDEX_URL", "https://a.invalid/simple https://b.invalid:8443/x"),
            ("UV_FIND_LINKS", "/opt/wheels"),
            ("PALESTRA_INDEX_HOSTS", "files.invalid:443"),
        ]);
        for rule in ["127.0.0.1:8080", "a.invalid:443", "b.invalid:8443", "files.invalid:443"] {
            assert!(own.contains(rule), "{own}");
        }
        assert!(!own.contains("pypi") && !own.contains("secret"), "{own}");
    }
}
