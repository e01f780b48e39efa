//! The OpenAPI 3.1 document: what the routes say of themselves, and what is true of all of them.

use std::sync::OnceLock;

use axum::body::Bytes;
use utoipa::ToSchema;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    Components, ComponentsBuilder, ContentBuilder, Info, License, OpenApi, OpenApiBuilder, Ref,
    RefOr, Required, ResponseBuilder, Schema,
};
use utoipa_axum::router::OpenApiRouter;

use crate::router::described;
use crate::state::MetricsAccess;

const ABOUT: &str = "Isolated Linux computers for AI agents, on machines that you own. Send the \
    key as `Authorization: Bearer KEY` or `x-api-key: KEY`. Every answer has an `x-request-id`; \
    every error has the body `{\"error\": {code, message, details?, request_id}}`. Times are RFC \
    3339 UTC, durations are milliseconds, lists come in pages by `cursor`.";

/// The document of the native API, as `/v1/openapi.json` serves it.
#[must_use]
pub fn document() -> OpenApi {
    let (keyed, open) = described(MetricsAccess::AdminKey);
    let start = OpenApiBuilder::new()
        .info(info())
        .components(Some(components()))
        .build();
    let mut api = OpenApiRouter::<crate::state::Api>::with_openapi(start)
        .merge(keyed)
        .merge(open)
        .into_openapi();
    let schemes = [("bearer", Vec::<String>::new()), ("apiKey", Vec::new())];
    let required = schemes.map(|(name, scopes)| SecurityRequirement::new(name, scopes));
    api.security = Some(required.to_vec());
    for item in api.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
        ];
        for operation in operations.into_iter().flatten() {
            add_errors(operation);
            allow_no_body(operation, api.components.as_ref());
        }
    }
    api
}

/// The same as JSON, made once.
#[must_use]
pub fn document_json() -> Bytes {
    static JSON: OnceLock<Bytes> = OnceLock::new();
    let made = || {
        let mut json = serde_json::to_value(document()).expect("the document is plain data");
        name_unsigned(&mut json);
        Bytes::from(json.to_string())
    };
    JSON.get_or_init(made).clone()
}

/// Numbers from 0 on are described with the formats of signed ones, whose largest is smaller.
fn name_unsigned(json: &mut serde_json::Value) {
    use serde_json::Value;
    if let Value::Object(schema) = json
        && schema.get("minimum").is_some_and(|least| least == 0)
    {
        match schema.get("format").and_then(Value::as_str) {
            Some("int32") => schema.insert("format".to_owned(), "uint32".into()),
            Some("int64") => schema.insert("format".to_owned(), "uint64".into()),
            _ => None,
        };
    }
    match json {
        Value::Object(fields) => fields.values_mut().for_each(name_unsigned),
        Value::Array(items) => items.iter_mut().for_each(name_unsigned),
        _ => {}
    }
}

fn info() -> Info {
    let mut info = Info::new("Pinfold", env!("CARGO_PKG_VERSION"));
    info.description = Some(ABOUT.to_owned());
    info.license = Some(License::new("Apache-2.0"));
    info
}

fn components() -> Components {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let own = ApiKey::Header(ApiKeyValue::new(pinfold_wire::header::API_KEY));
    let mut components = ComponentsBuilder::new()
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .security_scheme("apiKey", SecurityScheme::ApiKey(own))
        .build();
    // Bodies that no route names: errors, and the messages of terminals.
    add::<pinfold_wire::ErrorEnvelope>(&mut components);
    add::<pinfold_wire::PtyClientMessage>(&mut components);
    add::<pinfold_wire::PtyServerMessage>(&mut components);
    components
}

fn add<T: ToSchema>(components: &mut Components) {
    let mut needed = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut needed);
    components.schemas.extend(needed);
}

/// An empty body counts as `{}`, so one whose fields are all optional need not be sent.
fn allow_no_body(operation: &mut Operation, components: Option<&Components>) {
    let Some(RefOr::T(body)) = &mut operation.request_body else {
        return;
    };
    let schema = match body.content.get("application/json") {
        Some(RefOr::T(content)) => content.schema.as_ref(),
        _ => None,
    };
    let schema = match schema {
        Some(RefOr::Ref(at)) => {
            let name = at.ref_location.rsplit('/').next();
            name.and_then(|name| components?.schemas.get(name))
        }
        direct => direct,
    };
    if let Some(RefOr::T(Schema::Object(object))) = schema
        && object.required.is_empty()
    {
        body.required = Some(Required::False);
    }
}

/// Any error may answer any operation, always in one shape.
fn add_errors(operation: &mut Operation) {
    let name = <pinfold_wire::ErrorEnvelope as ToSchema>::name();
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(name)))
        .build();
    let error = ResponseBuilder::new()
        .description("an error")
        .content("application/json", content)
        .build();
    operation
        .responses
        .responses
        .insert("default".to_owned(), error.into());
}
