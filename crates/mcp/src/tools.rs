//! The tools as they are announced: names, descriptions for models, schemas, hints.

use std::sync::{Arc, LazyLock};

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use rmcp::schemars::JsonSchema;
use rmcp::schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::arguments as args;
use crate::{code, commands, files, images, ports, sandboxes};

/// Told to every client that connects.
pub(crate) const INSTRUCTIONS: &str = "Isolated Linux sandboxes for running commands and code. \
    Create one with create_sandbox, use it by its id, destroy it when done; it keeps its files and \
    processes between calls. Answers are bounded: where one was cut, it says how to read the rest.";

/// What a call does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It changes nothing.
    Reads,
    /// It adds something.
    Adds,
    /// It can end or replace something; twice is as once.
    Replaces,
    /// It does whatever it is told to do, inside a sandbox.
    Runs,
}

/// All of them; the same for everybody.
pub(crate) fn all() -> &'static [Tool] {
    static ALL: LazyLock<Vec<Tool>> = LazyLock::new(|| {
        let mut all = about_sandboxes();
        all.extend(about_commands());
        all.extend(about_files());
        all.extend(about_code_and_ports());
        all
    });
    &ALL
}

fn about_sandboxes() -> Vec<Tool> {
    vec![
        tool::<args::CreateSandbox, sandboxes::SandboxFacts>(
            "create_sandbox",
            "Create a sandbox",
            "Creates an isolated Linux computer and waits until it runs. Answers with its id, which \
             every other tool takes. Without internet access unless asked for. An image that the \
             server does not have is pulled first, which can take minutes.",
            Effect::Adds,
        ),
        tool::<args::List, sandboxes::SandboxList>(
            "list_sandboxes",
            "List sandboxes",
            "Lists the sandboxes there are, newest first, with id, state, name and image.",
            Effect::Reads,
        ),
        tool::<args::Sandbox, sandboxes::SandboxFacts>(
            "get_sandbox",
            "Look at a sandbox",
            "Tells how a sandbox is: its state, its size, when it ends.",
            Effect::Reads,
        ),
        tool::<args::Extend, sandboxes::SandboxFacts>(
            "extend_sandbox",
            "Extend a sandbox's life",
            "Sets when a sandbox is destroyed by itself, counted from now.",
            Effect::Replaces,
        ),
        tool::<args::Snapshot, images::ImageFacts>(
            "snapshot_sandbox",
            "Take a snapshot of a sandbox",
            "Keeps all files of a sandbox, as they are now, as an image that create_sandbox can boot \
             from any number of times. Processes and memory are not kept. It takes a moment, however \
             many files there are.",
            Effect::Adds,
        ),
        tool::<args::Sandbox, sandboxes::SandboxFacts>(
            "destroy_sandbox",
            "Destroy a sandbox",
            "Ends a sandbox for good, with all its processes and files.",
            Effect::Replaces,
        ),
        tool::<args::List, images::ImageList>(
            "list_images",
            "List images and templates",
            "Lists what create_sandbox can boot from.",
            Effect::Reads,
        ),
    ]
}

fn about_commands() -> Vec<Tool> {
    vec![
        tool::<args::Run, commands::OutputFacts>(
            "run_command",
            "Run a command",
            "Runs a shell line in a sandbox to its end and answers with its output and exit code. \
             Output comes as progress while it runs, and cancelling the call kills the command. For \
             servers and other things that keep running use start_command.",
            Effect::Runs,
        ),
        tool::<args::Start, commands::CommandFacts>(
            "start_command",
            "Start a command",
            "Starts a shell line in a sandbox and answers at once with the command's id. Read what \
             it writes with read_output, end it with cancel_command.",
            Effect::Runs,
        ),
        tool::<args::ReadOutput, commands::OutputFacts>(
            "read_output",
            "Read a command's output",
            "Reads what a command wrote, from the beginning or from a position that an earlier \
             answer named, and tells whether it still runs or how it ended.",
            Effect::Reads,
        ),
        tool::<args::Sandbox, commands::CommandList>(
            "list_commands",
            "List commands",
            "Lists the commands of a sandbox, newest first, with id and state.",
            Effect::Reads,
        ),
        tool::<args::Cancel, commands::CommandFacts>(
            "cancel_command",
            "End a command",
            "Ends a command and everything it started.",
            Effect::Replaces,
        ),
    ]
}

fn about_files() -> Vec<Tool> {
    vec![
        tool::<args::ReadFile, files::ReadFacts>(
            "read_file",
            "Read a file",
            "Reads a file of a sandbox, at most 64 KiB at once: text as text, a picture (PNG, JPEG, \
             GIF, WebP, at most 4 MiB) as an image, other bytes as base64. Read on with offset.",
            Effect::Reads,
        ),
        tool::<args::WriteFile, files::EntryFacts>(
            "write_file",
            "Write a file",
            "Writes a file in a sandbox, replacing what it held.",
            Effect::Replaces,
        ),
        tool::<args::ListDirectory, files::DirectoryFacts>(
            "list_directory",
            "List a directory",
            "Lists a directory of a sandbox, at most 1000 entries, in order of name.",
            Effect::Reads,
        ),
    ]
}

fn about_code_and_ports() -> Vec<Tool> {
    vec![
        tool::<args::RunCode, code::CodeFacts>(
            "run_code",
            "Run code",
            "Runs Python or JavaScript in an interpreter of a sandbox that keeps variables and \
             imports from one call to the next. Answers with what it wrote, the value of the last \
             expression, pictures that it drew, and what it raised.",
            Effect::Runs,
        ),
        tool::<args::RestartCode, code::ContextFacts>(
            "restart_code",
            "Restart an interpreter",
            "Gives run_code's interpreter a fresh start, without variables.",
            Effect::Replaces,
        ),
        tool::<args::ExposePort, ports::PortFacts>(
            "expose_port",
            "Expose a port",
            "Makes a port of a sandbox reachable from outside and answers with the address and a \
             link for a browser. A port has one address: asking again answers with that one.",
            Effect::Adds,
        ),
        tool::<args::ClosePort, ports::PortFacts>(
            "close_port",
            "Close an exposed port",
            "Ends an address that expose_port made, open connections too.",
            Effect::Replaces,
        ),
    ]
}

fn tool<I: JsonSchema, O: JsonSchema>(
    name: &'static str,
    title: &'static str,
    description: &'static str,
    effect: Effect,
) -> Tool {
    let hints = ToolAnnotations::with_title(title)
        .read_only(effect == Effect::Reads)
        .destructive(matches!(effect, Effect::Replaces | Effect::Runs))
        .idempotent(matches!(effect, Effect::Reads | Effect::Replaces))
        // A sandbox may reach the internet, and a port be reached from it.
        .open_world(matches!(effect, Effect::Runs | Effect::Adds));
    let mut takes = schema::<I>();
    simplify(&mut takes, without_null);
    Tool::new(name, description, Arc::new(takes))
        .with_title(title)
        .with_raw_output_schema(Arc::new(schema::<O>()))
        .with_annotations(hints)
}

/// Without references, which not every model's provider follows.
fn schema<T: JsonSchema>() -> JsonObject {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut object = match schema.to_value() {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    };
    object.remove("title");
    object.remove("$schema");
    object
        .entry("properties")
        .or_insert_with(|| JsonObject::new().into());
    simplify(&mut object, without_format);
    object
}

/// Applies `change` to a schema and to each one in it.
fn simplify(schema: &mut JsonObject, change: fn(&mut JsonObject)) {
    change(schema);
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut().filter_map(Value::as_object_mut) {
            simplify(property, change);
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(Value::Object(inner)) = schema.get_mut(inner) {
            simplify(inner, change);
        }
    }
}

/// Formats of numbers such as `uint32` are nobody else's.
fn without_format(schema: &mut JsonObject) {
    schema.remove("format");
}

/// What need not be there need not be null either: some providers know no unions.
fn without_null(schema: &mut JsonObject) {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = &kinds[..] {
            let kind = kind.clone();
            schema.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(forms)) = schema.get_mut("enum") {
        forms.retain(|form| !form.is_null());
    }
    if let Some(Value::Array(mut forms)) = schema.remove("anyOf") {
        forms.retain(|form| form["type"] != "null");
        for form in forms
            .into_iter()
            .filter_map(|form| form.as_object().cloned())
        {
            for (name, value) in form {
                // The field's own words before those of its type.
                schema.entry(name).or_insert(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_says_what_it_takes_and_what_it_answers() {
        for tool in all() {
            let takes = &tool.input_schema;
            assert_eq!(takes["type"], "object", "{}", tool.name);
            assert_eq!(takes["additionalProperties"], false, "{}", tool.name);
            for (name, property) in takes["properties"].as_object().expect("an object") {
                assert!(
                    property.get("description").is_some(),
                    "{}.{name}",
                    tool.name
                );
            }
            let answers = tool.output_schema.as_ref().expect("facts");
            assert_eq!(answers["type"], "object", "{}", tool.name);
        }
    }

    #[test]
    fn schemas_are_of_the_simple_kind_that_every_client_knows() {
        for tool in all() {
            let takes = serde_json::to_string(&tool.input_schema).expect("JSON");
            for word in ["$ref", "$defs", "anyOf", "null", "\"format\""] {
                assert!(!takes.contains(word), "{}: {takes}", tool.name);
            }
            let answers = serde_json::to_string(&tool.output_schema).expect("JSON");
            for word in ["$ref", "$defs", "\"format\""] {
                assert!(!answers.contains(word), "{}: {answers}", tool.name);
            }
        }
        let read = all().iter().find(|tool| tool.name == "write_file");
        let encoding = &read.expect("a tool").input_schema["properties"]["encoding"];
        assert_eq!(encoding["type"], "string");
        assert_eq!(encoding["enum"], serde_json::json!(["text", "base64"]));
    }

    #[test]
    fn hints_agree_with_one_another() {
        for tool in all() {
            let hints = tool.annotations.as_ref().expect("hints");
            let reads = hints.read_only_hint == Some(true);
            assert!(
                !(reads && hints.destructive_hint == Some(true)),
                "{}",
                tool.name
            );
            assert_eq!(hints.title.as_deref(), tool.title.as_deref());
        }
    }
}
