//! The time for which a server asks a client to stay away: [`retry_after`].

use std::time::{Duration, SystemTime};

use http::header::{DATE, HeaderName, RETRY_AFTER};

use crate::Refusal;

/// Returns how long the server asks a client to wait, by a 429 or 503 with `Retry-After` in seconds
/// or as a date (RFC 9110, section 10.2.3; RFC 6585, section 4).
pub(super) fn retry_after(refusal: &Refusal, now: SystemTime) -> Option<Duration> {
    if !matches!(refusal.status.as_u16(), 429 | 503) {
        return None;
    }
    let value = text(refusal, &RETRY_AFTER)?;
    if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        // A number that does not fit is longer than any ceiling.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    // Counted by the server's own clock, where it tells: ours may be wrong.
    let date = text(refusal, &DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    Some(
        until
            .duration_since(date.unwrap_or(now))
            .unwrap_or_default(),
    )
}

fn text<'a>(refusal: &'a Refusal, name: &HeaderName) -> Option<&'a str> {
    Some(refusal.headers.get(name)?.to_str().ok()?.trim())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    fn asked(status: u16, fields: &[(HeaderName, &'static str)]) -> Option<Duration> {
        let fields = fields.iter().cloned();
        let headers = fields.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let refusal = Refusal {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::from_iter(headers),
            body: bytes::Bytes::new(),
            proxy: None,
        };
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        retry_after(&refusal, now)
    }

    /// Seconds and dates of a 429 or 503 count, dates by the server's own clock; anything else says
    /// nothing.
    #[test]
    fn seconds_and_dates_are_read() {
        let date = "Sun, 06 Nov 1994 08:50:37 GMT";
        for (value, seconds) in [
            ("120", Some(120)),
            ("0", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            (date, Some(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("Sat, 05 Nov 1994 08:50:37 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            for status in [429, 503] {
                let asked = asked(status, &[(RETRY_AFTER, value)]);
                assert_eq!(asked, seconds.map(Duration::from_secs), "{value}");
            }
            assert_eq!(asked(502, &[(RETRY_AFTER, value)]), None);
        }
        assert_eq!(asked(503, &[]), None);
        let skewed = [(RETRY_AFTER, date), (DATE, "Sun, 06 Nov 1994 08:50:07 GMT")];
        assert_eq!(asked(503, &skewed), Some(Duration::from_secs(30)));
    }
}
