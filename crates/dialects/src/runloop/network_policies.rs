//! Handlers of network policies.

use axum::extract::State;
use pinfold_engine::{Cursor, Engine};
use pinfold_http::{Caller, Json, Path, Query};
use pinfold_model::{Error, NamedPolicy};

use super::errors::Refused;
use super::from_wire::network_policy as from_wire;
use super::poll::{Pages, RequestKey};
use super::{ids, to_wire, wire};

type Answer = Result<Json<wire::NetworkPolicy>, Refused>;

pub(super) async fn create(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    RequestKey(key): RequestKey,
    Json(request): Json<wire::PutNetworkPolicy>,
) -> Answer {
    let request = from_wire::create(request)?;
    let made = engine
        .create_network_policy(&ctx, request, key.as_deref())
        .await?;
    answer(made.value)
}

pub(super) async fn show(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    let id = ids::network_policy(&id)?;
    answer(engine.get_network_policy(&ctx, &id).await?)
}

pub(super) async fn list(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Query(query): Query<wire::ListNetworkPolicies>,
) -> Result<Json<wire::NetworkPolicies>, Refused> {
    let after = match &query.starting_after {
        Some(id) => {
            let id = ids::network_policy(id)?;
            let last = engine.get_network_policy(&ctx, &id).await?;
            Some(Cursor::new(last.created_at, last.id.to_string()))
        }
        None => None,
    };
    let wanted = |policy: &NamedPolicy| {
        let (id, name) = (policy.id.as_str(), policy.name.as_str());
        let is = |wanted: &Option<String>, fits: &dyn Fn(&str) -> bool| {
            wanted.as_deref().is_none_or(fits)
        };
        is(&query.id, &|wanted| wanted == id)
            && is(&query.name, &|wanted| name.contains(wanted))
            && is(&query.search, &|wanted| {
                wanted == id || name.contains(wanted)
            })
    };
    let mut pages = Pages::new(query.limit, after)?;
    while let Some(page) = pages.wanted() {
        pages.take(engine.list_network_policies(&ctx, &page).await?, wanted)?;
    }
    let (found, has_more) = pages.finish();
    Ok(Json(wire::NetworkPolicies {
        network_policies: found.into_iter().map(to_wire::network_policy).collect(),
        has_more,
    }))
}

pub(super) async fn update(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::PutNetworkPolicy>,
) -> Answer {
    let id = ids::network_policy(&id)?;
    let change =
        move |policy: &mut NamedPolicy| -> Result<(), Error> { from_wire::put(&request, policy) };
    answer(engine.change_network_policy(&ctx, &id, change).await?)
}

/// Answers with what it was.
pub(super) async fn delete(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    _: Json<wire::Anything>,
) -> Answer {
    let id = ids::network_policy(&id)?;
    let policy = engine.get_network_policy(&ctx, &id).await?;
    engine.delete_network_policy(&ctx, &id).await?;
    answer(policy)
}

fn answer(policy: NamedPolicy) -> Answer {
    Ok(Json(to_wire::network_policy(policy)))
}
