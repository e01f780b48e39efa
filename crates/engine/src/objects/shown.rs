//! Objects out of what code shows.

use bytes::Bytes;
use futures::StreamExt;
use pinfold_model::{CommandId, Ctx, Object, ObjectSource, ObjectState, Result};
use pinfold_store::Inserted;

use super::{CreateObject, ObjectBody, accepted};
use crate::usecase::Note;
use crate::{Accepted, Engine};

/// One form of one output of a run of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownForm {
    pub run: CommandId,
    /// Counts the outputs of the run, from 1.
    pub output: u32,
    /// The form's media type, which the object has, too.
    pub media: String,
    pub bytes: Bytes,
    /// Of the object.
    pub name: String,
}

impl Engine {
    /// Keeps what code has shown as a sealed object of its sandbox's project.
    ///
    /// A run, output and form name one object: whoever repeats this within a day, as one does whose
    /// request for the run broke off, is answered with the same.
    pub async fn create_object_from_code(
        &self,
        ctx: &Ctx,
        shown: ShownForm,
    ) -> Result<Accepted<Object>> {
        let note = Note::new("object.create");
        note.fact("run", shown.run.as_str());
        self.audited(ctx, &note, async {
            let (command, _) = self.code_command(ctx, &shown.run).await?;
            let key = format!("{}-{}-{}", shown.run, shown.output, shown.media);
            let sandbox = &command.sandbox;
            let claim = self.claim_in(ctx, sandbox, "object.shown", Some(&key), &key)?;
            if let Some(object) = self.replay(claim.as_ref()).await? {
                return Ok(accepted(&note, Inserted::Replay(object)));
            }
            let request = CreateObject {
                content_type: Some(shown.media),
                ..CreateObject::default()
            };
            let project = &command.project;
            let mut object = self.fresh(project, shown.name, request, ObjectState::Sealed)?;
            object.source = Some(ObjectSource {
                sandbox: sandbox.clone(),
                path: None,
            });
            let written = self.pour(project, whole(shown.bytes)).await?;
            let inserted = self.record(object, Some(written), claim).await?;
            Ok(accepted(&note, inserted))
        })
        .await
    }
}

fn whole(bytes: Bytes) -> ObjectBody {
    let announced = Some(bytes.len() as u64);
    let pieces = (!bytes.is_empty()).then_some(Ok(bytes));
    ObjectBody {
        pieces: futures::stream::iter(pieces).boxed(),
        announced,
    }
}
