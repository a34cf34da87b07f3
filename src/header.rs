//! Headers that programs give, in any type of name and value, and headers that occur once.

use std::fmt;

use http::header::AsHeaderName;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Adds a header. The error is the problem with it, without its value.
pub(crate) fn append<N, V>(headers: &mut HeaderMap, name: N, value: V) -> Result<(), String>
where
    N: TryInto<HeaderName, Error: fmt::Display>,
    V: TryInto<HeaderValue, Error: fmt::Display>,
{
    let name = name.try_into().map_err(|error| {
        let count = headers.len() + 1;
        format!("the name of header {count} cannot be sent: {error}")
    })?;
    let value = value
        .try_into()
        .map_err(|error| format!("the header {name} cannot be sent: {error}"))?;
    headers.append(name, value);
    Ok(())
}

/// Returns a header that occurs exactly once and is text.
pub(crate) fn only_text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()
}
