//! Which tools of an MCP server may be used: patterns of their names.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

const MAX_CHARS: usize = 256;
/// No tool has a longer name, and looking at one takes the product of its length and a pattern's.
const NAME_MAX_BYTES: usize = 256;

/// A name of tools in which `*` stands for any characters and `?` for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ToolPattern(String);

/// The patterns of one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    service: String,
    patterns: Vec<ToolPattern>,
}

impl ToolPattern {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it means that tool, by its name alone or behind `service.`, which has to stand there
    /// letter by letter: no star reaches over that dot.
    fn means(&self, service: &str, tool: &str) -> bool {
        let of_service = self.0.strip_prefix(service);
        let of_service = of_service.and_then(|rest| rest.strip_prefix('.'));
        fits(&self.0, tool) || of_service.is_some_and(|rest| fits(rest, tool))
    }
}

/// Goes back to the last star only, so it takes no more steps than the product of both lengths.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while place < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(&one) if one == '?' || one == name[place] => {
                at += 1;
                place += 1;
            }
            _ => match star {
                Some((behind, from)) => {
                    star = Some((behind, from + 1));
                    at = behind + 1;
                    place = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

impl Tools {
    /// Of a gateway with that name: what is before its first `-` is the name of its service, which
    /// patterns may have in front (`github.search_*` of `github-readonly`).
    #[must_use]
    pub fn new(gateway: &str, patterns: Vec<ToolPattern>) -> Self {
        let service = gateway.split('-').next().unwrap_or_default().to_owned();
        Self { service, patterns }
    }

    #[must_use]
    pub fn allow(&self, tool: &str) -> bool {
        tool.len() <= NAME_MAX_BYTES
            && self
                .patterns
                .iter()
                .any(|pattern| pattern.means(&self.service, tool))
    }
}

impl TryFrom<String> for ToolPattern {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        let chars = text.chars().count();
        // Other globs have meanings for these, which nobody should believe to hold here.
        let strange = |c: char| c.is_control() || c.is_whitespace() || "[]{}!\\".contains(c);
        if (1..=MAX_CHARS).contains(&chars) && !text.chars().any(strange) {
            return Ok(Self(text));
        }
        Err(Error::invalid(
            "allowed_tools",
            format!(
                "{text:?} is no pattern of tools: 1 to {MAX_CHARS} characters, '*' for any of them and '?' \
                 for one; no brackets, braces, '!', '\\' or spaces"
            ),
        ))
    }
}

impl From<ToolPattern> for String {
    fn from(pattern: ToolPattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(gateway: &str, patterns: &[&str]) -> Tools {
        let patterns = patterns.iter().map(|text| (*text).to_owned().try_into());
        Tools::new(gateway, patterns.collect::<Result<_>>().expect("patterns"))
    }

    #[test]
    fn stars_and_question_marks_stand_for_names_and_nothing_else_does() {
        for (pattern, name, fits) in [
            ("*", "anything", true),
            ("search_*", "search_code", true),
            ("search_*", "search_", true),
            ("search_*", "research_x", false),
            ("*_*_c", "a_b_b_c", true),
            ("get_?", "get_1", true),
            ("get_?", "get_", false),
            ("get_?", "get_12", false),
            ("get", "GET", false),
            ("get", "get ", false),
            ("get", "", false),
            ("a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(tools("x", &[pattern]).allow(name), fits, "{pattern} {name}");
        }
        assert!(!tools("x", &[]).allow("anything"));
    }

    #[test]
    fn a_pattern_may_begin_with_the_service() {
        let github = tools("github-readonly", &["github.search_*", "get_me"]);
        assert!(github.allow("search_code") && github.allow("get_me"));
        assert!(!github.allow("delete_repo") && !github.allow("search"));
        assert!(!tools("gitlab-x", &["github.search_*"]).allow("search_code"));
    }

    #[test]
    fn a_star_is_for_tools_and_never_for_the_service() {
        for (gateway, pattern) in [
            ("read-only", "read*"),
            ("search-prod", "*ch*_x"),
            ("github", "git*"),
            ("github", "?ithub.delete_*"),
        ] {
            assert!(
                !tools(gateway, &[pattern]).allow("delete_repo"),
                "{gateway} {pattern}"
            );
        }
        assert!(tools("read-only", &["read*"]).allow("read_file"));
    }

    #[test]
    fn a_name_that_no_tool_has_is_not_looked_at() {
        let all = tools("x", &["*"]);
        assert!(all.allow(&"a".repeat(256)) && !all.allow(&"a".repeat(257)));
    }

    #[test]
    fn what_other_globs_mean_is_refused() {
        for bad in [
            "",
            "a b",
            "[ab]",
            "{a,b}",
            "!a",
            "a\\*",
            "a\n",
            &"x".repeat(257),
        ] {
            assert!(ToolPattern::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
