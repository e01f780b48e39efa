//! One MCP server: from a tool's name to its call, with the client of whoever calls.

use pinfold_sdk::Client;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, JsonObject,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::de::DeserializeOwned;

use crate::answer::{Answer, Failure};
use crate::calls::{CALLS_MAX, Calls};
use crate::{code, commands, files, images, ports, sandboxes, tools};

/// For whom a request's calls are made. Over HTTP each request brings its own, in its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) client: Client,
    /// Whose calls are counted together.
    pub(crate) owner: String,
}

/// Pinfold's tools. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// The caller of everything, where there is one for all.
    caller: Option<Caller>,
    calls: Calls,
}

impl Server {
    /// For one caller.
    pub(crate) fn of(caller: Caller, calls: Calls) -> Self {
        Self {
            caller: Some(caller),
            calls,
        }
    }

    /// For the caller that each request brings.
    pub(crate) fn of_requests(calls: Calls) -> Self {
        Self {
            caller: None,
            calls,
        }
    }

    fn caller(&self, context: &RequestContext<RoleServer>) -> Result<Caller, ErrorData> {
        let brought = || {
            let parts = context.extensions.get::<http::request::Parts>()?;
            parts.extensions.get::<Caller>().cloned()
        };
        self.caller
            .clone()
            .or_else(brought)
            .ok_or_else(|| ErrorData::internal_error("the request came without its caller", None))
    }

    async fn call(
        &self,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
        caller: &Caller,
    ) -> Answer {
        let Some(_call) = self.calls.begin(&caller.owner) else {
            let text = format!("{CALLS_MAX} calls are under way: wait until one has ended");
            return Err(Failure::new("rate_limited", text));
        };
        let arguments = request.arguments.unwrap_or_default();
        dispatch(&caller.client, &request.name, arguments, context).await
    }
}

async fn dispatch(
    client: &Client,
    name: &str,
    arguments: JsonObject,
    context: &RequestContext<RoleServer>,
) -> Answer {
    match name {
        "create_sandbox" => sandboxes::create(client, parsed(arguments)?, &context.ct).await,
        "list_sandboxes" => sandboxes::list(client, parsed(arguments)?).await,
        "get_sandbox" => sandboxes::get(client, parsed(arguments)?).await,
        "extend_sandbox" => sandboxes::extend(client, parsed(arguments)?).await,
        "destroy_sandbox" => sandboxes::destroy(client, parsed(arguments)?).await,
        "snapshot_sandbox" => images::snapshot(client, parsed(arguments)?).await,
        "list_images" => images::list(client, parsed(arguments)?).await,
        "run_command" => commands::run(client, parsed(arguments)?, context).await,
        "start_command" => commands::start(client, parsed(arguments)?).await,
        "read_output" => commands::read(client, parsed(arguments)?).await,
        "list_commands" => commands::list(client, parsed(arguments)?).await,
        "cancel_command" => commands::cancel(client, parsed(arguments)?).await,
        "read_file" => files::read(client, parsed(arguments)?).await,
        "write_file" => files::write(client, parsed(arguments)?).await,
        "list_directory" => files::list(client, parsed(arguments)?).await,
        "run_code" => code::run(client, parsed(arguments)?, context).await,
        "restart_code" => code::restart(client, parsed(arguments)?).await,
        "expose_port" => ports::expose(client, parsed(arguments)?).await,
        "close_port" => ports::close(client, parsed(arguments)?).await,
        // Announced and not here: `call_tool` has refused all others.
        other => Err(Failure::new("internal", format!("nothing does {other:?}"))),
    }
}

fn parsed<T: DeserializeOwned>(arguments: JsonObject) -> Result<T, Failure> {
    serde_json::from_value(arguments.into()).map_err(|error| {
        Failure::invalid(format!(
            "the arguments do not fit the tool's schema: {error}"
        ))
    })
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let itself = Implementation::new("pinfold", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(itself.with_title("Pinfold"))
            .with_instructions(tools::INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::all().to_vec()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let known = tools::all().iter().any(|tool| tool.name == request.name);
        if !known {
            // The one failure that is the protocol's: there is nothing that could have failed.
            let text = format!(
                "unknown tool {:?}: tools/list has those there are",
                request.name
            );
            return Err(ErrorData::invalid_params(text, None));
        }
        let caller = self.caller(&context)?;
        let result = match self.call(request, &context, &caller).await {
            Ok(told) => CallToolResult::from(told),
            Err(failure) => failure.into_result(),
        };
        Ok(CallToolResponse::Complete(result))
    }
}
