//! Handlers of the account, which is the caller's project, and of keys.

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use pinfold_engine::{CreateKey, Engine, Expires, QuotaChange};
use pinfold_http::{Caller, Json};
use pinfold_model::{Ctx, KeyKind, Level, Resource, Role, Scope, Scopes, Time};

use super::errors::Refused;
use super::{to_wire, wire};

/// What a key is called whose request names none.
const NAME: &str = "runloop";

pub(super) async fn me(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
) -> Result<Json<wire::Account>, Refused> {
    let project = engine.get_project(&ctx, &ctx.principal.project).await?;
    Ok(Json(to_wire::account(project)))
}

/// A key that may do what its maker may.
pub(super) async fn create_key(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Json(request): Json<wire::CreateKey>,
) -> Result<Response, Refused> {
    let role = ctx.principal.role;
    created(&engine, &ctx, request, role, Scopes::All).await
}

/// A key that is confined to its scopes. It is a member's, unless it is to manage the account.
pub(super) async fn create_restricted(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Json(mut request): Json<wire::CreateKey>,
) -> Result<Response, Refused> {
    let scopes = scopes(request.scopes.take().unwrap_or_default())?;
    let role = match scopes.allow(Resource::Account, Level::Write) {
        true => Role::Admin,
        false => Role::Member,
    };
    created(&engine, &ctx, request, role, scopes).await
}

async fn created(
    engine: &Engine,
    ctx: &Ctx,
    request: wire::CreateKey,
    role: Role,
    scopes: Scopes,
) -> Result<Response, Refused> {
    let expires = request
        .expires_at_ms
        .map(Time::from_millisecond)
        .transpose();
    let expires = expires.map_err(|error| Refused::invalid("expires_at_ms", error))?;
    let name = request.name.filter(|name| !name.is_empty());
    let wanted = CreateKey {
        name: name.unwrap_or_else(|| NAME.to_owned()),
        role,
        kind: KeyKind::User,
        project: None,
        expires: expires.map(Expires::At),
        scopes,
        quota: QuotaChange::default(),
    };
    let created = engine.create_key(ctx, wanted).await?;
    let secret = [(CACHE_CONTROL, "no-store")];
    Ok((secret, Json(to_wire::created_key(created))).into_response())
}

fn scopes(entries: Vec<wire::Scope>) -> Result<Scopes, Refused> {
    let mut scopes: Vec<Scope> = Vec::new();
    let mut named = Vec::new();
    for entry in entries {
        let kind = entry.resource_type.unwrap_or_default();
        let known = to_wire::RESOURCES.iter().find(|(_, name)| *name == kind);
        let Some(&(resource, _)) = known else {
            return Err(Refused::invalid(
                "resource_type",
                format!("no resource type {kind:?}"),
            ));
        };
        if named.contains(&resource) {
            return Err(Refused::invalid("scopes", format!("{kind} is given twice")));
        }
        named.push(resource);
        let level = entry.access_level.unwrap_or_default();
        match to_wire::LEVELS.iter().find(|(_, name)| *name == level) {
            Some(&(level, _)) => scopes.push(Scope { resource, level }),
            None if level == to_wire::NO_ACCESS => {}
            None => {
                let text = format!("no access level {level:?}");
                return Err(Refused::invalid("access_level", text));
            }
        }
    }
    Ok(Scopes::only(scopes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, level: &str) -> wire::Scope {
        wire::Scope {
            resource_type: Some(kind.to_owned()),
            access_level: Some(level.to_owned()),
        }
    }

    #[test]
    fn scopes_of_the_vendor_are_ours_and_the_rest_is_refused() {
        let some = scopes(vec![
            entry("RESOURCE_TYPE_DEVBOXES", "ACCESS_LEVEL_WRITE"),
            entry("RESOURCE_TYPE_BLUEPRINTS", "ACCESS_LEVEL_READ"),
            entry("RESOURCE_TYPE_OBJECTS", "ACCESS_LEVEL_NONE"),
        ]);
        let texts = some.map(|some| some.texts()).map_err(|_| ());
        let ours = ["sandboxes:write", "images:read"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(texts, Ok(Some(ours)));
        let one = || entry("RESOURCE_TYPE_DEVBOXES", "ACCESS_LEVEL_READ");
        for refused in [
            vec![],
            vec![entry("RESOURCE_TYPE_DEVBOXES", "ACCESS_LEVEL_NONE")],
            vec![entry("RESOURCE_TYPE_SECRETS", "ACCESS_LEVEL_READ")],
            vec![entry("RESOURCE_TYPE_DEVBOXES", "ACCESS_LEVEL_ALL")],
            vec![one(), one()],
            vec![wire::Scope {
                access_level: None,
                ..one()
            }],
        ] {
            let text = format!("{refused:?}");
            assert!(scopes(refused).is_err(), "{text}");
        }
    }
}
