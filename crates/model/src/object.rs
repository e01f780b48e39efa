//! An object: a named blob with content type and metadata, outliving the sandbox it came from.
//!
//! ```text
//! uploading -> sealed -> deleted        uploading -> deleted
//! ```
//! Content may be replaced while the object is `uploading` and never again. A deleted object keeps
//! its facts; its content goes when no other object has the same.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Time;
use crate::error::{Code, Error, Result};
use crate::id::{BlobId, ObjectId, ProjectId, SandboxId};
use crate::image::Digest;
use crate::limits;
use crate::sandbox::validate_metadata;

/// The type of content about which nothing is known.
pub const CONTENT_TYPE_DEFAULT: &str = "application/octet-stream";
const CONTENT_TYPE_MAX_BYTES: usize = 255;

/// Where an object is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectState {
    /// Waits for its content, or for its owner to say that the content is complete.
    Uploading,
    /// Complete and immutable.
    Sealed,
    /// Only its facts are left.
    Deleted,
}

impl ObjectState {
    pub const ALL: [Self; 3] = [Self::Uploading, Self::Sealed, Self::Deleted];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Sealed => "sealed",
            Self::Deleted => "deleted",
        }
    }

    /// Only a sealed object's content may be read.
    pub fn require_sealed(self) -> Result<()> {
        match self {
            Self::Sealed => Ok(()),
            Self::Uploading => Err(Error::new(
                Code::ObjectNotSealed,
                "the object is still being uploaded; upload its content and complete it first",
            )),
            Self::Deleted => Err(gone()),
        }
    }

    /// Only the content of an object that is not sealed may be written.
    pub fn require_uploading(self) -> Result<()> {
        match self {
            Self::Uploading => Ok(()),
            Self::Sealed => Err(Error::new(
                Code::ObjectSealed,
                "the object is sealed and its content cannot change; create another object",
            )),
            Self::Deleted => Err(gone()),
        }
    }
}

fn gone() -> Error {
    Error::new(Code::ObjectGone, "the object has been deleted")
}

impl std::str::FromStr for ObjectState {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                Error::invalid(
                    "state",
                    "state must be \"uploading\", \"sealed\" or \"deleted\"",
                )
            })
    }
}

/// What an object was copied from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSource {
    pub sandbox: SandboxId,
    /// The file, absolute, as it was inside; `None` for what code there has shown.
    pub path: Option<String>,
}

/// An object as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    pub id: ObjectId,
    pub project: ProjectId,
    /// Not unique: several objects may have one name.
    pub name: String,
    pub content_type: String,
    pub metadata: BTreeMap<String, String>,
    pub state: ObjectState,
    /// Where its bytes are; `None` before the upload and after deletion.
    pub content: Option<BlobId>,
    /// Of the content. `None` before the upload; a deleted object keeps what it had.
    pub size_bytes: Option<u64>,
    pub digest: Option<Digest>,
    pub source: Option<ObjectSource>,
    pub created_at: Time,
    pub sealed_at: Option<Time>,
    pub deleted_at: Option<Time>,
    /// When it is deleted by itself.
    pub expires_at: Option<Time>,
}

impl Object {
    /// Checks the parts that callers choose. The first fault found is the one reported.
    pub fn validate(&self) -> Result<()> {
        validate_object_name(&self.name)?;
        validate_content_type(&self.content_type)?;
        validate_metadata(&self.metadata)
    }

    /// Whether its time is over, also where nobody has deleted it yet.
    #[must_use]
    pub fn is_expired(&self, now: Time) -> bool {
        self.state != ObjectState::Deleted && self.expires_at.is_some_and(|at| at <= now)
    }
}

/// 1 to 512 characters, none of them a control character; it may look like a path.
pub fn validate_object_name(name: &str) -> Result<()> {
    let chars = name.chars().count();
    let good = (1..=limits::OBJECT_NAME_MAX_CHARS).contains(&chars)
        && !name.chars().any(char::is_control)
        && name.trim() == name;
    if good {
        return Ok(());
    }
    Err(Error::invalid(
        "name",
        format!(
            "an object's name is 1 to {} characters without control characters and without a space \
             at either end",
            limits::OBJECT_NAME_MAX_CHARS
        ),
    ))
}

/// `type/subtype` with optional parameters, as RFC 9110 has it; it travels in headers, so nothing
/// but visible ASCII and spaces.
pub fn validate_content_type(content_type: &str) -> Result<()> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+%*'`|~".contains(&b))
    };
    let typed = essence
        .split_once('/')
        .is_some_and(|(kind, subtype)| token(kind) && token(subtype));
    let printable = content_type.bytes().all(|b| (0x20..0x7f).contains(&b));
    if typed && printable && content_type.len() <= CONTENT_TYPE_MAX_BYTES {
        return Ok(());
    }
    Err(Error::invalid(
        "content_type",
        "content_type must have the form type/subtype, such as text/plain; charset=utf-8, in at \
         most 255 ASCII characters",
    ))
}

/// How long an object is kept.
pub fn validate_retention(retention: Duration) -> Result<()> {
    if (Duration::from_millis(1)..=limits::OBJECT_RETENTION_MAX).contains(&retention) {
        return Ok(());
    }
    Err(Error::invalid(
        "retention",
        "retention must be from 1 ms to 10 years",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_survive_their_text_form() {
        for state in ObjectState::ALL {
            assert_eq!(state.as_str().parse::<ObjectState>().expect("own"), state);
        }
    }

    #[test]
    fn names_may_look_like_paths_and_hold_nothing_hidden() {
        for good in ["a", "out/report 1.csv", "büro.pdf", "..", &"x".repeat(512)] {
            assert!(validate_object_name(good).is_ok(), "{good:?}");
        }
        for bad in ["", " a", "a\n", "a\0b", &"x".repeat(513)] {
            assert!(validate_object_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn content_types_are_fit_for_a_header() {
        for good in [
            "text/plain",
            "text/html; charset=utf-8",
            "application/vnd.a+json",
        ] {
            assert!(validate_content_type(good).is_ok(), "{good:?}");
        }
        for bad in [
            "",
            "text",
            "/",
            "text/",
            "a b/c",
            "text/plain\r\nx: y",
            "té/x",
        ] {
            assert!(validate_content_type(bad).is_err(), "{bad:?}");
        }
    }
}
