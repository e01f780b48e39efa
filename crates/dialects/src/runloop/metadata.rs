//! Filters of lists by metadata.

use std::collections::BTreeMap;

use axum::http::Uri;
use pinfold_http::{Failure, pairs, parse_pairs};
use serde::de::DeserializeOwned;

/// `metadata[key]=value`, or `metadata[key][in]=one,other`.
pub(super) struct Wanted {
    key: String,
    values: Vec<String>,
}

impl Wanted {
    fn of(name: &str, value: &str) -> Option<Self> {
        let rest = name.strip_prefix("metadata[")?;
        let (key, rest) = rest.split_once(']')?;
        let values = match rest {
            "" => vec![value.to_owned()],
            "[in]" => value.split(',').map(str::to_owned).collect(),
            _ => return None,
        };
        Some(Self {
            key: key.to_owned(),
            values,
        })
    }

    pub(super) fn fits(&self, metadata: &BTreeMap<String, String>) -> bool {
        let has = metadata.get(&self.key);
        has.is_some_and(|has| self.values.contains(has))
    }
}

/// A list's query, and the filters in it.
pub(super) fn filters<T: DeserializeOwned>(uri: &Uri) -> Result<(T, Vec<Wanted>), Failure> {
    let (mut plain, mut metadata) = (Vec::new(), Vec::new());
    for (name, value) in pairs(uri)? {
        match Wanted::of(&name, &value) {
            Some(wanted) => metadata.push(wanted),
            None => plain.push((name, value)),
        }
    }
    Ok((parse_pairs(plain)?, metadata))
}

#[cfg(test)]
mod tests {
    use super::Wanted;

    #[test]
    fn filters_of_metadata_are_told_from_other_parameters() {
        let one = Wanted::of("metadata[a]", "1,2").expect("a filter");
        assert_eq!(
            (one.key.as_str(), one.values),
            ("a", vec!["1,2".to_owned()])
        );
        let several = Wanted::of("metadata[a][in]", "1,2").expect("a filter");
        assert_eq!(several.values, ["1", "2"]);
        for other in ["limit", "metadata", "metadata[a", "metadata[a][not]"] {
            assert!(Wanted::of(other, "1").is_none(), "{other}");
        }
    }
}
