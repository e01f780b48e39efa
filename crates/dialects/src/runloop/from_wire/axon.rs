//! Events to publish, and SQL with its values.

use pinfold_engine::{CreateAxon, SqlStatement, SqlValue};
use pinfold_model::NewAxonEvent;
use serde_json::Value;

use crate::runloop::errors::Refused;
use crate::runloop::{to_wire, wire};

pub(in crate::runloop) fn axon(request: wire::CreateAxon) -> CreateAxon {
    CreateAxon {
        name: request.name.filter(|name| !name.is_empty()),
        metadata: request.metadata.unwrap_or_default(),
    }
}

pub(in crate::runloop) fn event(request: wire::Publish) -> Result<NewAxonEvent, Refused> {
    let mut known = to_wire::ORIGINS.into_iter();
    let Some((origin, _)) = known.find(|(_, name)| *name == request.origin) else {
        let text = format!("events of origin {:?} are not published", request.origin);
        return Err(Refused::invalid("origin", text));
    };
    Ok(NewAxonEvent {
        origin,
        source: request.source,
        event_type: request.event_type,
        payload: request.payload,
    })
}

pub(in crate::runloop) fn statement(request: wire::SqlStatement) -> Result<SqlStatement, Refused> {
    let params = request.params.unwrap_or_default();
    Ok(SqlStatement {
        sql: request.sql,
        params: params.into_iter().map(value).collect::<Result<_, _>>()?,
    })
}

fn value(value: Value) -> Result<SqlValue, Refused> {
    Ok(match value {
        Value::Null => SqlValue::Null,
        // SQLite knows numbers only.
        Value::Bool(truth) => SqlValue::Integer(truth.into()),
        Value::String(text) => SqlValue::Text(text),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => SqlValue::Integer(whole),
            (None, Some(real)) if number.is_f64() => SqlValue::Real(real),
            _ => {
                let text = format!("{number} is beyond what SQLite holds as a number");
                return Err(Refused::invalid("params", text));
            }
        },
        Value::Array(_) | Value::Object(_) => {
            let text = "a value is null, true, false, a number or a text; give JSON as its text";
            return Err(Refused::invalid("params", text));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_taken_by_their_type() {
        for (given, expected) in [
            (json!(null), Some(SqlValue::Null)),
            (json!(true), Some(SqlValue::Integer(1))),
            (json!(-7), Some(SqlValue::Integer(-7))),
            (json!(1.0), Some(SqlValue::Real(1.0))),
            (json!("x"), Some(SqlValue::Text("x".to_owned()))),
            (json!(u64::MAX), None),
            (json!([1]), None),
            (json!({"a": 1}), None),
        ] {
            assert_eq!(value(given.clone()).ok(), expected, "{given}");
        }
    }

    #[test]
    fn only_the_vendor_publishes_as_the_system() {
        let publish = |origin: &str| wire::Publish {
            event_type: "push".to_owned(),
            origin: origin.to_owned(),
            payload: "{}".to_owned(),
            source: "test".to_owned(),
        };
        assert!(event(publish("AGENT_EVENT")).is_ok());
        for origin in ["SYSTEM_EVENT", "agent_event", ""] {
            assert!(event(publish(origin)).is_err(), "{origin}");
        }
    }
}
