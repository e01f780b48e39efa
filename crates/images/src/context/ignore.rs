//! Patterns of `.dockerignore`, and of the sources of a copy: those of Go's `filepath.Match` with
//! `**`. Matching is a library's; the order in which rules speak is ours.

use globset::{GlobBuilder, GlobMatcher};

/// Rules of a `.dockerignore` at most.
const RULES_MAX: usize = 10_000;
const PATTERN_MAX_BYTES: usize = 4096;

/// Which paths of a context are left out. The last rule that speaks of a path, or of a directory
/// above it, decides.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    pattern: GlobMatcher,
    keeps: bool,
}

impl Ignore {
    /// Reads the text of a `.dockerignore`.
    ///
    /// # Errors
    /// A line is no pattern, or there are too many.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
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
            if rules.len() == RULES_MAX {
                return Err(format!(".dockerignore has more than {RULES_MAX} rules"));
            }
            let pattern =
                matcher(&pattern).map_err(|why| format!(".dockerignore: {line:?}: {why}"))?;
            rules.push(Rule { pattern, keeps });
        }
        Ok(Self { rules })
    }

    /// Whether a path, relative to the context, is left out.
    #[must_use]
    pub fn excludes(&self, path: &str) -> bool {
        let mut rules = self.rules.iter().rev();
        let last = rules.find(|rule| matches_or_above(&rule.pattern, path));
        last.is_some_and(|rule| !rule.keeps)
    }

    /// Whether something below an excluded directory may be kept all the same.
    #[must_use]
    pub fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.keeps)
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

fn matches_or_above(pattern: &GlobMatcher, path: &str) -> bool {
    let above = path.match_indices('/').map(|(at, _)| &path[..at]);
    above.chain([path]).any(|path| pattern.is_match(path))
}

/// Whether a source of a copy names several things.
pub(super) fn has_wildcard(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

pub(super) fn matcher(pattern: &str) -> Result<GlobMatcher, String> {
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
    Ok(glob
        .map_err(|error| error.kind().to_string())?
        .compile_matcher())
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
    fn broken_patterns_are_named() {
        assert!(Ignore::parse("[a").expect_err("broken").contains("[a"));
        assert!(Ignore::parse(&"a\n".repeat(RULES_MAX + 1)).is_err());
    }
}
