//! Storage objects, and the vendor's word for what is in one.

use pinfold_model::{Object, ObjectState};

use super::time;
use crate::runloop::errors::Refused;
use crate::runloop::wire;

/// The vendor's words, and the types of content that they are kept as.
const CONTENT: [(&str, &str); 7] = [
    ("unspecified", "application/x-unspecified"),
    ("text", "text/plain; charset=utf-8"),
    ("binary", "application/octet-stream"),
    ("gzip", "application/gzip"),
    ("tar", "application/x-tar"),
    ("tgz", "application/x-tgz"),
    // No word of the SDK's types, which lets it pass.
    ("zip", "application/zip"),
];

pub(in crate::runloop) fn object(object: Object) -> wire::Object {
    wire::Object {
        id: object.id.into(),
        content_type: content_type_of(&object.content_type),
        name: object.name,
        create_time_ms: time(object.created_at),
        state: object_state(object.state),
        size_bytes: object.size_bytes,
        delete_after_time_ms: object.expires_at.map(time),
        metadata: object.metadata,
        upload_url: None,
    }
}

pub(in crate::runloop) fn content_type(word: &str) -> Result<&'static str, Refused> {
    let found = CONTENT.iter().find(|(known, _)| *known == word);
    let kind = found.map(|(_, kind)| *kind);
    kind.ok_or_else(|| Refused::invalid("content_type", format!("no content type {word:?}")))
}

/// The nearest word for objects that came otherwise.
pub(in crate::runloop) fn content_type_of(kind: &str) -> &'static str {
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let known = CONTENT
        .iter()
        .find(|(_, known)| known.split(';').next() == Some(essence));
    match known {
        Some((word, _)) => word,
        None if essence.starts_with("text/") || essence == "application/json" => "text",
        None => "binary",
    }
}

pub(in crate::runloop) const fn object_state(state: ObjectState) -> &'static str {
    match state {
        ObjectState::Uploading => "UPLOADING",
        ObjectState::Sealed => "READ_ONLY",
        ObjectState::Deleted => "DELETED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_and_read_back() {
        for (word, kind) in CONTENT {
            assert!(content_type(word).is_ok_and(|kept| kept == kind));
            assert_eq!(content_type_of(kind), word);
        }
        assert!(content_type("rar").is_err());
        assert_eq!(content_type_of("text/csv"), "text");
        assert_eq!(content_type_of("image/png"), "binary");
    }
}
