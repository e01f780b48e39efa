//! Paths as clients give them.

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
    use super::absolute;

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
