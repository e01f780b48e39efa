//! Which forms of outputs stand where.

use super::*;
use serde_json::json;

fn offered(data: &[(&str, Value)]) -> CodeOutput {
    let data = data.iter().cloned();
    CodeOutput {
        data: data
            .map(|(media, value)| (media.to_owned(), value))
            .collect(),
        ..CodeOutput::default()
    }
}

fn shown(media: &str, value: Value) -> Value {
    match forms(offered(&[(media, value)])).pop() {
        Some(Form::Shown(output)) => serde_json::to_value(output).expect("plain data"),
        other => panic!("{media}: {other:?}"),
    }
}

#[test]
fn text_comes_first_and_every_form_is_an_output() {
    let output = CodeOutput {
        truncated: vec![TEXT.to_owned()],
        rejected: vec![RejectedForm {
            format: "text/html".to_owned(),
            reason: "more than 1 MiB of text".to_owned(),
            too_large: true,
        }],
        ..offered(&[("application/json", json!([1])), (TEXT, json!("[1]"))])
    };
    let all: Vec<_> = forms(output)
        .into_iter()
        .map(|form| match form {
            Form::Shown(shown) => serde_json::to_value(shown).expect("plain data"),
            Form::Promotable(form) => panic!("{form:?}"),
        })
        .collect();
    assert_eq!(
        json!(all),
        json!([
            {"kind": "inline", "format": "text", "value": "[1]", "truncated": true},
            {"kind": "inline", "format": "json", "value": [1]},
            {"kind": "rejected", "format": "html", "reason": "output_too_large"},
        ])
    );
}

#[test]
fn forms_have_the_vendors_names() {
    for (media, format) in [
        ("text/markdown", "markdown"),
        ("text/latex", "latex"),
        ("text/csv", "data"),
        ("application/geo+json", "data"),
        ("application/vnd.plotly.v1+json", "chart"),
        ("application/vnd.vegalite.v5+json", "chart"),
    ] {
        let output = shown(media, json!("x"));
        assert_eq!(
            output,
            json!({"kind": "inline", "format": format, "value": "x"})
        );
    }
    for (media, format, reason) in [
        ("image/gif", "gif", "unsupported_format"),
        ("application/pdf", "pdf", "unsupported_format"),
        (
            "application/javascript",
            "javascript",
            "unsafe_active_content",
        ),
        ("image/png", "png", "unsupported_format"),
        ("nonsense", "nonsense", "unsupported_format"),
    ] {
        let output = shown(media, json!("no base64!"));
        assert_eq!(
            output,
            json!({"kind": "rejected", "format": format, "reason": reason})
        );
    }
}

#[test]
fn images_and_pages_may_be_promoted() {
    for (media, value, bytes) in [
        ("image/png", "AQI=", vec![1, 2]),
        ("image/jpeg", "", vec![]),
        ("image/svg+xml", "<svg/>", b"<svg/>".to_vec()),
        ("text/html", "<b>", b"<b>".to_vec()),
    ] {
        match forms(offered(&[(media, json!(value))])).pop() {
            Some(Form::Promotable(form)) => assert_eq!((form.media, form.bytes), (media, bytes)),
            other => panic!("{media}: {other:?}"),
        }
    }
}

#[test]
fn a_run_over_its_time_says_so() {
    let error = CodeError {
        name: "KeyboardInterrupt".to_owned(),
        message: String::new(),
        traceback: "a\nb".to_owned(),
    };
    let late = code_error(Some(error.clone()), CodeRunState::TimedOut).expect("told");
    assert_eq!(
        (late.name.as_str(), late.traceback.len()),
        ("TimeoutError", 2)
    );
    let stopped = code_error(Some(error.clone()), CodeRunState::Interrupted).expect("told");
    assert_eq!(stopped.name, "KeyboardInterrupt");
    // What swallowed the interrupt raised nothing, and did not come to its own end either.
    for (state, name) in [
        (CodeRunState::TimedOut, "TimeoutError"),
        (CodeRunState::Interrupted, "Interrupted"),
    ] {
        assert_eq!(code_error(None, state).expect("told").name, name);
    }
    assert_eq!(code_error(None, CodeRunState::Succeeded), None);
    let gone = CodeError {
        name: "InterpreterDied".to_owned(),
        message: "its variables are gone".to_owned(),
        traceback: String::new(),
    };
    let gone = code_error(Some(gone), CodeRunState::TimedOut).expect("told");
    assert_eq!(
        (gone.name.as_str(), gone.message.as_str()),
        ("TimeoutError", "its variables are gone")
    );
}
