//! What a call answers: content for the model and the same facts for programs, or why it failed.

use rmcp::model::{CallToolResult, ContentBlock, JsonObject, MetaObject};
use serde::Serialize;
use serde_json::json;

/// The outcome of a call.
pub(crate) type Answer = Result<Told, Failure>;

/// What a tool tells.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) content: Vec<ContentBlock>,
    /// Of the form that the tool's output schema says.
    pub(crate) facts: serde_json::Value,
}

impl Told {
    /// Words for the model, facts for programs.
    pub(crate) fn new(text: impl Into<String>, facts: &impl Serialize) -> Self {
        Self {
            content: vec![ContentBlock::text(text)],
            facts: json!(facts),
        }
    }
}

/// A call that did not do what was asked, in words for the model. Never a failure of the protocol:
/// models see this one and can do something about it.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    code: String,
    details: JsonObject,
}

impl Failure {
    pub(crate) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            code: code.to_owned(),
            details: JsonObject::new(),
        }
    }

    /// The arguments are not what the tool takes.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new("invalid_argument", text)
    }

    pub(crate) fn into_result(self) -> CallToolResult {
        let text = format!("{} ({})", self.text, self.code);
        let error = json!({"code": self.code, "message": self.text, "details": self.details});
        let meta = MetaObject(JsonObject::from_iter([("pinfold/error".to_owned(), error)]));
        CallToolResult::error(vec![ContentBlock::text(text)]).with_meta(Some(meta))
    }
}

impl From<pinfold_sdk::Error> for Failure {
    fn from(error: pinfold_sdk::Error) -> Self {
        let Some(api) = error.api() else {
            return Self::new("no_answer", error.to_string());
        };
        let mut details = api.details.clone();
        if !api.request_id.is_empty() {
            details.insert("request_id".to_owned(), api.request_id.clone().into());
        }
        if let Some(after) = api.retry_after {
            details.insert("retry_after_seconds".to_owned(), after.as_secs().into());
        }
        Self {
            text: api.message.clone(),
            code: api.code_text.clone(),
            details,
        }
    }
}

impl From<Told> for CallToolResult {
    fn from(told: Told) -> Self {
        let mut result = Self::success(told.content);
        result.structured_content = Some(told.facts);
        result
    }
}
