//! The query of a request, decoded as that of a form: [`Query`].

use url::form_urlencoded;

/// Names and values, decoded once. They share one text, so that thousands of tiny ones cost no more
/// memory than the query itself.
#[derive(Debug)]
pub(super) struct Query {
    text: String,
    /// The ends of each name and of its value in the text.
    ends: Vec<(u32, u32)>,
}

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let mut parsed = Self {
            text: String::new(),
            ends: Vec::new(),
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            parsed.text.push_str(&name);
            let name_end = parsed.end();
            parsed.text.push_str(&value);
            parsed.ends.push((name_end, parsed.end()));
        }
        parsed
    }

    /// Returns names and values, in their order.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |(name_end, end)| {
            let (name_end, end) = (*name_end as usize, *end as usize);
            let name = self.text.get(start..name_end).unwrap_or_default();
            let value = self.text.get(name_end..end).unwrap_or_default();
            start = end;
            (name, value)
        })
    }

    /// Returns the end of the text. A URI is at most 64 KiB long, also one that a program makes.
    fn end(&self) -> u32 {
        u32::try_from(self.text.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and values come back in their order, decoded, empty ones too.
    #[test]
    fn pairs() {
        let pairs = |query| {
            Query::parse(query)
                .pairs()
                .map(|(a, b)| format!("{a}:{b}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            pairs("a=1&b+c=%C3%A9&&d&=e&a=2&f="),
            ["a:1", "b c:é", "d:", ":e", "a:2", "f:"]
        );
        assert_eq!(pairs("%FF=%"), ["\u{fffd}:%"]);
        assert_eq!(pairs(""), [""; 0]);
    }

    /// The longest list costs about as much as its query.
    #[test]
    fn tiny_pairs_cost_little() {
        let query = Query::parse(&"a&".repeat(4 << 10));
        assert_eq!(query.pairs().count(), 4 << 10);
        assert!(query.text.capacity() + query.ends.capacity() * 8 <= 48 << 10);
    }
}
