//! Names in an archive, parsed once into relative paths without surprises. Knows no I/O.

use crate::limits::{Limits, NAME_MAX_BYTES, PATH_MAX_BYTES};
use crate::refusal::Refusal;

/// A path beneath the root: components joined by single slashes, none of them empty, `.` or `..`.
/// Empty is the root itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryPath(Vec<u8>);

impl EntryPath {
    pub(super) fn parse(raw: &[u8], limits: &Limits) -> Result<Self, Refusal> {
        if raw.first() == Some(&b'/') {
            return Err(Refusal::AbsolutePath);
        }
        if raw.contains(&0) {
            return Err(Refusal::NulByte);
        }
        if raw.len() > PATH_MAX_BYTES {
            return Err(Refusal::LongPath);
        }
        let mut joined = Vec::with_capacity(raw.len());
        let mut depth = 0;
        for component in raw.split(|b| *b == b'/') {
            match component {
                b"" | b"." => continue,
                b".." => return Err(Refusal::ParentComponent),
                _ if component.len() > NAME_MAX_BYTES => return Err(Refusal::LongName),
                _ => {}
            }
            depth += 1;
            if depth > limits.depth {
                return Err(Refusal::TooDeep(limits.depth));
            }
            if !joined.is_empty() {
                joined.push(b'/');
            }
            joined.extend_from_slice(component);
        }
        Ok(Self(joined))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last component; empty for the root.
    pub(super) fn name(&self) -> &[u8] {
        match self.last_slash() {
            Some(at) => &self.0[at + 1..],
            None => &self.0,
        }
    }

    /// Everything before the last component; empty at the top.
    pub(super) fn parent(&self) -> &[u8] {
        self.last_slash().map_or(&[], |at| &self.0[..at])
    }

    /// Whether it lies below the top-level directory `dir`.
    pub(super) fn is_below(&self, dir: &[u8]) -> bool {
        self.0.len() > dir.len() + 1 && self.0.starts_with(dir) && self.0[dir.len()] == b'/'
    }

    pub(super) fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/').filter(|c| !c.is_empty())
    }

    fn last_slash(&self) -> Option<usize> {
        self.0.iter().rposition(|b| *b == b'/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<EntryPath, Refusal> {
        EntryPath::parse(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn paths_are_normalised() {
        for (raw, path, parent, name) in [
            ("./", "", "", ""),
            ("a", "a", "", "a"),
            (".//a/./b/", "a/b", "a", "b"),
            ("a/b/...", "a/b/...", "a/b", "..."),
        ] {
            let parsed = parse(raw).expect(raw);
            assert_eq!(parsed.as_bytes(), path.as_bytes());
            assert_eq!(parsed.parent(), parent.as_bytes());
            assert_eq!(parsed.name(), name.as_bytes());
        }
    }

    #[test]
    fn escapes_are_refused() {
        assert_eq!(parse("/etc/passwd"), Err(Refusal::AbsolutePath));
        assert_eq!(parse("a/../../b"), Err(Refusal::ParentComponent));
        assert_eq!(parse(".."), Err(Refusal::ParentComponent));
        assert_eq!(parse("a\0b"), Err(Refusal::NulByte));
        assert_eq!(parse(&"x".repeat(256)), Err(Refusal::LongName));
        assert_eq!(parse(&"x/".repeat(2048)), Err(Refusal::LongPath));
        assert_eq!(parse(&"x/".repeat(257)), Err(Refusal::TooDeep(256)));
    }

    proptest! {
        #[test]
        fn whatever_parses_stays_beneath(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(path) = EntryPath::parse(&raw, &Limits::default()) {
                prop_assert!(!path.as_bytes().starts_with(b"/"));
                prop_assert!(path.components().all(|c| c != b".." && c != b"." && !c.is_empty()));
            }
        }
    }
}
