//! The server's threads, and its sessions.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::serve::ListenerExt;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::backend::Backend;
use crate::error::{GatewayError, Result};
use crate::options::{GatewayOptions, Hook, SessionOptions};
use crate::router;
use crate::session::{Inner, Session, check_name};

/// Calls of a [`Upstream::Model`](crate::Upstream::Model) at once, each on a thread, and records that
/// are being written.
const BLOCKING: usize = 2048;

/// A server. Dropping it breaks off all calls.
pub struct Gateway {
    shared: Arc<Shared>,
    address: SocketAddr,
    runtime: Option<Runtime>,
    end: Option<oneshot::Sender<()>>,
}

/// What all calls share.
pub(crate) struct Shared {
    pub(crate) options: GatewayOptions,
    pub(crate) backends: Vec<Backend>,
    pub(crate) http: reqwest::Client,
    sessions: RwLock<HashMap<String, Arc<Inner>>>,
    directory: PathBuf,
    /// The directory, where it is to be removed.
    temporary: Option<TempDir>,
}

impl Gateway {
    /// Starts to listen.
    ///
    /// # Errors
    /// The address is taken, an upstream's URL is none, a directory cannot be made.
    pub fn start(options: GatewayOptions) -> Result<Self> {
        if options.upstreams.is_empty() {
            return Err(GatewayError::Option("a gateway needs an upstream".to_owned()));
        }
        let temporary = match options.directory {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("palestra-gateway-").tempdir()?),
        };
        let directory = match (&options.directory, &temporary) {
            (Some(directory), _) => directory.clone(),
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => PathBuf::new(),
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .max_blocking_threads(BLOCKING)
            .thread_name("gateway")
            .enable_all()
            .build()?;
        let failed = |error| GatewayError::Bind { address: options.bind.to_string(), error };
        let listener = runtime.block_on(TcpListener::bind(options.bind)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(30).min(options.timeout))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| GatewayError::Option(format!("no HTTP client: {error}")))?;
        let backends = options.upstreams.iter().map(Backend::new).collect::<Result<_>>()?;
        let shared = Arc::new(Shared {
            options,
            backends,
            http,
            sessions: RwLock::default(),
            directory,
            temporary,
        });
        let (end, ended) = oneshot::channel::<()>();
        // Events are small, and each is to arrive when it is sent.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let serve = axum::serve(listener, router::routes(shared.clone()));
        runtime.spawn(async move {
            tokio::select! {
                _ = serve => {}
                _ = ended => {}
            }
        });
        Ok(Self { shared, address, runtime: Some(runtime), end: Some(end) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Begins a session, or goes on with the record of one that was removed. `on_call` is told of
    /// its calls.
    ///
    /// # Errors
    /// The name is taken or cannot be one, there is no such upstream, the record cannot be written.
    pub fn create(
        &self,
        id: &str,
        options: SessionOptions,
        on_call: Option<Hook>,
    ) -> Result<Session> {
        self.shared.create(id, options, on_call).map(Session)
    }

    /// A session.
    pub fn session(&self, id: &str) -> Option<Session> {
        self.shared.session(id).map(Session)
    }

    /// Stops a session and forgets it. Its record stays, unless it is a temporary one.
    pub fn remove(&self, id: &str) -> Option<Session> {
        self.shared.remove(id).map(Session)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shared.all().iter().for_each(|session| session.stop("the gateway ends".to_owned()));
        self.end.take();
        if let Some(runtime) = self.runtime.take() {
            // Records that are being written are finished; calls of models are not waited for.
            runtime.shutdown_timeout(Duration::from_millis(500));
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn create(
        &self,
        id: &str,
        options: SessionOptions,
        hook: Option<Hook>,
    ) -> Result<Arc<Inner>> {
        check_name(id)?;
        let order = self.order(id, options.upstream.as_deref())?;
        let directory = options.directory.clone().unwrap_or_else(|| self.directory.join(id));
        // Held while the file is opened, so that two of one name do not write the same record.
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        if sessions.contains_key(id) {
            return Err(GatewayError::Exists(id.to_owned()));
        }
        let session = Arc::new(Inner::new(id, options, order, hook, &directory)?);
        sessions.insert(id.to_owned(), session.clone());
        Ok(session)
    }

    /// The upstreams of a session, the one that its name chooses first. When an upstream joins or
    /// leaves, only the sessions of that one move.
    fn order(&self, id: &str, only: Option<&str>) -> Result<Vec<usize>> {
        let fits = |backend: &Backend| only.is_none_or(|name| backend.name() == name);
        let places = 0..self.backends.len();
        let mut order: Vec<usize> = places.filter(|place| fits(&self.backends[*place])).collect();
        if order.is_empty() {
            let name = only.unwrap_or_default();
            return Err(GatewayError::Option(format!("there is no upstream `{name}`")));
        }
        order.sort_by_key(|place| {
            let text = format!("{id}\n{}\n{place}", self.backends[*place].name());
            *blake3::hash(text.as_bytes()).as_bytes()
        });
        Ok(order)
    }

    pub(crate) fn session(&self, id: &str) -> Option<Arc<Inner>> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// A session, made if sessions may begin by being used.
    pub(crate) fn session_or_implicit(&self, id: &str) -> Result<Option<Arc<Inner>>> {
        if let Some(session) = self.session(id) {
            return Ok(Some(session));
        }
        let Some(options) = &self.options.implicit else { return Ok(None) };
        match self.create(id, options.clone(), None) {
            Err(GatewayError::Exists(_)) => Ok(self.session(id)),
            made => made.map(Some),
        }
    }

    pub(crate) fn remove(&self, id: &str) -> Option<Arc<Inner>> {
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.remove(id)?;
        drop(sessions);
        session.stop("the session was removed".to_owned());
        if self.temporary.is_some() && session.options.directory.is_none() {
            let directory: &Path = &self.directory.join(id);
            // What stays goes with the directory around it.
            let _ = fs_err::remove_dir_all(directory);
        }
        Some(session)
    }

    fn all(&self) -> Vec<Arc<Inner>> {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.values().cloned().collect()
    }
}
