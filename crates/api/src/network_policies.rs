//! Routes of network policies with a name.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use pinfold_http::{Caller, Failure, IdempotencyKey, Json, Path, Query};
use pinfold_wire as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::convert::network_policy as convert;
use crate::sandboxes::accepted;
use crate::state::Api;
use crate::{ids, page};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create_network_policy, list_network_policies))
        .routes(routes!(
            get_network_policy,
            update_network_policy,
            delete_network_policy
        ))
}

/// Makes a network policy, which sandboxes of the caller's project can follow.
#[utoipa::path(post, path = "/v1/network-policies", tag = "network policies",
    params(("idempotency-key" = Option<String>, Header, description = "makes repeating this safe")),
    request_body = wire::CreateNetworkPolicy,
    responses((status = 201, body = wire::NamedNetworkPolicy),
        (status = 200, body = wire::NamedNetworkPolicy, description = "made by an earlier request")))]
async fn create_network_policy(
    State(api): State<Api>,
    Caller(ctx): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<wire::CreateNetworkPolicy>,
) -> Result<Response, Failure> {
    let request = convert::from_wire(request)?;
    let made = api
        .engine
        .create_network_policy(&ctx, request, key.as_deref())
        .await?;
    Ok(accepted(made, convert::to_wire))
}

/// Lists the network policies of the caller's project, newest first.
#[utoipa::path(get, path = "/v1/network-policies", tag = "network policies",
    params(wire::PageQuery),
    responses((status = 200, body = wire::Page<wire::NamedNetworkPolicy>)))]
async fn list_network_policies(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Query(query): Query<wire::PageQuery>,
) -> Result<Json<wire::Page<wire::NamedNetworkPolicy>>, Failure> {
    let request = page::request(query.limit, query.cursor.as_deref())?;
    let found = api.engine.list_network_policies(&ctx, &request).await?;
    Ok(Json(page::to_wire(found, convert::to_wire)))
}

/// One network policy.
#[utoipa::path(get, path = "/v1/network-policies/{network_policy_id}", tag = "network policies",
    params(("network_policy_id" = String, Path)),
    responses((status = 200, body = wire::NamedNetworkPolicy)))]
async fn get_network_policy(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::NamedNetworkPolicy>, Failure> {
    let id = ids::network_policy(&id)?;
    let policy = api.engine.get_network_policy(&ctx, &id).await?;
    Ok(Json(convert::to_wire(policy)))
}

/// Changes a network policy. When this answers, every sandbox that follows it obeys the new rules:
/// connections that are not allowed any more are cut.
#[utoipa::path(patch, path = "/v1/network-policies/{network_policy_id}", tag = "network policies",
    params(("network_policy_id" = String, Path)), request_body = wire::UpdateNetworkPolicy,
    responses((status = 200, body = wire::NamedNetworkPolicy)))]
async fn update_network_policy(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::UpdateNetworkPolicy>,
) -> Result<Json<wire::NamedNetworkPolicy>, Failure> {
    let change = convert::Change::from_wire(request)?;
    let policy = api
        .engine
        .change_network_policy(&ctx, &ids::network_policy(&id)?, move |policy| {
            change.apply(policy);
            Ok(())
        })
        .await?;
    Ok(Json(convert::to_wire(policy)))
}

/// Deletes a network policy for good. While a sandbox that has not ended follows it this is a conflict.
#[utoipa::path(delete, path = "/v1/network-policies/{network_policy_id}", tag = "network policies",
    params(("network_policy_id" = String, Path)),
    responses((status = 204, description = "deleted")))]
async fn delete_network_policy(
    State(api): State<Api>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let id = ids::network_policy(&id)?;
    api.engine.delete_network_policy(&ctx, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
