//! Use cases of snapshots that people describe: an image of a sandbox's disk, and a name, a message
//! and metadata beside it, which stay readable when the image is gone.

use std::collections::BTreeMap;

use pinfold_model::{Code, Ctx, Error, ImageId, Result, Sandbox, SandboxId, Snapshot};
use pinfold_store::{Inserted, Page, PageRequest};
use serde::Serialize;

use super::TakeSnapshot;
use crate::access::scope;
use crate::usecase::Note;
use crate::{Accepted, Engine, Origin};

/// What is said about a snapshot. Of a change: what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DescribeSnapshot {
    pub name: Option<String>,
    /// At most 1000 characters.
    pub message: Option<String>,
    pub metadata: Option<BTreeMap<String, String>>,
}

impl Engine {
    /// Takes a snapshot ([`Engine::snapshot_sandbox`]) and records what is said about it.
    ///
    /// The same idempotency key with the same request answers with the same snapshot.
    pub async fn describe_sandbox_snapshot(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        request: DescribeSnapshot,
        idempotency: Option<&str>,
    ) -> Result<Accepted<Snapshot>> {
        let claim = self.claim_in(ctx, id, "sandbox.snapshot", idempotency, &request)?;
        if let Some(claim) = &claim
            && let Some(value) = self.store().snapshots().replay(claim, self.now()).await?
        {
            return Ok(Accepted {
                value,
                origin: Origin::Replay,
            });
        }
        let sandbox = self.any_sandbox(ctx, id).await?;
        let draft = |image: ImageId| {
            let snapshot = Snapshot {
                image,
                project: sandbox.project.clone(),
                sandbox: id.clone(),
                name: request.name.clone(),
                message: request.message.clone(),
                metadata: request.metadata.clone().unwrap_or_default(),
                created_at: self.now(),
                deleted_at: None,
            };
            snapshot.validate().map(|()| snapshot)
        };
        // Before the copy, which a fault in the words must not leave behind.
        draft(ImageId::generate())?;
        let image = self
            .snapshot_sandbox(ctx, id, TakeSnapshot::default())
            .await?;
        let snapshot = draft(image.id.clone())?;
        let snapshots = self.store().snapshots();
        let inserted = match snapshots.insert(&snapshot, claim.as_ref()).await {
            Ok(inserted) => inserted,
            Err(error) => {
                // Nobody would see it as a snapshot.
                if let Err(left) = self
                    .remove_noted(ctx, Note::new("snapshot.delete"), image.id.as_str())
                    .await
                {
                    tracing::warn!(image = %image.id, error = %left, "an image that no snapshot tells of");
                }
                return Err(error.into());
            }
        };
        match inserted {
            Inserted::New(value) => Ok(Accepted {
                value,
                origin: Origin::New,
            }),
            // Another attempt of the same request was faster.
            Inserted::Replay(value) => {
                self.remove_noted(ctx, Note::new("snapshot.delete"), image.id.as_str())
                    .await?;
                Ok(Accepted {
                    value,
                    origin: Origin::Replay,
                })
            }
        }
    }

    /// Also one that has been deleted.
    pub async fn get_snapshot(&self, ctx: &Ctx, id: &ImageId) -> Result<Snapshot> {
        self.timed(ctx, "snapshot.get", async {
            let found = self.store().snapshots().find(&scope(ctx), id).await?;
            found.ok_or_else(|| Error::new(Code::ImageNotFound, format!("no snapshot {id}")))
        })
        .await
    }

    /// Newest first, without deleted ones; of one sandbox, or of all.
    pub async fn list_snapshots(
        &self,
        ctx: &Ctx,
        sandbox: Option<&SandboxId>,
        page: &PageRequest,
    ) -> Result<Page<Snapshot>> {
        self.timed(ctx, "snapshot.list", async {
            if let Some(sandbox) = sandbox {
                self.any_sandbox(ctx, sandbox).await?;
            }
            let snapshots = self.store().snapshots();
            Ok(snapshots.list(&scope(ctx), sandbox, page).await?)
        })
        .await
    }

    /// The sandboxes that these were taken of, whatever has become of them.
    pub async fn origins_of_snapshots(
        &self,
        ctx: &Ctx,
        snapshots: &[Snapshot],
    ) -> Result<BTreeMap<SandboxId, Sandbox>> {
        self.timed(ctx, "snapshot.get", async {
            let mut origins = BTreeMap::new();
            for snapshot in snapshots {
                if !origins.contains_key(&snapshot.sandbox) {
                    let origin = self.any_sandbox(ctx, &snapshot.sandbox).await?;
                    origins.insert(snapshot.sandbox.clone(), origin);
                }
            }
            Ok(origins)
        })
        .await
    }

    /// Changes what is said about a snapshot.
    pub async fn update_snapshot(
        &self,
        ctx: &Ctx,
        id: &ImageId,
        request: DescribeSnapshot,
    ) -> Result<Snapshot> {
        let note = Note::new("snapshot.update");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let now = self.get_snapshot(ctx, id).await?;
            note.of(&now.project);
            let changed = Snapshot {
                name: request.name.or(now.name),
                message: request.message.or(now.message),
                metadata: request.metadata.unwrap_or(now.metadata),
                ..now
            };
            changed.validate()?;
            let described = self.store().snapshots().describe(&changed).await?;
            Ok(described.unwrap_or(changed))
        })
        .await
    }

    /// Removes a snapshot. Live sandboxes that were made from it keep what they need of it. Repeating
    /// it changes nothing.
    pub async fn delete_snapshot(&self, ctx: &Ctx, id: &ImageId) -> Result<()> {
        let now = self.get_snapshot(ctx, id).await?;
        if now.deleted_at.is_some() {
            return Ok(());
        }
        match self
            .withdraw_noted(ctx, Note::new("snapshot.delete"), id)
            .await
        {
            Err(error) if error.code() != Code::ImageNotFound => return Err(error),
            // Somebody removed the image by itself.
            _ => {}
        }
        Ok(self.store().snapshots().delete(id, self.now()).await?)
    }
}
