//! Bodies that end well, or do not.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// What comes after the last piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The end.
    Well,
    /// The connection breaks.
    Broken,
    /// Nothing, for ever.
    Silent,
    /// The last piece again, for ever.
    Endless,
}

/// A body in pieces.
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    pause: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    ending: Ending,
}

impl Pieces {
    pub(super) fn new(pieces: Vec<Bytes>, pause: Duration, ending: Ending) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        Self { pieces, pause, sleep: None, ending }
    }

    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::new(vec![bytes.into()], Duration::ZERO, Ending::Well)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if !self.pause.is_zero() && !self.pieces.is_empty() {
            let pause = self.pause;
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.sleep = None;
        }
        if self.ending == Ending::Endless && self.pieces.len() == 1 {
            let again = self.pieces.front().cloned();
            self.pieces.extend(again);
        }
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match self.ending {
            Ending::Well => Poll::Ready(None),
            Ending::Broken => Poll::Ready(Some(Err(std::io::Error::other("as the script says")))),
            Ending::Silent | Ending::Endless => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.ending == Ending::Well
    }

    fn size_hint(&self) -> SizeHint {
        let length: u64 = self.pieces.iter().map(|piece| piece.len() as u64).sum();
        match self.ending {
            Ending::Well | Ending::Broken | Ending::Silent if self.pieces.len() < 2 => {
                // A broken body is longer than it turns out to be.
                let more = u64::from(self.ending != Ending::Well);
                SizeHint::with_exact(length + more)
            }
            _ => SizeHint::default(),
        }
    }
}
