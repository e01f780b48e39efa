//! Patterns of `.dockerignore`, and of the sources of a copy: those of Go's `filepath.Match` with
//! `**`. Matching is a library's; the order in which rules speak is ours.

use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet};

/// Rules of a `.dockerignore` at most.
const RULES_MAX: usize = 1000;
const PATTERN_MAX_BYTES: usize = 1024;

/// Which paths of a context are left out. The last rule that speaks of a path, or of a directory
/// above it, decides.
///
/// All patterns are one automaton: each of its own would have a cache of megabytes.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: GlobSet,
    patterns_bytes: u64,
    /// What each rule says of what its pattern matches.
    keeps: Vec<bool>,
}

/// Answers for one path after the other. What was found of the directories above one holds for the
/// next in the same directories.
pub(super) struct Walk<'i> {
    ignore: &'i Ignore,
    /// The path that was asked for last.
    path: String,
    /// Of the directories above it: where each ends, and the last rule that speaks of it.
    above: Vec<(usize, Option<usize>)>,
    matching: Vec<usize>,
}

impl Walk<'_> {
    pub(super) fn excludes(&mut self, path: &str) -> bool {
        let shared = shared_directories(&self.path, path);
        self.above.retain(|(end, _)| *end <= shared);
        let known = self.above.last().map_or(0, |(end, _)| *end);
        let mut last = self.above.last().and_then(|(_, last)| *last);
        for (end, _) in path.match_indices('/').filter(|(end, _)| *end > known) {
            last = self.last(&path[..end], last);
            self.above.push((end, last));
        }
        path.clone_into(&mut self.path);
        let last = self.last(path, last);
        last.is_some_and(|rule| !self.ignore.keeps[rule])
    }

    /// The last rule that speaks of a path, or of what is above it.
    fn last(&mut self, path: &str, above: Option<usize>) -> Option<usize> {
        self.ignore.patterns.matches_into(path, &mut self.matching);
        self.matching.last().copied().max(above)
    }
}

/// Where the last directory ends that is above both.
fn shared_directories(one: &str, other: &str) -> usize {
    let same = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b);
    let same = same.count();
    let ends = other.as_bytes()[..same].iter().rposition(|b| *b == b'/');
    ends.unwrap_or(0)
}

impl Ignore {
    /// Reads the text of a `.dockerignore`.
    ///
    /// # Errors
    /// A line is no pattern, or there are too many.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = GlobSet::builder();
        let mut ignore = Self::default();
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (keeps, pattern) = match line.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim()),
                None => (false, line),
            };
            let pattern = clean(pattern);
            if pattern.is_empty() {
                continue;
            }
            if ignore.keeps.len() == RULES_MAX {
                return Err(format!(".dockerignore has more than {RULES_MAX} rules"));
            }
            let glob = glob(&pattern).map_err(|why| format!(".dockerignore: {line:?}: {why}"))?;
            patterns.add(glob);
            ignore.patterns_bytes += pattern.len() as u64;
            ignore.keeps.push(keeps);
        }
        let patterns = patterns.build();
        ignore.patterns = patterns.map_err(|error| format!(".dockerignore: {}", error.kind()))?;
        Ok(ignore)
    }

    /// Whether a path, relative to the context, is left out.
    #[must_use]
    pub fn excludes(&self, path: &str) -> bool {
        self.walk().excludes(path)
    }

    pub(super) fn walk(&self) -> Walk<'_> {
        Walk {
            ignore: self,
            path: String::new(),
            above: Vec::new(),
            matching: Vec::new(),
        }
    }

    /// What a walk along these paths takes at most, in bytes of paths times bytes of patterns: what
    /// matching one with the other can come to.
    pub(super) fn cost<'p>(&self, paths: impl Iterator<Item = &'p str>) -> u64 {
        let (mut bytes, mut before) = (0, "");
        for path in paths {
            let shared = shared_directories(before, path);
            let above = path.match_indices('/').map(|(end, _)| end);
            let above = above.filter(|end| *end > shared).sum::<usize>();
            bytes += (above + path.len()) as u64;
            before = path;
        }
        bytes.saturating_mul(self.patterns_bytes)
    }

    /// Whether something below an excluded directory may be kept all the same.
    #[must_use]
    pub fn has_exceptions(&self) -> bool {
        self.keeps.contains(&true)
    }
}

/// A name with wildcards.
#[derive(Debug, Clone)]
pub struct Pattern(GlobMatcher);

impl Pattern {
    #[must_use]
    pub fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// One part of a path as a pattern; `None` where it is a plain name.
#[must_use]
pub fn wildcard(part: &str) -> Option<Result<Pattern, String>> {
    has_wildcard(part).then(|| matcher(part).map(Pattern))
}

/// Whether a source of a copy names several things.
pub(super) fn has_wildcard(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

pub(super) fn matcher(pattern: &str) -> Result<GlobMatcher, String> {
    Ok(glob(pattern)?.compile_matcher())
}

fn glob(pattern: &str) -> Result<Glob, String> {
    if pattern.len() > PATTERN_MAX_BYTES {
        return Err(format!("a pattern has at most {PATTERN_MAX_BYTES} bytes"));
    }
    // Braces mean nothing in Go's patterns, and a character class is negated by `^`.
    let pattern = pattern
        .replace('{', "\\{")
        .replace('}', "\\}")
        .replace("[^", "[!");
    let glob = GlobBuilder::new(&pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .build();
    glob.map_err(|error| error.kind().to_string())
}

/// Without `.`, empty parts, and `..` as far as there is something to take back.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(rules: &str, paths: &[&str]) -> Vec<bool> {
        let ignore = Ignore::parse(rules).expect(rules);
        paths.iter().map(|path| ignore.excludes(path)).collect()
    }

    #[test]
    fn rules_are_anchored_at_the_context_and_reach_down() {
        let paths = ["a", "a/b/c", "x/a", "ab"];
        assert_eq!(excluded("a", &paths), [true, true, false, false]);
        assert_eq!(excluded("/a/", &paths), [true, true, false, false]);
        assert_eq!(excluded("**/a", &paths), [true, true, true, false]);
        assert_eq!(excluded("a*", &paths), [true, true, false, true]);
        assert_eq!(excluded("# a\n\n", &paths), [false; 4]);
    }

    #[test]
    fn wildcards_stop_at_slashes_and_braces_are_plain() {
        assert_eq!(excluded("*.log", &["a.log", "d/a.log"]), [true, false]);
        assert_eq!(excluded("**/*.log", &["a.log", "d/e/a.log"]), [true, true]);
        assert_eq!(excluded("d/**", &["d/e/f", "e"]), [true, false]);
        assert_eq!(excluded("{a,b}", &["a", "{a,b}"]), [false, true]);
        assert_eq!(excluded("[^a]", &["a", "b"]), [false, true]);
    }

    #[test]
    fn the_last_rule_that_speaks_decides() {
        let rules = "*\n!keep\nkeep/not\n";
        let paths = ["x", "keep", "keep/a", "keep/not", "keep/not/b"];
        assert_eq!(excluded(rules, &paths), [true, false, false, true, true]);
        assert_eq!(excluded("!keep/a\nkeep", &["keep/a"]), [true]);
    }

    #[test]
    fn a_walk_says_of_each_path_what_is_said_of_it_alone() {
        let ignore = Ignore::parse("a/b\n!a/b/c\n*-x\nd\n!**/e\n").expect("good");
        let paths = [
            "a", "a-x", "a/b", "a/b-x", "a/b/c", "a/b/c/d", "a/b/d", "a/bc", "d", "d/e", "d/f", "e",
        ];
        let mut walk = ignore.walk();
        for path in paths {
            assert_eq!(walk.excludes(path), ignore.excludes(path), "{path}");
        }
        assert!(ignore.excludes("a/b/d") && !ignore.excludes("a/b/c/d") && !ignore.excludes("d/e"));
    }

    #[test]
    fn broken_patterns_are_named() {
        assert!(Ignore::parse("[a").expect_err("broken").contains("[a"));
        assert!(Ignore::parse(&"a\n".repeat(RULES_MAX + 1)).is_err());
    }
}
