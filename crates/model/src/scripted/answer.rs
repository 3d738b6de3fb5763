//! From what the script says to what is sent.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::body::{Ending, Pieces};
use super::{Say, Scripted, ScriptedOptions, tokens};
use crate::message::Request;
use crate::wire::{Api, Streaming};

/// Pieces that a stream is sent in, unless it drips.
const WRITES: usize = 6;

/// A request, read.
pub(super) struct Asked {
    pub(super) api: Api,
    pub(super) request: Request,
    pub(super) streaming: Streaming,
    /// A name for the answer.
    pub(super) id: String,
}

impl Asked {
    /// The response; `None` where the server is to be silent.
    pub(super) fn answer(
        &self,
        scripted: Scripted,
        options: &ScriptedOptions,
    ) -> Option<Response<Pieces>> {
        let kind = if self.streaming.stream { "text/event-stream" } else { "application/json" };
        let with = |body: Pieces| {
            let mut response = Response::new(body);
            response.headers_mut().insert(CONTENT_TYPE, kind.parse().ok()?);
            Some(response)
        };
        let quick = Duration::ZERO;
        match scripted {
            Scripted::Say(say) => {
                let pieces = self.pieces(say, options);
                let pieces = if self.streaming.stream { grouped(&pieces) } else { pieces };
                with(Pieces::new(pieces, quick, Ending::Well))
            }
            Scripted::Status { status, body, retry_after } => {
                Some(refusal(self.api, status, &body, retry_after.as_deref()))
            }
            Scripted::Garbage(bytes) => with(Pieces::whole(bytes)),
            Scripted::Half(say, part) => {
                with(Pieces::new(vec![self.part(say, part, options)], quick, Ending::Broken))
            }
            Scripted::Stall(say, part) => {
                with(Pieces::new(vec![self.part(say, part, options)], quick, Ending::Silent))
            }
            Scripted::Hang => None,
            Scripted::Drip(say, pause) => {
                let pieces = self.pieces(say, options);
                let pieces = if self.streaming.stream { pieces } else { cut(&pieces.concat()) };
                with(Pieces::new(pieces, pause, Ending::Well))
            }
            Scripted::Endless => {
                let piece = if self.streaming.stream { ": still here\n\n" } else { "        " };
                let piece = Bytes::from(piece.repeat(64));
                let pause = Duration::from_millis(1);
                with(Pieces::new(vec![piece.clone(), piece], pause, Ending::Endless))
            }
            Scripted::Open(say) => {
                let bytes = self.pieces(say, options).concat();
                with(Pieces::new(vec![bytes.into()], quick, Ending::Silent))
            }
        }
    }

    fn pieces(&self, say: Say, options: &ScriptedOptions) -> Vec<Bytes> {
        let mut reply = say.reply(self.id.clone(), &self.request);
        tokens::complete(&mut reply, &self.request, options.tokens);
        if self.streaming.stream {
            let usage = self.streaming.include_usage;
            let events = self.api.events_of(&reply, &self.request, usage);
            events.into_iter().map(Bytes::from).collect()
        } else {
            vec![self.api.reply_to_vec(&reply, &self.request).into()]
        }
    }

    fn part(&self, say: Say, part: f64, options: &ScriptedOptions) -> Bytes {
        let all = self.pieces(say, options).concat();
        let length = (all.len() as f64 * part.clamp(0.0, 1.0)) as usize;
        Bytes::from(all).slice(..length)
    }
}

/// A few pieces of many, so that a stream costs few writes.
fn grouped(pieces: &[Bytes]) -> Vec<Bytes> {
    pieces.chunks(pieces.len().div_ceil(WRITES).max(1)).map(|group| group.concat().into()).collect()
}

fn cut(bytes: &[u8]) -> Vec<Bytes> {
    bytes.chunks((bytes.len() / 16).max(16)).map(Bytes::copy_from_slice).collect()
}

/// An error.
pub(super) fn refusal(
    api: Api,
    status: u16,
    body: &str,
    retry_after: Option<&str>,
) -> Response<Pieces> {
    let body = if body.is_empty() {
        api.error_to_json(status, "as the script says").to_string()
    } else {
        body.to_owned()
    };
    let mut response = Response::new(Pieces::whole(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Ok(value) = "application/json".parse() {
        headers.insert(CONTENT_TYPE, value);
    }
    if let Some(Ok(value)) = retry_after.map(str::parse) {
        headers.insert(RETRY_AFTER, value);
    }
    response
}
