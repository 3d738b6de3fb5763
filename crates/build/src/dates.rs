//! Calendar dates as days since 1970, and the dates that packages are resolved as of.

use jiff::civil::{Date, date};

/// Days since 1970 of the calendar date that `text` starts with (`2024-03-05T10:00:00+02:00`).
pub(crate) fn days(text: &str) -> Option<i64> {
    let day: Date = text.get(..10)?.parse().ok()?;
    Some(days_of(day))
}

/// Midnight UTC of a day, RFC 3339.
pub(crate) fn midnight(days: i64) -> String {
    let day = epoch().checked_add(jiff::Span::new().try_days(days).unwrap_or_default());
    format!("{}T00:00:00Z", day.unwrap_or(epoch()))
}

/// The first day of the quarter of a day. Commits of one quarter share their resolution: that
/// is what keeps the number of environments of a long history small.
pub(crate) fn quarter(days: i64) -> i64 {
    let day = civil(days);
    days_of(date(day.year(), (day.month() - 1) / 3 * 3 + 1, 1))
}

/// The first day of the quarter after that of a day.
pub(crate) fn next_quarter(days: i64) -> i64 {
    quarter(quarter(days) + 100)
}

fn epoch() -> Date {
    date(1970, 1, 1)
}

fn civil(days: i64) -> Date {
    let span = jiff::Span::new().try_days(days).unwrap_or_default();
    epoch().checked_add(span).unwrap_or(epoch())
}

fn days_of(day: Date) -> i64 {
    day.duration_since(epoch()).as_hours() / 24
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_start_where_they_should() {
        let check = |from: &str, start: &str, next: &str| {
            let day = days(from).unwrap();
            assert_eq!(midnight(quarter(day)), format!("{start}T00:00:00Z"));
            assert_eq!(midnight(next_quarter(day)), format!("{next}T00:00:00Z"));
        };
        check("2024-03-05T10:00:00+02:00", "2024-01-01", "2024-04-01");
        check("2024-12-31", "2024-10-01", "2025-01-01");
        check("2023-01-01", "2023-01-01", "2023-04-01");
        assert_eq!(days("nonsense"), None);
    }
}
