//! Headers that programs give: any kind of name and value, checked once, here.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Adds a header. The error says what is wrong with it, without its value.
pub(crate) fn append<N, V>(headers: &mut HeaderMap, name: N, value: V) -> Result<(), String>
where
    N: TryInto<HeaderName, Error: fmt::Display>,
    V: TryInto<HeaderValue, Error: fmt::Display>,
{
    let name = name
        .try_into()
        .map_err(|error| format!("header: {error}"))?;
    let value = value
        .try_into()
        .map_err(|error| format!("header {name}: {error}"))?;
    headers.append(name, value);
    Ok(())
}
