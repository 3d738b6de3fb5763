//! What an answer without a completion means.

use std::time::{Duration, SystemTime};

use crate::error::ModelError;
use crate::wire::Failure;

/// Words that servers have for a prompt that is too long, in lower case.
const TOO_LONG: [&str; 12] = [
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "context length",
    "context window",
    "context size",
    "context limit",
    "prompt is too long",
    "input is too long",
    "maximum allowed length",
    "exceeds the maximum number of tokens",
    "reduce the length of the",
];

/// Words for money that is gone, in lower case.
const NO_MONEY: [&str; 5] = [
    "insufficient_quota",
    "exceeded your current quota",
    "credit balance is too low",
    "billing_hard_limit",
    "insufficient credits",
];

/// The error that a status and a body stand for.
pub(super) fn error_of(
    server: &str,
    status: u16,
    failure: Failure,
    retry_after: Option<Duration>,
) -> ModelError {
    let server = server.to_owned();
    let words = format!("{} {}", failure.kind, failure.text).to_lowercase();
    let says = |list: &[&str]| list.iter().any(|word| words.contains(word));
    let detail = match (failure.kind.is_empty(), failure.text.is_empty()) {
        (true, true) => format!("status {status} and nothing else"),
        (true, false) => failure.text,
        (false, _) => format!("{} ({})", failure.text, failure.kind),
    };
    if status == 402 || ((400..500).contains(&status) && says(&NO_MONEY)) {
        return ModelError::Budget(format!("{server} says: {detail}"));
    }
    if status == 413 || (status != 429 && status != 401 && says(&TOO_LONG)) {
        return ModelError::ContextTooLong { detail };
    }
    match status {
        401 | 403 => ModelError::Unauthorised { server, detail },
        429 => ModelError::RateLimited { server, detail, retry_after },
        408 | 409 | 425 => ModelError::Server { server, status, detail, retry_after },
        501 | 505 => ModelError::Rejected { server, status, detail },
        500.. => ModelError::Server { server, status, detail, retry_after },
        _ => ModelError::Rejected { server, status, detail },
    }
}

/// When the server wants to be asked again: `retry-after-ms`, else `retry-after` in seconds or as a
/// date.
pub(super) fn retry_after(
    milliseconds: Option<&str>,
    after: Option<&str>,
    now: SystemTime,
) -> Option<Duration> {
    let number =
        |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    // A wait beyond a year is no wait that anyone means.
    let seconds = |n: f64| Duration::from_secs_f64(n.min(31_536_000.0));
    if let Some(n) = milliseconds.and_then(number) {
        return Some(seconds(n / 1000.0));
    }
    let after = after?;
    if let Some(n) = number(after) {
        return Some(seconds(n));
    }
    let date = httpdate::parse_http_date(after.trim()).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> ModelError {
        error_of("s", status, Failure::of_body(body.as_bytes()), None)
    }

    #[test]
    fn prompts_that_are_too_long() {
        for (status, body) in [
            (
                400,
                r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
            ),
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens","type":"BadRequestError","param":null,"code":400}"#,
            ),
            (
                400,
                r#"{"error":{"message":"Input length (9000 tokens) exceeds the maximum allowed length (8186 tokens).","type":"BadRequestError","code":400}}"#,
            ),
            (
                400,
                r#"{"object":"error","message":"The input (9000 tokens) is longer than the model's context length (8192 tokens).","type":"BadRequest","code":400}"#,
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 208310 tokens > 200000 maximum"}}"#,
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"}}"#,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"the request exceeds the available context size. try increasing the context size","type":"exceed_context_size_error"}}"#,
            ),
            (
                413,
                r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#,
            ),
        ] {
            assert!(matches!(of(status, body), ModelError::ContextTooLong { .. }), "{body}");
        }
    }

    #[test]
    fn money_is_not_a_rate() {
        let body = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        assert!(matches!(of(429, body), ModelError::Budget(_)));
        assert!(matches!(of(402, "{}"), ModelError::Budget(_)));
        let body = r#"{"error":{"message":"Rate limit reached for tokens per min","type":"tokens","code":"rate_limit_exceeded"}}"#;
        assert!(of(429, body).is_transient());
    }

    #[test]
    fn the_rest() {
        assert!(matches!(of(401, "no"), ModelError::Unauthorised { .. }));
        assert!(matches!(of(404, "<html>"), ModelError::Rejected { status: 404, .. }));
        assert!(of(529, "{}").is_transient());
        assert!(of(503, "").is_transient());
        assert!(!of(422, "{}").is_transient());
    }

    #[test]
    fn when_to_ask_again() {
        let now = httpdate::parse_http_date("Fri, 20 Nov 2026 10:00:00 GMT").unwrap();
        let date = Some("Fri, 20 Nov 2026 10:00:30 GMT");
        assert_eq!(retry_after(None, date, now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after(None, Some(" 7 "), now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(Some("250"), Some("7"), now), Some(Duration::from_millis(250)));
        let past = Some("Fri, 20 Nov 2026 09:00:00 GMT");
        assert_eq!(retry_after(None, past, now), Some(Duration::ZERO));
        for odd in ["soon", "-3", "nan", ""] {
            assert_eq!(retry_after(None, Some(odd), now), None, "{odd}");
        }
        assert!(retry_after(None, Some("1e300"), now).is_some());
    }
}
