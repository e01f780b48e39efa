//! What a name's ending tells about the content.

use pinfold_model::object::CONTENT_TYPE_DEFAULT;

/// The registered types of what agents make most.
const KINDS: [(&str, &str); 36] = [
    ("avif", "image/avif"),
    ("bin", "application/octet-stream"),
    ("bz2", "application/x-bzip2"),
    ("c", "text/x-c"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("html", "text/html"),
    ("ipynb", "application/x-ipynb+json"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("log", "text/plain"),
    ("md", "text/markdown"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("parquet", "application/vnd.apache.parquet"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    ("py", "text/x-python"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tgz", "application/gzip"),
    ("txt", "text/plain"),
    ("wav", "audio/wav"),
    ("webp", "image/webp"),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    ("xml", "application/xml"),
    ("yaml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

pub(super) fn content_type_of(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let ending = ending.to_ascii_lowercase();
    KINDS
        .iter()
        .find(|(known, _)| *known == ending)
        .map_or(CONTENT_TYPE_DEFAULT, |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::object::validate_content_type;

    #[test]
    fn endings_tell_types_that_are_fit_for_a_header() {
        assert_eq!(content_type_of("out/report.CSV"), "text/csv");
        assert_eq!(content_type_of("Makefile"), CONTENT_TYPE_DEFAULT);
        assert_eq!(content_type_of("a.unknown"), CONTENT_TYPE_DEFAULT);
        for (_, kind) in KINDS {
            assert!(validate_content_type(kind).is_ok(), "{kind}");
        }
    }
}
