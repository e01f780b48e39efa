//! Secrets, and their binding to where they may go.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The value of a secret. It is in no answer, and in no error about this body.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, try_from = "Value")]
pub struct PutSecret {
    /// 1 byte to 32 KiB of UTF-8 without a NUL; one line without a space at an end where it goes into a header.
    #[cfg_attr(feature = "openapi", schema(format = Password, write_only))]
    pub value: String,
}

impl fmt::Debug for PutSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PutSecret(..)")
    }
}

/// Written by hand: errors that are derived quote what they found, which here is often the secret.
impl TryFrom<Value> for PutSecret {
    type Error = &'static str;
    fn try_from(body: Value) -> Result<Self, Self::Error> {
        const WANTED: &str = "the body must be {\"value\": TEXT} and nothing else";
        let Value::Object(mut fields) = body else {
            return Err(WANTED);
        };
        match (fields.remove("value"), fields.is_empty()) {
            (Some(Value::String(value)), true) => Ok(Self { value }),
            _ => Err(WANTED),
        }
    }
}

/// A secret of a project. Nothing shows its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Secret {
    pub id: String,
    pub project_id: String,
    pub name: String,
    pub created_at: String,
    /// When it got the value that it has.
    pub updated_at: String,
    /// The id of the key that made it.
    pub created_by: Option<String>,
}

/// A secret that requests to a destination get on their way out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BindCredential {
    /// The name of a secret of the sandbox's project.
    pub secret: String,
    /// A DNS name, or `*.NAME` for every name below it, with or without `:PORT` (443).
    pub host: String,
    /// `authorization` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// What the header says, with `{}` where the value goes; `Bearer {}` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// A secret, by its name, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Credential {
    pub secret: String,
    pub host: String,
    pub header: String,
    pub format: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_and_no_text_form_quotes_a_value() {
        for body in [
            r#""hunter2""#,
            r#"["hunter2"]"#,
            r#"{"value": ["hunter2"]}"#,
            r#"{"value": {"hunter2": 1}}"#,
            r#"{"hunter2": 1}"#,
            r#"{"value": "hunter2", "hunter2": 1}"#,
            r#"{"value": "hunter2""#,
            r#"{"value": hunter2}"#,
            r#"{"value": "hunter2\q"}"#,
        ] {
            let error = serde_json::from_str::<PutSecret>(body).expect_err(body);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let error = serde_json::from_str::<PutSecret>(r#"{"value": 31337}"#).expect_err("a number");
        assert!(!error.to_string().contains("31337"), "{error}");
        let good: PutSecret = serde_json::from_str(r#"{"value": "hunter2"}"#).expect("valid");
        assert_eq!(good.value, "hunter2");
        assert!(!format!("{good:?}").contains("hunter2"));
    }
}
