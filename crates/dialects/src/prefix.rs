//! Ids of ours under a vendor's prefix: swapped, both ways by rule, so that nothing is looked up.

/// The same id with another prefix.
pub(crate) fn with_prefix(id: &str, prefix: &str) -> String {
    let rest = id.split_once('_').map_or(id, |(_, rest)| rest);
    format!("{prefix}_{rest}")
}

/// The id of ours behind one of the vendor's; `None` where it has not that prefix, or is no id.
pub(crate) fn without_prefix<T: std::str::FromStr>(
    text: &str,
    prefix: &str,
    ours: &str,
) -> Option<T> {
    let rest = text.strip_prefix(prefix)?.strip_prefix('_')?;
    format!("{ours}_{rest}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::ObjectId;

    #[test]
    fn a_prefix_is_swapped_and_back() {
        assert_eq!(with_prefix("img_01ab", "tpl"), "tpl_01ab");
        let object: ObjectId = without_prefix("art_01ab", "art", "obj").expect("one of ours");
        assert_eq!(with_prefix(object.as_str(), "art"), "art_01ab");
        for other in ["obj_01ab", "art01ab", "art_", "art_../a", "artx_1"] {
            assert_eq!(
                without_prefix::<ObjectId>(other, "art", "obj"),
                None,
                "{other}"
            );
        }
    }
}
