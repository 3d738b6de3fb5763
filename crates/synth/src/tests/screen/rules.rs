//! What a test may not do.

use std::collections::HashMap;

use tree_sitter::Node;

use super::ScreenRules;
use super::temporary::{Temporary, is_elsewhere};
use crate::python::{Source, line, named, walk};
use crate::reject::{Reason, Rejection};

/// Calls that reach for the network. A name that ends with a dot means all below it.
const NETWORK: &[&str] = &[
    "socket.socket",
    "socket.create_connection",
    "socket.create_server",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "urllib.request.urlopen",
    "urllib.request.urlretrieve",
    "urllib.request.build_opener",
    "urllib2.urlopen",
    "http.client.HTTPConnection",
    "http.client.HTTPSConnection",
    "requests.get",
    "requests.post",
    "requests.put",
    "requests.patch",
    "requests.delete",
    "requests.head",
    "requests.options",
    "requests.request",
    "httpx.get",
    "httpx.post",
    "httpx.put",
    "httpx.patch",
    "httpx.delete",
    "httpx.head",
    "httpx.request",
    "httpx.stream",
    "aiohttp.request",
    "aiohttp.ClientSession",
    "urllib3.PoolManager",
    "urllib3.request",
    "ftplib.",
    "smtplib.",
    "telnetlib.",
    "poplib.",
    "imaplib.",
    "nntplib.",
    "paramiko.",
    "websocket.create_connection",
    "websockets.connect",
    "xmlrpc.client.ServerProxy",
    "asyncio.open_connection",
    "asyncio.start_server",
];

/// Calls that start programs, whatever they are given.
const PROGRAMS: &[&str] = &[
    "os.system",
    "os.popen",
    "os.execv",
    "os.execve",
    "os.execl",
    "os.execvp",
    "os.spawnl",
    "os.spawnv",
    "os.posix_spawn",
    "pty.spawn",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "commands.getoutput",
    "asyncio.create_subprocess_shell",
];

/// Calls that start a program that their first argument names.
const LAUNCHERS: &[&str] = &[
    "subprocess.run",
    "subprocess.call",
    "subprocess.check_call",
    "subprocess.check_output",
    "subprocess.Popen",
    "asyncio.create_subprocess_exec",
];

/// Calls that interfere with the runner, or run what nobody can see here.
const TAMPERING: &[&str] = &[
    "os._exit",
    "os.abort",
    "os.kill",
    "os.killpg",
    "os.fork",
    "pytest.exit",
    "exec",
    "__import__",
    "sys.settrace",
    "sys.setprofile",
    "signal.alarm",
    "ctypes.CDLL",
];

/// What skips a test or expects it to fail.
const SKIPS: &[&str] = &[
    "pytest.skip",
    "pytest.xfail",
    "pytest.importorskip",
    "pytest.mark.skip",
    "pytest.mark.skipif",
    "pytest.mark.xfail",
    "unittest.skip",
    "unittest.skipIf",
    "unittest.skipUnless",
    "unittest.expectedFailure",
    "unittest.SkipTest",
    "unittest.case.SkipTest",
    "self.skipTest",
    "unittest.case.skip",
];

/// Deleting: the function, and which arguments it deletes.
const DELETES: &[(&str, &[usize])] = &[
    ("os.remove", &[0]),
    ("os.unlink", &[0]),
    ("os.rmdir", &[0]),
    ("os.removedirs", &[0]),
    ("shutil.rmtree", &[0]),
    ("shutil.move", &[0, 1]),
    ("os.rename", &[0, 1]),
    ("os.renames", &[0, 1]),
    ("os.replace", &[0, 1]),
    ("os.truncate", &[0]),
];

/// Writing: the function, and which arguments it writes to.
const WRITES: &[(&str, &[usize])] = &[
    ("os.makedirs", &[0]),
    ("os.mkdir", &[0]),
    ("os.symlink", &[1]),
    ("os.link", &[1]),
    ("os.chmod", &[0]),
    ("os.chown", &[0]),
    ("os.utime", &[0]),
    ("os.mknod", &[0]),
    ("os.mkfifo", &[0]),
    ("shutil.copy", &[1]),
    ("shutil.copy2", &[1]),
    ("shutil.copyfile", &[1]),
    ("shutil.copytree", &[1]),
    ("shutil.copymode", &[1]),
    ("shutil.unpack_archive", &[1]),
    ("shutil.make_archive", &[0]),
];

/// Functions that open a file, and where the mode stands.
const OPENERS: &[&str] = &[
    "open",
    "io.open",
    "codecs.open",
    "gzip.open",
    "bz2.open",
    "lzma.open",
    "zipfile.ZipFile",
    "tarfile.open",
    "tarfile.TarFile",
    "builtins.open",
];

/// Methods of paths that write, and that nothing else has.
const PATH_WRITES: &[&str] =
    &["write_text", "write_bytes", "mkdir", "touch", "symlink_to", "hardlink_to"];
/// Methods of paths that delete.
const PATH_DELETES: &[&str] = &["unlink", "rmdir"];

struct Checker<'s, 'a> {
    source: &'s Source<'a>,
    aliases: HashMap<String, String>,
    rules: &'s ScreenRules,
}

pub(super) fn check(source: &Source<'_>, rules: &ScreenRules) -> Result<(), Rejection> {
    let checker = Checker { source, aliases: source.aliases(), rules };
    let resolve = |node: Node<'_>| checker.resolve(node);
    let temporary = Temporary::of(source, &resolve);
    let mut found = None;
    walk(source.root(), &mut |node| {
        if found.is_none() {
            found = checker.node(node, &temporary).err();
        }
        found.is_none()
    });
    found.map_or(Ok(()), Err)
}

impl Checker<'_, '_> {
    /// The full name of a chain of names, by the imports of the file.
    fn resolve(&self, node: Node<'_>) -> Option<String> {
        let dotted = match self.source.dotted(node) {
            Some(dotted) => dotted,
            None => {
                let name = node.child_by_field_name("attribute")?;
                format!("().{}", self.source.text_of(name))
            }
        };
        let (first, rest) = dotted.split_once('.').unwrap_or((&dotted, ""));
        let Some(full) = self.aliases.get(first) else { return Some(dotted) };
        let dot = if rest.is_empty() { "" } else { "." };
        Some(format!("{full}{dot}{rest}"))
    }

    fn node(&self, node: Node<'_>, temporary: &Temporary) -> Result<(), Rejection> {
        match node.kind() {
            "call" => self.call(node, temporary),
            "attribute" | "identifier" => self.name(node),
            "while_statement" => self.endless(node),
            // Within a function it is nobody's hook.
            "function_definition" if !is_within_function(node) => {
                let name = node.child_by_field_name("name").map(|name| self.source.text_of(name));
                match name.filter(|name| name.starts_with("pytest_")) {
                    Some(hook) => {
                        Err(self.at(node, Reason::Tampers, &format!("`{hook}` is a hook")))
                    }
                    None => Ok(()),
                }
            }
            "assignment" => {
                let left = node.child_by_field_name("left");
                let left = left.map(|left| self.source.text_of(left)).unwrap_or_default();
                if left == "pytest_plugins" {
                    return Err(self.at(node, Reason::Tampers, "plugins of pytest are loaded"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn at(&self, node: Node<'_>, reason: Reason, what: &str) -> Rejection {
        Rejection::at(reason, line(node), what)
    }

    /// Names that may not be used at all, called or not: a decorator need not be called.
    fn name(&self, node: Node<'_>) -> Result<(), Rejection> {
        if node.parent().is_some_and(|parent| parent.kind() == "attribute") {
            return Ok(());
        }
        let Some(full) = self.resolve(node) else { return Ok(()) };
        let imported = node.parent().is_some_and(|p| p.kind() == "dotted_name");
        if !imported && SKIPS.contains(&full.as_str()) {
            return Err(self.at(node, Reason::Skips, &format!("`{full}`")));
        }
        Ok(())
    }

    fn call(&self, node: Node<'_>, temporary: &Temporary) -> Result<(), Rejection> {
        let Some(function) = node.child_by_field_name("function") else { return Ok(()) };
        let Some(full) = self.resolve(function) else { return Ok(()) };
        let arguments = node.child_by_field_name("arguments").map(named).unwrap_or_default();
        let plain: Vec<Node<'_>> =
            arguments.iter().copied().filter(|a| a.kind() != "keyword_argument").collect();
        let among = |list: &[&str]| {
            list.iter().any(|name| match name.strip_suffix('.') {
                Some(module) => full.strip_prefix(module).is_some_and(|rest| rest.starts_with('.')),
                None => full == *name,
            })
        };
        let reject = |reason| Err(self.at(node, reason, &format!("`{full}`")));
        let package = full.split('.').next().unwrap_or_default();
        if among(NETWORK) && !self.rules.own_packages.contains(package) {
            return reject(Reason::Network);
        }
        if among(PROGRAMS) {
            return reject(Reason::Subprocess);
        }
        if among(LAUNCHERS) && !self.runs_python(&plain, &arguments) {
            return reject(Reason::Subprocess);
        }
        if among(TAMPERING) {
            return reject(Reason::Tampers);
        }
        if matches!(
            full.as_str(),
            "inspect.getsource" | "inspect.getsourcelines" | "linecache.getlines"
        ) {
            return reject(Reason::ReadsSource);
        }
        if matches!(
            full.as_str(),
            "time.sleep" | "asyncio.sleep" | "trio.sleep" | "gevent.sleep" | "anyio.sleep"
        ) {
            let seconds = plain.first().and_then(|a| self.source.text_of(*a).parse::<f64>().ok());
            if seconds.is_none_or(|seconds| !(0.0..=1.0).contains(&seconds)) {
                return reject(Reason::Sleeps);
            }
        }
        self.files(node, function, &full, &plain, &arguments, temporary)
    }

    fn files(
        &self,
        node: Node<'_>,
        function: Node<'_>,
        full: &str,
        plain: &[Node<'_>],
        arguments: &[Node<'_>],
        temporary: &Temporary,
    ) -> Result<(), Rejection> {
        let resolve = |node: Node<'_>| self.resolve(node);
        let safe = |target: Option<Node<'_>>| {
            target.is_some_and(|target| {
                temporary.holds(self.source, &resolve, target)
                    || temporary.is_entered(self.source, &resolve, node) && self.is_relative(target)
            })
        };
        let reject = |reason| Err(self.at(node, reason, &format!("`{full}`")));
        for (list, reason) in [(DELETES, Reason::DeletesFiles), (WRITES, Reason::WritesFiles)] {
            if let Some((_, places)) = list.iter().find(|(name, _)| *name == full)
                && places.iter().any(|place| !safe(plain.get(*place).copied()))
            {
                return reject(reason);
            }
        }
        let mode = |place: usize| {
            let keyword = arguments.iter().find(|argument| {
                let name = argument.child_by_field_name("name");
                name.is_some_and(|name| self.source.text_of(name) == "mode")
            });
            let node = keyword.and_then(|k| k.child_by_field_name("value"));
            node.or(plain.get(place).copied()).map(|node| self.source.text_of(node))
        };
        let writes =
            |mode: Option<&str>| mode.is_some_and(|mode| mode.contains(['w', 'a', 'x', '+']));
        if OPENERS.contains(&full) {
            let target = plain.first().copied();
            if writes(mode(1)) && !safe(target) {
                return reject(Reason::WritesFiles);
            }
            let reads = target.map(|target| self.source.text_of(target)).unwrap_or_default();
            if reads.contains("__file__") && reads.contains(".py") && !writes(mode(1)) {
                return reject(Reason::ReadsSource);
            }
        }
        let Some(method) = function.child_by_field_name("attribute") else { return Ok(()) };
        let method = self.source.text_of(method);
        let receiver = function.child_by_field_name("object");
        // Methods of paths; `os.mkdir` and its like were looked at above.
        if self.aliases.contains_key(receiver.map(|r| self.source.text_of(r)).unwrap_or_default()) {
            return Ok(());
        }
        let opens = method == "open" && mode(0).is_some_and(|m| m.len() < 8) && writes(mode(0));
        if (PATH_WRITES.contains(&method) || opens) && !safe(receiver) {
            return reject(Reason::WritesFiles);
        }
        if PATH_DELETES.contains(&method) && !safe(receiver) {
            return reject(Reason::DeletesFiles);
        }
        if matches!(method, "read_text" | "read_bytes") {
            let text = receiver.map(|receiver| self.source.text_of(receiver)).unwrap_or_default();
            if text.contains("__file__") && !text.contains("tests") && text.contains(".py") {
                return reject(Reason::ReadsSource);
            }
        }
        Ok(())
    }

    /// Whether an expression is a path that does not leave the directory.
    fn is_relative(&self, node: Node<'_>) -> bool {
        let (mut literal, mut leaves) = (false, false);
        walk(node, &mut |node| {
            match node.kind() {
                "string_content" => {
                    literal = true;
                    leaves |= is_elsewhere(self.source.text_of(node));
                }
                "identifier" => leaves |= self.source.text_of(node) == "__file__",
                _ => {}
            }
            true
        });
        literal && !leaves
    }

    /// `[sys.executable, …]` without a shell: the project's own command line.
    fn runs_python(&self, plain: &[Node<'_>], arguments: &[Node<'_>]) -> bool {
        let shell = arguments.iter().any(|argument| {
            let part = |field| argument.child_by_field_name(field).map(|n| self.source.text_of(n));
            part("name") == Some("shell") && part("value") != Some("False")
        });
        let first = plain.first().map(|first| match first.kind() {
            "list" | "tuple" => named(*first).into_iter().next(),
            _ => Some(*first),
        });
        let program = first.flatten().and_then(|program| self.resolve(program));
        !shell && program.as_deref() == Some("sys.executable")
    }

    /// `while True` without anything that ends it.
    fn endless(&self, node: Node<'_>) -> Result<(), Rejection> {
        let condition = node.child_by_field_name("condition").map(|c| self.source.text_of(c));
        if !matches!(condition, Some("True" | "1" | "(True)")) {
            return Ok(());
        }
        let mut ends = false;
        walk(node, &mut |node| {
            ends |= matches!(
                node.kind(),
                "break_statement" | "return_statement" | "raise_statement" | "yield"
            );
            !ends
        });
        match ends {
            true => Ok(()),
            false => Err(self.at(node, Reason::EndlessLoop, "nothing ends `while True`")),
        }
    }
}

fn is_within_function(node: Node<'_>) -> bool {
    let mut above = node.parent();
    while let Some(node) = above {
        if node.kind() == "function_definition" {
            return true;
        }
        above = node.parent();
    }
    false
}
