//! Use cases of objects: named blobs that outlive the sandbox they came from.
//!
//! ```text
//! file of a sandbox, or a body --> bytes in the object storage --> one record, sealed
//! begin --> upload (as often as wanted) --> complete: the same in steps
//! ```
//! Bytes come before the record that speaks of them, and go after it: a crash between the two
//! leaves bytes that a reconciler removes, and never a record without its bytes.

mod draft;
mod kind;
mod pour;
mod read;
mod removal;
mod shown;

use futures::stream::BoxStream;
use pinfold_model::{
    Code, Ctx, Error, Level, Object, ObjectId, ObjectState, Resource, Result, SandboxId,
};
use pinfold_store::{
    BlobLease, Content, Idempotency, Inserted, ObjectFilter, Page, PageRequest, StoreError,
};
use serde::Serialize;

use crate::access::scope;
use crate::files::{FileAt, ReadRange};
use crate::usecase::Note;
use crate::{Accepted, Engine, Origin};

pub use draft::CreateObject;
pub use read::ObjectReader;
pub(crate) use removal::{discard, give_up, remove};
pub use shown::ShownForm;

/// Content on its way to an object.
pub struct ObjectBody {
    pub pieces: BoxStream<'static, Result<bytes::Bytes>>,
    /// How many bytes will come, where that is known: more than there is room for are refused
    /// before the first.
    pub announced: Option<u64>,
}

impl std::fmt::Debug for ObjectBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectBody")
            .field("announced", &self.announced)
            .finish_non_exhaustive()
    }
}

/// Bytes that are in the storage and kept from being collected until they are recorded.
type Written = (Content, BlobLease);

/// What a request with an idempotency key has to repeat: for a copy the file, for a body its bytes.
#[derive(Serialize)]
struct Copy<'a> {
    request: &'a CreateObject,
    sandbox: &'a SandboxId,
    path: FileAt<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    request: &'a CreateObject,
    digest: &'a str,
}

impl Engine {
    /// Copies a file of a sandbox, as its bytes are at this moment, into a new sealed object of the
    /// sandbox's project. Without a name in the request the object has the file's own.
    ///
    /// The same idempotency key with the same request answers with the same object, also when the
    /// file has changed or the sandbox is gone.
    pub async fn create_object_from_file<'a>(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        path: impl Into<FileAt<'a>>,
        request: CreateObject,
        idempotency: Option<&str>,
    ) -> Result<Accepted<Object>> {
        let path = path.into();
        let note = Note::new("object.create");
        note.fact("sandbox", sandbox.as_str());
        note.fact("path", path.path());
        self.audited(ctx, &note, async {
            ctx.require(Resource::Sandboxes, Level::Read)?;
            let copy = Copy {
                request: &request,
                sandbox,
                path,
            };
            let claim = self.claim_in(ctx, sandbox, "object.copy", idempotency, &copy)?;
            if let Some(object) = self.replay(claim.as_ref()).await? {
                return Ok(accepted(&note, Inserted::Replay(object)));
            }
            let reader = self
                .open_file(ctx, sandbox, path, ReadRange::default())
                .await?;
            let object = self.draft_copy(&reader, sandbox, request)?;
            let written = self.pour(&object.project, pour::file(reader)).await?;
            let inserted = self.record(object, Some(written), claim).await?;
            Ok(accepted(&note, inserted))
        })
        .await
    }

    /// Makes a sealed object of the caller's project out of a body.
    ///
    /// The same idempotency key with the same request and the same bytes answers with the same
    /// object; with others it is a conflict.
    pub async fn create_object(
        &self,
        ctx: &Ctx,
        request: CreateObject,
        body: ObjectBody,
        idempotency: Option<&str>,
    ) -> Result<Accepted<Object>> {
        let note = Note::new("object.create");
        self.audited(ctx, &note, async {
            let object = self.draft(ctx, &request, ObjectState::Sealed)?;
            let written = self.pour(&object.project, body).await?;
            let same = Body {
                request: &request,
                digest: written.0.digest.as_str(),
            };
            let claim = self.claim(ctx, "object.create", idempotency, &same);
            let inserted = match claim {
                Ok(claim) => self.record(object, Some(written), claim).await?,
                Err(error) => {
                    discard(self.shared(), written).await;
                    return Err(error);
                }
            };
            Ok(accepted(&note, inserted))
        })
        .await
    }

    /// Makes an object that waits for its content: [`Engine::upload_object`], then
    /// [`Engine::complete_object`], within 7 days.
    pub async fn begin_object(
        &self,
        ctx: &Ctx,
        request: CreateObject,
        idempotency: Option<&str>,
    ) -> Result<Accepted<Object>> {
        let note = Note::new("object.begin");
        self.audited(ctx, &note, async {
            let claim = self.claim(ctx, "object.begin", idempotency, &request)?;
            let object = self.draft(ctx, &request, ObjectState::Uploading)?;
            let inserted = self.record(object, None, claim).await?;
            Ok(accepted(&note, inserted))
        })
        .await
    }

    /// Gives an object that is being uploaded its content, in place of what was uploaded before. A
    /// body that breaks off changes nothing.
    pub async fn upload_object(
        &self,
        ctx: &Ctx,
        id: &ObjectId,
        body: ObjectBody,
    ) -> Result<Object> {
        let note = Note::new("object.upload");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let object = self.object(ctx, id).await?;
            note.of(&object.project);
            object.state.require_uploading()?;
            let written = self.pour(&object.project, body).await?;
            note.fact("size_bytes", written.0.size_bytes);
            self.set_content(object, written).await
        })
        .await
    }

    /// Seals an object whose content has been uploaded. Repeating it changes nothing.
    pub async fn complete_object(&self, ctx: &Ctx, id: &ObjectId) -> Result<Object> {
        let note = Note::new("object.complete");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let object = self.object(ctx, id).await?;
            note.of(&object.project);
            if object.state == ObjectState::Sealed {
                return Ok(object);
            }
            if let Some(sealed) = self.store().objects().seal(id, self.now()).await? {
                return Ok(sealed);
            }
            let object = self.object(ctx, id).await?;
            match object.state {
                ObjectState::Sealed => Ok(object),
                ObjectState::Deleted => Err(deleted()),
                ObjectState::Uploading => Err(Error::new(
                    Code::ObjectNotSealed,
                    "nothing has been uploaded for this object yet; upload its content first",
                )),
            }
        })
        .await
    }

    /// An object as it is now; a deleted one with the time of its deletion.
    pub async fn get_object(&self, ctx: &Ctx, id: &ObjectId) -> Result<Object> {
        self.timed(ctx, "object.get", self.object(ctx, id)).await
    }

    /// Newest first: of the caller's project, or of its whole org for an admin.
    pub async fn list_objects(
        &self,
        ctx: &Ctx,
        filter: &ObjectFilter,
        page: &PageRequest,
    ) -> Result<Page<Object>> {
        self.timed(ctx, "object.list", async {
            let objects = self.store().objects();
            Ok(objects.list(&scope(ctx), filter, page).await?)
        })
        .await
    }

    /// Those that were copied out of one sandbox, newest first, also when it has ended.
    pub async fn list_objects_of(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        page: &PageRequest,
    ) -> Result<Page<Object>> {
        self.any_sandbox(ctx, sandbox).await?;
        let filter = ObjectFilter {
            sandbox: Some(sandbox.clone()),
            ..ObjectFilter::default()
        };
        self.list_objects(ctx, &filter, page).await
    }

    /// Deletes an object's content and keeps its facts. Repeating it answers with the object as it
    /// was deleted.
    pub async fn delete_object(&self, ctx: &Ctx, id: &ObjectId) -> Result<Object> {
        let note = Note::new("object.delete");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let object = self.object(ctx, id).await?;
            note.of(&object.project);
            let shared = self.shared().clone();
            let at = self.now();
            self.detached(async move { remove(&shared, object, at).await })
                .await
        })
        .await
    }

    /// How many bytes the objects of the caller's project hold, and its bound.
    pub async fn object_usage(&self, ctx: &Ctx) -> Result<(u64, Option<u64>)> {
        self.timed(ctx, "object.usage", async {
            let project = &ctx.principal.project;
            Ok(self.store().objects().usage(project).await?)
        })
        .await
    }

    /// An object that the caller may see. One whose time is over is deleted by this look at it.
    pub(crate) async fn object(&self, ctx: &Ctx, id: &ObjectId) -> Result<Object> {
        let found = self.store().objects().find(&scope(ctx), id).await?;
        let object =
            found.ok_or_else(|| Error::new(Code::ObjectNotFound, format!("no object {id}")))?;
        let now = self.now();
        if object.is_expired(now) {
            return remove(self.shared(), object, now).await;
        }
        Ok(object)
    }

    async fn replay(&self, claim: Option<&Idempotency>) -> Result<Option<Object>> {
        match claim {
            Some(claim) => Ok(self.store().objects().replay(claim, self.now()).await?),
            None => Ok(None),
        }
    }

    /// Records an object, in a task of its own: a caller who goes away now leaves the record or
    /// nothing.
    async fn record(
        &self,
        object: Object,
        written: Option<Written>,
        claim: Option<Idempotency>,
    ) -> Result<Inserted<Object>> {
        let shared = self.shared().clone();
        self.detached(async move {
            let content = written.as_ref().map(|(content, _)| content);
            let objects = shared.store.objects();
            let inserted = objects.insert(&object, content, claim.as_ref()).await;
            if let Some(written) = written
                && !may_refer(&inserted, &written)
            {
                discard(&shared, written).await;
            }
            Ok(inserted?)
        })
        .await
    }

    async fn set_content(&self, object: Object, written: Written) -> Result<Object> {
        let shared = self.shared().clone();
        self.detached(async move {
            let objects = shared.store.objects();
            let set = objects.set_content(&object.id, &written.0).await;
            let unneeded = match &set {
                Ok(Some(now)) => now.content.as_ref() != Some(&written.0.blob),
                Ok(None) => true,
                Err(error) => is_certain(error),
            };
            if unneeded {
                discard(&shared, written).await;
            }
            let Some(set) = set? else {
                let now = objects.get(&object.id).await?;
                let state = now.map_or(ObjectState::Deleted, |now| now.state);
                return Err(state.require_uploading().err().unwrap_or_else(deleted));
            };
            let before = object.content;
            if let Some(before) = before.filter(|before| set.content.as_ref() != Some(before)) {
                give_up(&shared, &before).await;
            }
            Ok(set)
        })
        .await
    }
}

/// Whether a record refers to these bytes, or may: then they are not ours to remove.
fn may_refer(inserted: &Result<Inserted<Object>, StoreError>, written: &Written) -> bool {
    match inserted {
        Ok(Inserted::New(object)) => object.content.as_ref() == Some(&written.0.blob),
        Ok(Inserted::Replay(_)) => false,
        Err(error) => !is_certain(error),
    }
}

/// Whether the store has certainly not done what it was asked. Otherwise a commit may have gone
/// through whose answer was lost.
fn is_certain(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::QuotaExceeded { .. }
            | StoreError::IdempotencyConflict
            | StoreError::NotFound { .. }
            | StoreError::AlreadyExists { .. }
            | StoreError::NulInText
    )
}

fn accepted(note: &Note, inserted: Inserted<Object>) -> Accepted<Object> {
    let (value, origin) = match inserted {
        Inserted::New(object) => (object, Origin::New),
        Inserted::Replay(object) => (object, Origin::Replay),
    };
    note.about(value.id.as_str());
    note.of(&value.project);
    note.fact("name", value.name.as_str());
    note.fact("replay", origin == Origin::Replay);
    if let Some(size_bytes) = value.size_bytes {
        note.fact("size_bytes", size_bytes);
    }
    Accepted { value, origin }
}

fn deleted() -> Error {
    Error::new(Code::ObjectGone, "the object has been deleted")
}
