//! Whether a message, or a batch of them, may go to an MCP server. Pure.

use std::fmt;

use http::StatusCode;
use pinfold_model::gateway::Tools;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

/// All that a message may have (JSON-RPC 2.0). Some readers take `Method` for `method`.
const FIELDS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
const CALL: &str = "tools/call";
const LIST: &str = "tools/list";
/// Messages of one batch.
const BATCH_MAX: usize = 100;
/// Of JSON-RPC.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const INVALID_PARAMS: i32 = -32602;

/// What becomes of a body.
#[derive(Debug, PartialEq)]
pub(super) enum Judged {
    /// It goes on as it came; `lists`: its answer has a list of tools.
    Pass { lists: bool },
    /// Nothing of it goes on, and this is the answer.
    Answer(StatusCode, Value),
}

/// Why one message does not go on.
struct Fault {
    code: i32,
    words: String,
}

pub(super) fn judge(body: &[u8], tools: &Tools) -> Judged {
    let Strict(message) = match serde_json::from_slice(body) {
        Ok(strict) => strict,
        Err(error) => {
            let words = format!("no message of MCP: {error}");
            return Judged::Answer(StatusCode::BAD_REQUEST, error_of(None, PARSE_ERROR, &words));
        }
    };
    match message {
        Value::Array(batch) => judge_batch(&batch, tools),
        one => match judge_one(&one, tools) {
            Ok(lists) => Judged::Pass { lists },
            Err(fault) => Judged::Answer(
                fault.status(),
                error_of(one.get("id"), fault.code, &fault.words),
            ),
        },
    }
}

fn judge_batch(batch: &[Value], tools: &Tools) -> Judged {
    if batch.is_empty() || batch.len() > BATCH_MAX {
        let words = format!("a batch has 1 to {BATCH_MAX} messages");
        let answer = error_of(None, INVALID_REQUEST, &words);
        return Judged::Answer(StatusCode::BAD_REQUEST, answer);
    }
    let judged: Vec<_> = batch.iter().map(|one| judge_one(one, tools)).collect();
    if judged.iter().all(Result::is_ok) {
        let lists = judged.iter().any(|judged| matches!(judged, Ok(true)));
        return Judged::Pass { lists };
    }
    // All or nothing: each request is answered, so nobody waits for one of them.
    let answers = batch.iter().zip(judged).filter_map(|(message, judged)| {
        let id = message.get("id");
        match judged {
            Err(fault) => Some(error_of(id, fault.code, &fault.words)),
            Ok(_) if id.is_some() && message.get("method").is_some() => {
                let words = "not sent: another message of its batch is not allowed";
                Some(error_of(id, INVALID_REQUEST, words))
            }
            Ok(_) => None,
        }
    });
    Judged::Answer(StatusCode::OK, answers.collect())
}

/// Whether it asks for the list of tools.
fn judge_one(message: &Value, tools: &Tools) -> Result<bool, Fault> {
    let Value::Object(fields) = message else {
        return Err(Fault::invalid("a message is an object"));
    };
    if let Some(strange) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(Fault::invalid(format!(
            "a message has no field {strange:?}"
        )));
    }
    let method = match fields.get("method") {
        None => return Ok(false),
        Some(Value::String(method)) => method.as_str(),
        Some(_) => return Err(Fault::invalid("a method is a text")),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/_-.$".contains(&b);
    if !method.bytes().all(plain) {
        return Err(Fault::invalid("a method's name is plain"));
    }
    // Nobody has a method that differs from these in case alone, but somebody may compare so.
    if !method.eq_ignore_ascii_case(CALL) {
        return Ok(method.eq_ignore_ascii_case(LIST));
    }
    let params = fields.get("params").and_then(Value::as_object);
    let params = params.ok_or_else(|| Fault::invalid("a call names its tool in params"))?;
    match tool(params)? {
        name if tools.allow(name) => Ok(false),
        name => Err(Fault {
            code: INVALID_PARAMS,
            words: format!("the tool {name:?} is not allowed by this sandbox's MCP gateway"),
        }),
    }
}

fn tool(params: &Map<String, Value>) -> Result<&str, Fault> {
    let mut named = params.keys().filter(|key| key.eq_ignore_ascii_case("name"));
    match (named.next().map(String::as_str), named.next()) {
        (Some("name"), None) => {}
        _ => return Err(Fault::invalid("a call names one tool, as \"name\"")),
    }
    let name = params.get("name").and_then(Value::as_str);
    name.ok_or_else(|| Fault::invalid("a tool's name is a text"))
}

fn error_of(id: Option<&Value>, code: i32, words: &str) -> Value {
    let id = id.filter(|id| id.is_string() || id.is_number());
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": words } })
}

impl Fault {
    fn invalid(words: impl Into<String>) -> Self {
        Self {
            code: INVALID_REQUEST,
            words: words.into(),
        }
    }

    /// What is well formed is answered as any request is; clients take others for broken.
    fn status(&self) -> StatusCode {
        match self.code {
            INVALID_PARAMS => StatusCode::OK,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// JSON in which no name stands twice in an object: of two, some readers take the first and some the
/// last.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let Strict(value) = fields.next_value()?;
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!(
                    "{name:?} stands twice in one object"
                )));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests;
