//! Reading what a command wrote: numbered records, as pages or as server-sent events.

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::encoding::Encoding;
use crate::word::words;

words! {
    /// Where bytes came from. A terminal has only `stdout`.
    StreamName {
        Stdout = "stdout",
        Stderr = "stderr",
    }
}

/// One entry of a command's journal. As a server-sent event, `event:` is the type, `id:` the seq
/// and `data:` this object. Sequence numbers begin at 1 and have no gaps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    Output {
        seq: u64,
        time: String,
        stream: StreamName,
        encoding: Encoding,
        data: String,
    },
    /// The cap was reached: nothing that the command wrote after this was kept.
    Truncated { seq: u64, time: String },
    /// The command ended. Output of processes it left behind may follow in later pages of logs; an
    /// event stream closes here.
    End {
        seq: u64,
        time: String,
        command: Box<Command>,
    },
}

impl Record {
    #[must_use]
    pub fn seq(&self) -> u64 {
        match self {
            Self::Output { seq, .. } | Self::Truncated { seq, .. } | Self::End { seq, .. } => *seq,
        }
    }

    /// The name of its server-sent event.
    #[must_use]
    pub fn event(&self) -> &'static str {
        match self {
            Self::Output { .. } => "output",
            Self::Truncated { .. } => "truncated",
            Self::End { .. } => "end",
        }
    }
}

/// A page of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogPage {
    pub records: Vec<Record>,
    /// Pass it as `after_seq` for the next page.
    pub next_after_seq: u64,
    /// There are no more records now.
    pub at_end: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct LogsQuery {
    /// Only records after this one; 0 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_seq: Option<u64>,
    /// Records at most: 1 to 1000, 1000 when absent. A page is also bounded to 1 MiB of output.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
    /// Only output of this stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(inline))]
    pub stream: Option<StreamName>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct StreamQuery {
    /// Only records after this one. The header `Last-Event-ID` says the same and wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_seq: Option<u64>,
    /// Only output of this stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(inline))]
    pub stream: Option<StreamName>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct OutputQuery {
    /// Both streams in the order they were written when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(inline))]
    pub stream: Option<StreamName>,
    /// Stay until the command ends; otherwise only what is there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_its_type_beside_its_fields() {
        let record = Record::Output {
            seq: 7,
            time: "2026-01-01T00:00:00Z".into(),
            stream: StreamName::Stderr,
            encoding: Encoding::Utf8,
            data: "x".into(),
        };
        let json = serde_json::to_value(&record).expect("plain data");
        assert_eq!(json["type"], record.event());
        assert_eq!(json["seq"], 7);
        assert_eq!(
            serde_json::from_value::<Record>(json).expect("own form"),
            record
        );
    }
}
