//! What a copy takes from a context, where it goes, and what all of it hashes to.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

use super::index::{Context, Entry, Kind};
use super::{CONTEXT_ENTRIES_MAX, ContextError, MATCHING_MAX, NAMES_MAX_BYTES, ignore};

/// Symlinks followed on the way to a source.
const LINKS_MAX: usize = 40;

/// Part of a context under the names that it gets, relative to the destination. What was named as a
/// file has its own name there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// By the name under which the archive has the content: the names that it gets.
    pub(super) files: HashMap<String, Vec<String>>,
    /// Entries without content: name in the archive, name that it gets.
    pub(super) others: HashMap<String, Vec<String>>,
    /// Files that are archives, where those are unpacked.
    pub(super) archives: Vec<String>,
    sources: usize,
    single_file: Option<String>,
    sha256: [u8; 32],
}

/// What a copy takes so far: by the name that it gets, its name in the context.
struct Chosen<'c> {
    entries: BTreeMap<String, (&'c str, &'c Entry)>,
    room: Room,
}

/// Bytes of names that a copy may still come to: one entry may be named by many of its sources.
struct Room(usize);

impl Default for Chosen<'_> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            room: Room(NAMES_MAX_BYTES),
        }
    }
}

impl<'c> Chosen<'c> {
    fn add(&mut self, name: String, key: &'c str, entry: &'c Entry) -> Result<(), ContextError> {
        let bytes = name.len();
        self.entries.insert(name, (key, entry));
        // Also for one that is there already: what is bounded is the work.
        self.room.take(bytes)?;
        match self.entries.len() > CONTEXT_ENTRIES_MAX {
            true => Err(too_much()),
            false => Ok(()),
        }
    }
}

impl Room {
    fn take(&mut self, bytes: usize) -> Result<(), ContextError> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(too_much)?;
        Ok(())
    }
}

fn too_much() -> ContextError {
    ContextError::refused(format!(
        "one copy names more than {CONTEXT_ENTRIES_MAX} entries of the context, or names that are \
         too long"
    ))
}

impl Selection {
    /// Names, kinds, modes and contents in one hash; times and owners are no part of it.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// How many files or directories were named, wildcards counted by what they match.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.sources
    }

    /// The name of the one file that is all of it.
    #[must_use]
    pub fn single_file(&self) -> Option<&str> {
        self.single_file.as_deref()
    }

    /// Archives that are unpacked into the destination, by their names in the context.
    #[must_use]
    pub fn archives(&self) -> &[String] {
        &self.archives
    }

    /// Whether anything is copied as it is.
    #[must_use]
    pub fn has_entries(&self) -> bool {
        !self.files.is_empty() || !self.others.is_empty()
    }
}

impl Context {
    /// What `paths` (relative to the context, perhaps with wildcards) name. Archives among them are
    /// apart where they are to be unpacked.
    ///
    /// # Errors
    /// One of them names nothing, or is no pattern.
    pub fn select(&self, paths: &[String], unpack: bool) -> Result<Selection, ContextError> {
        let patterns = paths.iter().filter(|path| ignore::has_wildcard(path));
        let patterns: u64 = patterns.map(|path| path.len() as u64).sum();
        if patterns.saturating_mul(self.names_bytes()) > MATCHING_MAX {
            return Err(ContextError::refused(
                "the context has too many names for so long patterns of one copy",
            ));
        }
        let mut chosen = Chosen::default();
        let mut archives = Vec::new();
        let (mut sources, mut last_file) = (0, None);
        let mut named = Room(NAMES_MAX_BYTES);
        for path in paths {
            for name in self.matching(path, &mut named)? {
                sources += 1;
                let name = self.followed(&name, &mut named)?;
                named.take(name.len())?;
                match self.entries.get_key_value(&name) {
                    Some((key, entry)) if entry.is_file() => {
                        if unpack && entry.is_archive() {
                            archives.push(name);
                            continue;
                        }
                        let base = base_name(path, &name);
                        last_file = Some(base.clone());
                        chosen.add(base, key, entry)?;
                    }
                    _ => {
                        for (key, entry) in self.below(&name) {
                            let relative = key[name.len()..].trim_start_matches('/');
                            chosen.add(relative.to_owned(), key, entry)?;
                        }
                    }
                }
            }
        }
        let chosen = chosen.entries;
        let only = sources == 1 && chosen.len() == 1 && archives.is_empty();
        let mut selection = Selection {
            files: HashMap::new(),
            others: HashMap::new(),
            sha256: self.digest(&chosen, &archives),
            archives,
            sources,
            single_file: last_file.filter(|_| only),
        };
        for (name, (key, entry)) in chosen {
            let (map, stored) = match &entry.kind {
                Kind::File { stored, .. } => (&mut selection.files, stored.as_str()),
                Kind::Directory | Kind::Symlink(_) => (&mut selection.others, key),
            };
            map.entry(stored.to_owned()).or_default().push(name);
        }
        Ok(selection)
    }

    /// What a source names, as it was written or by its wildcards.
    fn matching(&self, path: &str, room: &mut Room) -> Result<Vec<String>, ContextError> {
        let nothing = || ContextError::refused(format!("the context holds no {path:?}"));
        if !ignore::has_wildcard(path) {
            return Ok(vec![path.to_owned()]);
        }
        let pattern = ignore::matcher(path);
        let pattern = pattern.map_err(|why| ContextError::refused(format!("{path:?}: {why}")))?;
        // Directories that have no entry of their own count as well.
        let depth = path.matches('/').count();
        let mut found: Vec<String> = Vec::new();
        for key in self.entries.keys() {
            let name = match key.match_indices('/').nth(depth) {
                Some((at, _)) if !path.contains("**") => &key[..at],
                _ => key,
            };
            if pattern.is_match(name) && found.last().is_none_or(|last| last != name) {
                room.take(name.len())?;
                found.push(name.to_owned());
            }
        }
        found.dedup();
        match found.is_empty() {
            true => Err(nothing()),
            false => Ok(found),
        }
    }

    fn names_bytes(&self) -> u64 {
        self.entries.keys().map(|name| name.len() as u64).sum()
    }

    /// Where a path leads by the symlinks of the context, which never lead out of it.
    fn followed(&self, path: &str, room: &mut Room) -> Result<String, ContextError> {
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    at.pop();
                    continue;
                }
                _ => at.push(part),
            }
            if let Some(Entry {
                kind: Kind::Symlink(target),
                ..
            }) = self.entries.get(&at.join("/"))
            {
                links += 1;
                room.take(target.len())?;
                if links > LINKS_MAX {
                    return Err(ContextError::refused(format!(
                        "{path:?} is behind too many symlinks"
                    )));
                }
                at.pop();
                if target.starts_with('/') {
                    at.clear();
                }
                rest.extend(target.split('/').rev().map(str::to_owned));
            }
        }
        let name = at.join("/");
        let known = name.is_empty()
            || self.entries.contains_key(&name)
            || self.below(&name).next().is_some();
        match known {
            true => Ok(name),
            false => Err(ContextError::refused(format!(
                "the context holds no {path:?}"
            ))),
        }
    }

    /// Everything in a directory, at any depth.
    fn below<'c>(&'c self, name: &str) -> impl Iterator<Item = (&'c str, &'c Entry)> {
        let prefix = match name {
            "" => String::new(),
            name => format!("{name}/"),
        };
        let range = self.entries.range(prefix.clone()..);
        range
            .take_while(move |(key, _)| key.starts_with(&prefix))
            .map(|(key, entry)| (key.as_str(), entry))
    }

    fn digest(&self, chosen: &BTreeMap<String, (&str, &Entry)>, archives: &[String]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        for (name, (_, entry)) in chosen {
            field(name.as_bytes());
            entry.hash(&mut field);
        }
        field(b"archives");
        for name in archives {
            if let Some(entry) = self.entries.get(name) {
                entry.hash(&mut field);
            }
        }
        hasher.finalize().into()
    }
}

impl Entry {
    fn is_file(&self) -> bool {
        matches!(self.kind, Kind::File { .. })
    }

    fn is_archive(&self) -> bool {
        matches!(
            self.kind,
            Kind::File {
                is_archive: true,
                ..
            }
        )
    }

    fn hash(&self, field: &mut impl FnMut(&[u8])) {
        match &self.kind {
            Kind::Directory => field(b"d"),
            Kind::File { sha256, .. } => {
                field(b"f");
                field(sha256);
            }
            Kind::Symlink(target) => {
                field(b"l");
                field(target.as_bytes());
            }
        }
        field(&self.mode.to_be_bytes());
    }
}

/// What a file is called at its destination: as it was named, also where that is a symlink.
fn base_name(written: &str, found: &str) -> String {
    let written = match ignore::has_wildcard(written) {
        true => found,
        false => written,
    };
    let base = written.rsplit('/').next().unwrap_or(written);
    base.to_owned()
}
