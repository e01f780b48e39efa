//! Handlers of disk snapshots.

use axum::extract::State;
use axum::http::Uri;
use pinfold_engine::{Cursor, DescribeSnapshot, Engine};
use pinfold_http::{Caller, Failure, Json, Path, pairs, parse_pairs};
use pinfold_model::{Code, Error, Snapshot};

use super::errors::Refused;
use super::poll::{Pages, RequestKey};
use super::{ids, to_wire, wire};

/// Takes no longer for a larger disk, so that the answer with "async" in its name is this one, too.
pub(super) async fn create(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(devbox): Path<String>,
    RequestKey(key): RequestKey,
    Json(request): Json<wire::DescribeSnapshot>,
) -> Result<Json<wire::Snapshot>, Refused> {
    let devbox = ids::devbox(&devbox)?;
    let made = engine
        .describe_sandbox_snapshot(&ctx, &devbox, description(request), key.as_deref())
        .await?;
    Ok(Json(to_wire::snapshot(made.value)))
}

pub(super) async fn status(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::SnapshotStatus>, Refused> {
    let found = engine.get_snapshot(&ctx, &ids::snapshot(&id)?).await?;
    Ok(Json(to_wire::snapshot_status(found)))
}

pub(super) async fn list(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    uri: Uri,
) -> Result<Json<wire::Snapshots>, Refused> {
    let (query, metadata) = filters(&uri)?;
    let after = match &query.starting_after {
        Some(id) => {
            let last = engine.get_snapshot(&ctx, &ids::snapshot(id)?).await?;
            Some(Cursor::new(last.created_at, last.image.to_string()))
        }
        None => None,
    };
    let devbox = query.devbox_id.as_deref().map(ids::devbox).transpose()?;
    let wanted = |snapshot: &Snapshot| {
        query.source_blueprint_id.is_none() && metadata.iter().all(|wanted| wanted.fits(snapshot))
    };
    let mut pages = Pages::new(query.limit, after);
    while let Some(page) = pages.wanted() {
        pages.take(
            engine.list_snapshots(&ctx, devbox.as_ref(), &page).await?,
            wanted,
        )?;
    }
    let (found, has_more) = pages.finish();
    let snapshots = found.into_iter().map(to_wire::snapshot).collect();
    Ok(Json(wire::Snapshots {
        snapshots,
        has_more,
    }))
}

/// `metadata[key]=value`, or `metadata[key][in]=one,other`.
struct Wanted {
    key: String,
    values: Vec<String>,
}

impl Wanted {
    fn of(name: &str, value: &str) -> Option<Self> {
        let rest = name.strip_prefix("metadata[")?;
        let (key, rest) = rest.split_once(']')?;
        let values = match rest {
            "" => vec![value.to_owned()],
            "[in]" => value.split(',').map(str::to_owned).collect(),
            _ => return None,
        };
        Some(Self {
            key: key.to_owned(),
            values,
        })
    }

    fn fits(&self, snapshot: &Snapshot) -> bool {
        let has = snapshot.metadata.get(&self.key);
        has.is_some_and(|has| self.values.contains(has))
    }
}

fn filters(uri: &Uri) -> Result<(wire::ListSnapshots, Vec<Wanted>), Failure> {
    let (mut plain, mut metadata) = (Vec::new(), Vec::new());
    for (name, value) in pairs(uri)? {
        match Wanted::of(&name, &value) {
            Some(wanted) => metadata.push(wanted),
            None => plain.push((name, value)),
        }
    }
    Ok((parse_pairs(plain)?, metadata))
}

pub(super) async fn update(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::DescribeSnapshot>,
) -> Result<Json<wire::Snapshot>, Refused> {
    let id = ids::snapshot(&id)?;
    let changed = engine
        .update_snapshot(&ctx, &id, description(request))
        .await?;
    Ok(Json(to_wire::snapshot(changed)))
}

pub(super) async fn delete(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    _: Json<wire::Anything>,
) -> Result<Json<wire::Empty>, Refused> {
    let id = ids::snapshot(&id)?;
    engine.delete_snapshot(&ctx, &id).await.map_err(in_use)?;
    Ok(Json(wire::Empty {}))
}

fn in_use(error: Error) -> Error {
    match error.code() {
        Code::InUse => Error::new(
            Code::InUse,
            "a devbox that was made from the snapshot is still there; shut it down first",
        ),
        _ => error,
    }
}

fn description(request: wire::DescribeSnapshot) -> DescribeSnapshot {
    DescribeSnapshot {
        name: request.name,
        message: request.commit_message,
        metadata: request.metadata,
    }
}

#[cfg(test)]
mod tests {
    use super::Wanted;

    #[test]
    fn filters_of_metadata_are_told_from_other_parameters() {
        let one = Wanted::of("metadata[a]", "1,2").expect("a filter");
        assert_eq!(
            (one.key.as_str(), one.values),
            ("a", vec!["1,2".to_owned()])
        );
        let several = Wanted::of("metadata[a][in]", "1,2").expect("a filter");
        assert_eq!(several.values, ["1", "2"]);
        for other in ["limit", "metadata", "metadata[a", "metadata[a][not]"] {
            assert!(Wanted::of(other, "1").is_none(), "{other}");
        }
    }
}
