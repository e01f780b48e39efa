//! Paths as clients give them.

use super::failure::Failure;

/// The same path, where every byte of it is known. The library shows what is no UTF-8 as U+FFFD, as
/// listings do: several names are shown alike then, and none of them may be taken for another.
pub(super) fn unmistakable(path: &str) -> Result<&str, Failure> {
    match path.contains(char::REPLACEMENT_CHARACTER) {
        true => Err(Failure::new(
            "names that are no UTF-8 are not told apart here; use a command",
        )),
        false => Ok(path),
    }
}

/// `path` from `base` on, with neither `.` nor `..`. By its text alone: what links make of it is seen
/// where it is used, inside.
pub(super) fn absolute(base: &str, path: &str) -> String {
    let from = if path.starts_with('/') { "" } else { base };
    let mut parts = Vec::new();
    for part in from.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_another_is_refused() {
        let shown = String::from_utf8_lossy(b"a/\xff");
        assert!(unmistakable(&shown).is_err());
        assert_eq!(unmistakable("ä/ö").ok(), Some("ä/ö"));
    }

    #[test]
    fn paths_become_absolute_and_plain() {
        for (path, whole) in [
            (".", "/work"),
            ("", "/work"),
            ("a/./b//c", "/work/a/b/c"),
            ("../x", "/x"),
            ("../../../x", "/x"),
            ("/a/../b/", "/b"),
            ("/", "/"),
        ] {
            assert_eq!(absolute("/work", path), whole, "{path:?}");
        }
    }
}
