//! From the engine's things to the vendor's, one module for each kind. Pure.

mod account;
mod artifact;
mod code;
mod command;
mod file;
mod output;
mod preview;
mod sandbox;

use pinfold_engine::Page;
use pinfold_model::Time;

use super::wire;

pub(super) use account::{api_key, project, usage};
pub(super) use artifact::{artifact, artifacts, download_url};
pub(super) use code::{Form, Promotable, code_error, code_run, context, forms};
pub(super) use command::{accepted, command, command_with_output};
pub(super) use file::{content, directory, file};
pub(super) use output::{log_event, logs};
pub(super) use preview::preview;
pub(super) use sandbox::sandbox;

/// ISO 8601 in UTC with milliseconds.
pub(super) fn time(time: Time) -> String {
    format!("{time:.3}")
}

pub(super) fn page<T, W>(page: Page<T>, item: impl Fn(T) -> W) -> wire::Page<W> {
    wire::Page {
        data: page.items.into_iter().map(item).collect(),
        has_more: page.next.is_some(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(time(Time::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }
}
