//! The path of a route: text, parameters, and perhaps a tail.

use std::fmt;

/// A path with places for parameters, split at its slashes.
///
/// An empty path has no segments, and `/` has one that is empty. So patterns can be joined.
#[derive(Clone, Default)]
pub(super) struct Pattern {
    text: String,
    segments: Vec<Segment>,
}

/// A part between two slashes.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Text(String),
    /// `{name}`, which stands for a segment that is not empty.
    Parameter(String),
    /// `{*name}`, which stands for the rest of the path, which is not empty.
    Tail(String),
}

impl Pattern {
    /// Reads a path. The error is the problem with it.
    pub(super) fn parse(path: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("the path {path:?} {what}");
        if path.is_empty() {
            return Ok(Self::default());
        }
        let below = path
            .strip_prefix('/')
            .ok_or_else(|| wrong("does not begin with a slash"))?;
        let segments: Result<Vec<_>, _> = below.split('/').map(Segment::parse).collect();
        let pattern = Self {
            text: path.to_owned(),
            segments: segments.map_err(wrong)?,
        };
        match pattern.segments.split_last() {
            Some((_, before)) if before.iter().any(Segment::is_tail) => {
                Err(wrong("goes on after a tail"))
            }
            _ => Ok(pattern),
        }
    }

    /// Reads the prefix of a scope.
    pub(super) fn parse_prefix(prefix: &str) -> Result<Self, String> {
        let pattern = Self::parse(prefix)?;
        match pattern.segments.last() {
            Some(Segment::Tail(_)) => Err(format!("the prefix {prefix:?} ends with a tail")),
            Some(Segment::Text(text)) if text.is_empty() => {
                Err(format!("the prefix {prefix:?} ends with a slash"))
            }
            _ => Ok(pattern),
        }
    }

    /// Returns the pattern of a path below this one.
    pub(super) fn join(&self, below: &Self) -> Self {
        Self {
            text: format!("{}{}", self.text, below.text),
            segments: self
                .segments
                .iter()
                .chain(&below.segments)
                .cloned()
                .collect(),
        }
    }

    /// Checks the rules that concern a whole path.
    pub(super) fn check_whole(&self) -> Result<(), String> {
        if self.segments.is_empty() {
            return Err("a route has an empty path".into());
        }
        let names: Vec<_> = self.names().collect();
        let repeated = names
            .iter()
            .enumerate()
            .find(|(at, name)| names[..*at].contains(name));
        match repeated {
            None => Ok(()),
            Some((_, name)) => Err(format!("the path {:?} names {name:?} twice", self.text)),
        }
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns the names of the parameters, in their order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Text(_) => None,
            Segment::Parameter(name) | Segment::Tail(name) => Some(name.as_str()),
        })
    }
}

impl Segment {
    fn parse(segment: &str) -> Result<Self, &'static str> {
        let Some(inside) = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        else {
            return Self::text(segment);
        };
        let (name, make): (_, fn(String) -> Self) = match inside.strip_prefix('*') {
            Some(name) => (name, Self::Tail),
            None => (inside, Self::Parameter),
        };
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || !name.chars().all(is_name) {
            return Err("has a parameter without a name of letters and digits");
        }
        Ok(make(name.to_owned()))
    }

    fn text(segment: &str) -> Result<Self, &'static str> {
        if segment.contains(['{', '}']) {
            return Err("has a parameter that is not all that stands between two slashes");
        }
        // RFC 3986 3.3: no other characters come in a path, so the route would never match.
        let comes = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
        if !segment.bytes().all(comes) {
            return Err("has a character that comes percent-encoded only");
        }
        Ok(Self::Text(segment.to_owned()))
    }

    fn is_tail(&self) -> bool {
        matches!(self, Self::Tail(_))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern that can never match, or whose parameters are unclear, is refused.
    #[test]
    fn refuses_what_cannot_match() {
        let bad = [
            "echo", "/{}", "/{*}", "/{a", "/a}", "/{a}{b}", "/x{a}", "/{a}.png", "/{{a}}",
            "/{a b}", "/{*a}/b", "/{*a}/", "/a b", "/a?b", "/a#b", "/ä", "/a\r\n", "{a}", "*",
        ];
        for path in bad {
            assert!(Pattern::parse(path).is_err(), "{path}");
        }
    }

    /// A pattern keeps its text, and its names in their order.
    #[test]
    fn keeps_text_and_names() {
        for path in [
            "",
            "/",
            "/a",
            "/a/",
            "/{a}/b/{c}",
            "/a%20b",
            "/{größe}",
            "/a/{*rest}",
        ] {
            assert_eq!(Pattern::parse(path).unwrap().to_string(), path);
        }
        let pattern = Pattern::parse("/{a}/b/{c}/{*d}").unwrap();
        assert_eq!(pattern.names().collect::<Vec<_>>(), ["a", "c", "d"]);
    }

    /// A prefix may be empty, and ends neither with a slash nor with a tail.
    #[test]
    fn prefixes_leave_room_for_paths() {
        for prefix in ["", "/a", "/a/{b}"] {
            assert!(Pattern::parse_prefix(prefix).is_ok(), "{prefix}");
        }
        for prefix in ["/", "/a/", "/{*rest}", "a"] {
            assert!(Pattern::parse_prefix(prefix).is_err(), "{prefix}");
        }
    }

    /// A name may occur once in a whole path.
    #[test]
    fn refuses_a_name_twice() {
        let [outer, inner] = ["/{id}", "/x/{id}"].map(|path| Pattern::parse(path).unwrap());
        assert!(inner.check_whole().is_ok());
        assert!(outer.join(&inner).check_whole().is_err());
    }
}
