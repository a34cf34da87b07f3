//! The search for the routes of a path: [`Paths`].

use std::collections::BTreeMap;

use super::pattern::{Pattern, Segment};

/// A tree of segments, with the routes that end at each node.
///
/// If several patterns match, the most specific one wins, in whatever order they were added: text
/// goes before a parameter, a parameter before a tail, and a segment further left counts more.
#[derive(Debug, Default)]
pub(super) struct Paths {
    texts: BTreeMap<String, Paths>,
    parameter: Option<Box<Paths>>,
    /// The numbers of the routes that end here, and of those that end with a tail here.
    here: Vec<usize>,
    tail: Vec<usize>,
}

impl Paths {
    /// Returns the node of a pattern, for its routes. The names of parameters make no difference.
    pub(super) fn place(&mut self, pattern: &Pattern) -> &mut Vec<usize> {
        let mut node = self;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Text(text) => node.texts.entry(text.clone()).or_default(),
                Segment::Parameter(_) => node.parameter.get_or_insert_default(),
                Segment::Tail(_) => return &mut node.tail,
            };
        }
        &mut node.here
    }

    /// Returns the routes of a path, if there are any, and the values of the parameters.
    pub(super) fn find<'a>(&self, path: &'a str) -> (&[usize], Vec<&'a str>) {
        let mut values = Vec::new();
        let below = path.strip_prefix('/');
        let found = below.and_then(|below| self.find_below(Some(below), &mut values));
        (found.unwrap_or_default(), values)
    }

    /// Searches for the rest of the path, which is `None` at its end. The search goes no deeper
    /// than the patterns do, and looks at each of their segments at most once.
    fn find_below<'a>(&self, path: Option<&'a str>, values: &mut Vec<&'a str>) -> Option<&[usize]> {
        let Some(path) = path else {
            return some(&self.here);
        };
        let (segment, below) = match path.split_once('/') {
            Some((segment, below)) => (segment, Some(below)),
            None => (path, None),
        };
        let text = self
            .texts
            .get(segment)
            .and_then(|node| node.find_below(below, values));
        text.or_else(|| self.find_parameter(segment, below, values))
            .or_else(|| self.find_tail(path, values))
    }

    fn find_parameter<'a>(
        &self,
        segment: &'a str,
        below: Option<&'a str>,
        values: &mut Vec<&'a str>,
    ) -> Option<&[usize]> {
        let node = self.parameter.as_ref().filter(|_| !segment.is_empty())?;
        values.push(segment);
        let found = node.find_below(below, values);
        if found.is_none() {
            values.pop();
        }
        found
    }

    fn find_tail<'a>(&self, path: &'a str, values: &mut Vec<&'a str>) -> Option<&[usize]> {
        let found = some(&self.tail).filter(|_| !path.is_empty())?;
        values.push(path);
        Some(found)
    }
}

fn some(routes: &[usize]) -> Option<&[usize]> {
    (!routes.is_empty()).then_some(routes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERNS: [&str; 7] = ["/", "/a", "/a/", "/a/{x}", "/{x}/b", "/{x}", "/{*rest}"];

    /// Says which pattern each path gets, and what its parameters stand for.
    const FOUND: [(&str, &str, &[&str]); 12] = [
        ("/", "/", &[]),
        ("/a", "/a", &[]),
        ("/a/", "/a/", &[]),
        ("/a/b", "/a/{x}", &["b"]),
        ("/c/b", "/{x}/b", &["c"]),
        ("/c", "/{x}", &["c"]),
        ("/c/", "/{*rest}", &["c/"]),
        ("/a/b/c", "/{*rest}", &["a/b/c"]),
        ("/c/b/", "/{*rest}", &["c/b/"]),
        ("//", "/{*rest}", &["/"]),
        ("//b", "/{*rest}", &["/b"]),
        ("/%61", "/{x}", &["%61"]),
    ];

    fn paths(patterns: &[&str]) -> Paths {
        let mut paths = Paths::default();
        for pattern in patterns {
            let number = PATTERNS
                .iter()
                .position(|known| known == pattern)
                .unwrap_or(99);
            paths.place(&Pattern::parse(pattern).unwrap()).push(number);
        }
        paths
    }

    /// Calls back with every order of the items.
    fn permute<T>(items: &mut [T], fixed: usize, visit: &mut impl FnMut(&[T])) {
        if fixed == items.len() {
            return visit(items);
        }
        for next in fixed..items.len() {
            items.swap(fixed, next);
            permute(items, fixed + 1, visit);
            items.swap(fixed, next);
        }
    }

    /// The most specific pattern wins, in whatever order they came.
    #[test]
    fn the_most_specific_wins() {
        permute(&mut PATTERNS.clone(), 0, &mut |patterns| {
            let paths = paths(patterns);
            for (path, pattern, values) in FOUND {
                let (found, found_values) = paths.find(path);
                let found = found
                    .iter()
                    .map(|number| PATTERNS[*number])
                    .collect::<Vec<_>>();
                assert_eq!(found, [pattern], "{path} of {patterns:?}");
                assert_eq!(found_values, values, "{path} of {patterns:?}");
            }
        });
    }

    /// A way that leads nowhere leaves no values behind.
    #[test]
    fn dead_ends_leave_nothing() {
        let paths = paths(&["/{x}/{y}/b", "/{*rest}"]);
        assert_eq!(paths.find("/1/2/3").1, ["1/2/3"]);
        assert_eq!(paths.find("/1/2/b").1, ["1", "2"]);
    }

    /// Neither parameter nor tail stands for nothing, and a trailing slash makes another path.
    #[test]
    fn finds_nothing_where_nothing_is() {
        let paths = paths(&["/a/{x}", "/b/{*rest}", "/c"]);
        for path in [
            "", "*", "/", "/a", "/a/", "/a/1/", "/b", "/b/", "/c/", "//c", "/C", "c",
        ] {
            assert!(paths.find(path).0.is_empty(), "{path}");
        }
    }

    /// A long path of nothing but slashes costs no depth.
    #[test]
    fn long_paths_cost_no_depth() {
        let paths = paths(&["/{x}/{y}", "/a/{*rest}"]);
        assert!(paths.find(&"/".repeat(1 << 20)).0.is_empty());
        assert!(paths.find(&"/b".repeat(1 << 20)).0.is_empty());
    }
}
