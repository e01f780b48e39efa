//! Handlers of storage objects: created, uploaded by a signed URL, completed.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use pinfold_engine::{
    CreateObject, Cursor, Engine, Link, LinkUse, Linked, ObjectFilter, ObjectStates,
};
use pinfold_http::{BaseUrl, Caller, Json, Path, Query, RequestTag};
use pinfold_model::{Code, Error, Object, ObjectState, limits};

use super::errors::Refused;
use super::poll::{Again, Pages, RequestKey};
use super::{ids, to_wire, wire};
use crate::content;

type Answer = Result<Json<wire::Object>, Refused>;

pub(super) async fn create(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    base: BaseUrl,
    RequestKey(key): RequestKey,
    Json(request): Json<wire::CreateObject>,
) -> Answer {
    let draft = CreateObject {
        name: Some(request.name),
        content_type: Some(to_wire::content_type(&request.content_type)?.to_owned()),
        metadata: request.metadata.unwrap_or_default(),
        retention: request.ttl_ms.map(Duration::from_millis),
    };
    let made = engine
        .begin_object(&ctx, draft, key.as_deref())
        .await?
        .value;
    let link = engine.sign_object_upload(&ctx, &made.id, None).await?;
    Ok(Json(wire::Object {
        upload_url: Some(url(&base, &link)),
        ..to_wire::object(made)
    }))
}

pub(super) async fn show(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Answer {
    let object = engine.get_object(&ctx, &ids::object(&id)?).await?;
    Ok(Json(to_wire::object(object)))
}

pub(super) async fn list(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Query(query): Query<wire::ListObjects>,
) -> Result<Json<wire::Objects>, Refused> {
    let after = match &query.starting_after {
        Some(id) => {
            let last = engine.get_object(&ctx, &ids::object(id)?).await?;
            Some(Cursor::new(last.created_at, last.id.to_string()))
        }
        None => None,
    };
    let filter = ObjectFilter {
        states: states(query.state.as_deref())?,
        ..ObjectFilter::default()
    };
    let kind = query.content_type.as_deref();
    kind.map(to_wire::content_type).transpose()?;
    let wanted = |object: &Object| {
        let named = query
            .name
            .as_ref()
            .is_none_or(|part| object.name.contains(part));
        let found = query
            .search
            .as_ref()
            .is_none_or(|text| object.id.as_str() == text || object.name.contains(text));
        let typed = kind.is_none_or(|kind| to_wire::content_type_of(&object.content_type) == kind);
        named && found && typed
    };
    let mut pages = Pages::new(query.limit, after)?;
    while let Some(page) = pages.wanted() {
        pages.take(engine.list_objects(&ctx, &filter, &page).await?, wanted)?;
    }
    let (found, has_more) = pages.finish();
    let objects = found.into_iter().map(to_wire::object).collect();
    Ok(Json(wire::Objects { objects, has_more }))
}

fn states(word: Option<&str>) -> Result<ObjectStates, Refused> {
    let Some(word) = word else {
        return Ok(ObjectStates::Present);
    };
    let mut all = ObjectState::ALL.into_iter();
    let found = all.find(|state| to_wire::object_state(*state) == word);
    let known = found.map(ObjectStates::Only);
    known.ok_or_else(|| Refused::invalid("state", format!("no state {word:?}")))
}

pub(super) async fn complete(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Again(again): Again,
    _: Json<wire::Anything>,
) -> Answer {
    let id = ids::object(&id)?;
    let now = engine.get_object(&ctx, &id).await?;
    if now.state == ObjectState::Deleted {
        return Err(Error::new(Code::ObjectGone, "the object has been deleted").into());
    }
    if again && now.state == ObjectState::Sealed {
        return Ok(Json(to_wire::object(now)));
    }
    now.state.require_uploading()?;
    Ok(Json(to_wire::object(
        engine.complete_object(&ctx, &id).await?,
    )))
}

/// Every object is its project's.
pub(super) async fn list_public(_: Caller) -> Json<wire::Objects> {
    Json(wire::Objects {
        objects: Vec::new(),
        has_more: false,
    })
}

pub(super) async fn download_url(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    base: BaseUrl,
    Path(id): Path<String>,
    Query(query): Query<wire::DownloadUrlQuery>,
) -> Result<Json<wire::DownloadUrl>, Refused> {
    let lifetime = query.duration_seconds.map(lifetime).transpose()?;
    let link = engine
        .sign_object_download(&ctx, &ids::object(&id)?, lifetime)
        .await?;
    Ok(Json(wire::DownloadUrl {
        download_url: url(&base, &link),
    }))
}

pub(super) async fn delete(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    _: Json<wire::Anything>,
) -> Answer {
    let deleted = engine.delete_object(&ctx, &ids::object(&id)?).await?;
    Ok(Json(to_wire::object(deleted)))
}

fn lifetime(seconds: i64) -> Result<Duration, Refused> {
    let wanted = u64::try_from(seconds).map(Duration::from_secs).ok();
    let legal = wanted.filter(|wanted| !wanted.is_zero() && *wanted <= limits::LINK_MAX);
    legal.ok_or_else(|| {
        let most = limits::LINK_MAX.as_secs();
        Refused::invalid("duration_seconds", format!("must be from 1 to {most}"))
    })
}

fn url(base: &BaseUrl, link: &Link) -> String {
    format!("{base}/runloop/v1/signed/{}", link.token)
}

/// Behind an upload URL.
pub(super) async fn upload(
    State(engine): State<Engine>,
    Path(token): Path<String>,
    tag: RequestTag,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<wire::Empty>, Refused> {
    let found = engine.redeem(&token, LinkUse::Write, tag.id).await?;
    let Linked::ObjectUpload { object } = found.linked else {
        return Err(mismatch());
    };
    let body = content::uploaded(&headers, body);
    engine.upload_object(&found.ctx, &object, body).await?;
    Ok(Json(wire::Empty {}))
}

/// Behind a download URL.
pub(super) async fn download(
    State(engine): State<Engine>,
    Path(token): Path<String>,
    tag: RequestTag,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let found = engine.redeem(&token, LinkUse::Read, tag.id).await?;
    let Linked::ObjectDownload { object } = found.linked else {
        return Err(mismatch());
    };
    let object = engine.get_object(&found.ctx, &object).await?;
    Ok(content::object(&engine, &found.ctx, &object, &headers).await?)
}

fn mismatch() -> Refused {
    Error::new(Code::LinkInvalid, "this URL is for something else").into()
}
