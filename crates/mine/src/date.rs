//! Dates as people write them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::run::MineError;

/// Seconds since 1970 of `2016-01-01` (midnight, UTC) or of an RFC 3339 time.
pub fn parse_date(text: &str) -> Result<i64, MineError> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_second());
    }
    let date = text.parse::<Date>().ok().filter(|_| !text.contains([':', 'T']));
    let start = date.and_then(|d| d.to_zoned(TimeZone::UTC).ok());
    match start {
        Some(start) => Ok(start.timestamp().as_second()),
        None => Err(MineError::Date { text: text.to_owned() }),
    }
}
