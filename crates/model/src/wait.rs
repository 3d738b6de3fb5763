//! Threads that wait, and can be woken by a flag.
//!
//! Thousands of threads wait for servers at once. None of them looks at its own flag: one thread
//! looks at all of them, and wakes those that are to stop.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How often flags are looked at.
const LOOK: Duration = Duration::from_millis(40);

/// The caller wants to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopped;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that waits, as long as this lives.
pub(crate) struct Waiting<'a> {
    stop: &'a AtomicBool,
    number: u64,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(stop: &'a Arc<AtomicBool>) -> Self {
        let number = WATCH.next.fetch_add(1, Ordering::Relaxed);
        let entry = (stop.clone(), std::thread::current());
        let first = {
            let mut waiting = lock(&WATCH.waiting);
            waiting.insert(number, entry);
            waiting.len() == 1
        };
        if first {
            WATCH.watcher.unpark();
        }
        Self { stop, number }
    }

    pub(crate) fn stopped(&self) -> Result<(), Stopped> {
        if self.stop.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }

    /// Waits until something is there, or until a moment has come.
    pub(crate) fn until<T>(
        &self,
        deadline: Option<Instant>,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Result<Option<T>, Stopped> {
        loop {
            if let Some(value) = ready() {
                return Ok(Some(value));
            }
            self.stopped()?;
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Ok(None),
                Some(left) => std::thread::park_timeout(left),
                None => std::thread::park(),
            }
        }
    }

    /// Sleeps.
    pub(crate) fn sleep(&self, time: Duration) -> Result<(), Stopped> {
        self.until(Some(Instant::now() + time), || None::<()>).map(|_| ())
    }

    /// Runs something on the runtime and waits for it. It is dropped where the caller stops.
    /// `None` where it panicked.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<Option<T>, Stopped> {
        let slot = Arc::new(Slot { value: Mutex::new(None), over: AtomicBool::new(false) });
        let giver = Giver { slot: slot.clone(), thread: std::thread::current() };
        let task = RUNTIME.spawn(async move {
            let value = future.await;
            *lock(&giver.slot.value) = Some(value);
            drop(giver);
        });
        let ready = || slot.over.load(Ordering::Acquire).then(|| lock(&slot.value).take());
        match self.until(None, ready) {
            Ok(value) => Ok(value.flatten()),
            Err(stopped) => {
                task.abort();
                Err(stopped)
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&WATCH.waiting).remove(&self.number);
    }
}

struct Slot<T> {
    value: Mutex<Option<T>>,
    over: AtomicBool,
}

/// Wakes the waiting thread when the task ends, however it does.
struct Giver<T> {
    slot: Arc<Slot<T>>,
    thread: Thread,
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        self.slot.over.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

struct Watch {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, (Arc<AtomicBool>, Thread)>>,
    watcher: Thread,
}

static WATCH: LazyLock<Watch> = LazyLock::new(|| {
    let thread = std::thread::Builder::new().name("model-watch".to_owned()).spawn(watch);
    let watcher = thread.expect("a thread cannot be started").thread().clone();
    Watch { next: AtomicU64::new(0), waiting: Mutex::default(), watcher }
});

fn watch() {
    loop {
        let idle = {
            let waiting = lock(&WATCH.waiting);
            for (stop, thread) in waiting.values() {
                if stop.load(Ordering::Relaxed) {
                    thread.unpark();
                }
            }
            waiting.is_empty()
        };
        if idle {
            std::thread::park();
        } else {
            std::thread::sleep(LOOK);
        }
    }
}

/// The runtime of all clients. One thread moves bytes for thousands of calls; what is expensive is
/// done by the calling threads.
static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("model-client")
        .enable_all()
        .build();
    runtime.expect("a runtime cannot be started")
});
