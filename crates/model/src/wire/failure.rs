//! What servers say when they cannot answer.

use serde_json::{Value, json};

use super::Api;

/// An error as a server told it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failure {
    /// HTTP status, where the body or its type tells one.
    pub status: Option<u16>,
    /// The server's word for it: `type` and `code`, joined with a space.
    pub kind: String,
    /// The message.
    pub text: String,
}

impl Failure {
    /// Reads the body of an error of any API, or whatever else a server says.
    pub fn of_body(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::of_value(&value)
                .unwrap_or_else(|| Self { text: shorten(&value.to_string()), ..Self::default() }),
            Err(_) => {
                Self { text: shorten(String::from_utf8_lossy(body).trim()), ..Self::default() }
            }
        }
    }

    /// Reads an event of a stream: `None` where it is not an error.
    pub fn of_event(value: &Value) -> Option<Self> {
        let kind = value.get("type").and_then(Value::as_str);
        match kind {
            Some("response.failed") => {
                Self::of_value(value.get("response")?).or_else(|| Some(Self::unknown()))
            }
            Some("error") => Self::of_value(value).or_else(|| Some(Self::unknown())),
            Some(_) => None,
            None => value.get("error").filter(|error| !error.is_null()).and_then(|_| {
                // An error beside choices is one of a choice; the finish reason tells it.
                Self::of_value(value)
            }),
        }
    }

    fn unknown() -> Self {
        Self { text: "an error without a message".to_owned(), ..Self::default() }
    }

    fn of_value(value: &Value) -> Option<Self> {
        let error = match value.get("error") {
            Some(error) if !error.is_null() => error,
            _ if value.get("message").is_some_and(Value::is_string) => value,
            // FastAPI's own errors.
            _ => value.get("detail")?,
        };
        if let Some(text) = error.as_str() {
            return Some(Self { text: shorten(text), ..Self::default() });
        }
        let word = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or("");
        let mut kind = [word("type"), word("code")].join(" ").trim().to_owned();
        if kind == "error" {
            kind.clear();
        }
        let number = |value: &Value| value.as_u64().and_then(|n| u16::try_from(n).ok());
        let status = error
            .get("code")
            .and_then(number)
            .or_else(|| error.get("status").and_then(number))
            .filter(|status| (400..600).contains(status))
            .or_else(|| status_of(&kind));
        let text = match error.get("message") {
            Some(Value::String(text)) => shorten(text),
            _ => shorten(&error.to_string()),
        };
        Some(Self { status, kind, text })
    }
}

/// The status that a word for an error stands for.
fn status_of(kind: &str) -> Option<u16> {
    let of = |word: &str| match word {
        "overloaded_error" => Some(529),
        "api_error" | "server_error" => Some(500),
        "rate_limit_error" | "rate_limit_exceeded" | "insufficient_quota" => Some(429),
        "authentication_error" => Some(401),
        "permission_error" => Some(403),
        "invalid_request_error" => Some(400),
        "timeout_error" => Some(504),
        _ => None,
    };
    kind.split(' ').find_map(of)
}

/// At most 2000 characters.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(2000) {
        Some((end, _)) => format!("{} […]", &text[..end]),
        None => text.to_owned(),
    }
}

pub(super) fn to_json(api: Api, status: u16, text: &str) -> Value {
    if api == Api::Anthropic {
        let kind = match status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            504 => "timeout_error",
            529 => "overloaded_error",
            400..500 => "invalid_request_error",
            _ => "api_error",
        };
        return json!({"type": "error", "error": {"type": kind, "message": text}});
    }
    let kind = match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..500 => "invalid_request_error",
        _ => "server_error",
    };
    json!({"error": {"message": text, "type": kind, "param": null, "code": null}})
}
