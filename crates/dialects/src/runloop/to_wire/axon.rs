//! Axons, their events, and what SQL answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pinfold_engine::{SqlAnswer, SqlBatch, SqlValue};
use pinfold_model::{Axon, AxonEvent, AxonOrigin};
use serde_json::{Number, Value};

use super::time;
use crate::runloop::wire;

/// Where publishers say that events come from. The vendor's own come from a fourth place.
pub(in crate::runloop) const ORIGINS: [(AxonOrigin, &str); 3] = [
    (AxonOrigin::External, "EXTERNAL_EVENT"),
    (AxonOrigin::Agent, "AGENT_EVENT"),
    (AxonOrigin::User, "USER_EVENT"),
];

pub(in crate::runloop) fn axon(axon: Axon) -> wire::Axon {
    wire::Axon {
        id: axon.id.into(),
        created_at_ms: time(axon.created_at),
        metadata: axon.metadata,
        name: axon.name,
        deleted_at_ms: axon.deleted_at.map(time),
    }
}

pub(in crate::runloop) fn axon_event(event: AxonEvent) -> wire::AxonEvent {
    let origin = match event.event.origin {
        AxonOrigin::External => ORIGINS[0].1,
        AxonOrigin::Agent => ORIGINS[1].1,
        AxonOrigin::User => ORIGINS[2].1,
    };
    wire::AxonEvent {
        axon_id: event.axon.into(),
        event_type: event.event.event_type,
        origin,
        payload: event.event.payload,
        sequence: event.sequence,
        source: event.event.source,
        timestamp_ms: time(event.at),
    }
}

pub(in crate::runloop) fn sql_result(answer: SqlAnswer) -> wire::SqlResult {
    let columns = answer.columns.into_iter().map(|column| wire::SqlColumn {
        name: column.name,
        declared: column.declared,
    });
    let rows = answer.rows.into_iter();
    let rows = rows.map(|row| row.into_iter().map(value).collect());
    wire::SqlResult {
        columns: columns.collect(),
        rows: rows.collect(),
        meta: wire::SqlMeta {
            changes: answer.changes,
            duration_ms: answer.took.as_secs_f64() * 1000.0,
            rows_read_limit_reached: answer.cut,
        },
    }
}

/// One result for each of `count` statements. Where one failed nothing has happened, so none of the others
/// is called a success.
pub(in crate::runloop) fn sql_batch(batch: SqlBatch, count: usize) -> wire::SqlBatchResult {
    let results = match batch {
        SqlBatch::Done(answers) => {
            let step = |answer| wire::SqlStep {
                success: Some(sql_result(answer)),
                ..wire::SqlStep::default()
            };
            answers.into_iter().map(step).collect()
        }
        SqlBatch::Failed { at, error } => {
            let step = |n: usize| {
                let place = at + 1;
                let message = match n.cmp(&at) {
                    std::cmp::Ordering::Less => format!("undone: statement {place} failed"),
                    std::cmp::Ordering::Equal => error.message().to_owned(),
                    std::cmp::Ordering::Greater => format!("not run: statement {place} failed"),
                };
                wire::SqlStep {
                    error: Some(wire::SqlStepError { message }),
                    ..wire::SqlStep::default()
                }
            };
            (0..count).map(step).collect()
        }
    };
    wire::SqlBatchResult { results }
}

/// JSON knows no bytes, which are base64, and no infinity, which is null.
fn value(value: SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(number) => number.into(),
        SqlValue::Real(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        SqlValue::Text(text) => text.into(),
        SqlValue::Blob(bytes) => STANDARD.encode(bytes).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::{Code, Error};

    #[test]
    fn values_are_json_and_a_failed_batch_has_no_success() {
        for (ours, theirs) in [
            (SqlValue::Null, "null"),
            (SqlValue::Integer(i64::MIN), "-9223372036854775808"),
            (SqlValue::Real(0.5), "0.5"),
            (SqlValue::Real(f64::INFINITY), "null"),
            (SqlValue::Text("a\u{0}b".to_owned()), "\"a\\u0000b\""),
            (SqlValue::Blob(vec![0, 255]), "\"AP8=\""),
        ] {
            assert_eq!(value(ours).to_string(), theirs);
        }
        let error = Error::new(Code::SqlFailed, "no such table: t");
        let failed = sql_batch(SqlBatch::Failed { at: 1, error }, 3);
        let words = failed.results.into_iter().map(|step| {
            assert!(step.success.is_none());
            step.error.expect("an error").message
        });
        let expected = [
            "undone: statement 2 failed",
            "no such table: t",
            "not run: statement 2 failed",
        ];
        assert_eq!(words.collect::<Vec<_>>(), expected);
    }
}
