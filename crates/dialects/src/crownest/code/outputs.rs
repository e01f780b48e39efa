//! What a run shows, with what does not stand in an answer turned into artifacts where that is
//! wanted.

use pinfold_engine::{CodeOutput, Engine, ShownForm};
use pinfold_model::{Code, CommandId, Ctx, Error};

use crate::crownest::to_wire::{self, Form, Promotable};
use crate::crownest::wire::{self, RejectedReason};
use crate::prefix::with_prefix;

/// Artifacts of one run at most. What a run shows comes from inside, where anybody may have said it.
const KEPT_MAX: u32 = 256;

/// The outputs of one run, in order.
#[derive(Debug)]
pub(super) struct Outputs {
    run: CommandId,
    promotes: bool,
    /// Outputs taken so far: the number names an artifact.
    taken: u32,
    /// Artifacts made so far, or tried to.
    kept: u32,
    shown: Vec<wire::CodeOutput>,
}

impl Outputs {
    pub(super) fn new(run: &CommandId, promotes: bool) -> Self {
        Self {
            run: run.clone(),
            promotes,
            taken: 0,
            kept: 0,
            shown: Vec::new(),
        }
    }

    /// Takes the run's next output; answers with what is shown of it.
    ///
    /// # Errors
    /// Those of a server that cannot keep an artifact now: the request is to be repeated with its
    /// key, and nothing is kept twice.
    pub(super) async fn take(
        &mut self,
        engine: &Engine,
        ctx: &Ctx,
        output: CodeOutput,
    ) -> Result<&[wire::CodeOutput], Error> {
        let before = self.shown.len();
        self.taken += 1;
        for form in to_wire::forms(output) {
            let shown = match form {
                Form::Shown(shown) => shown,
                Form::Promotable(form) if !self.promotes => {
                    rejected(form.format, RejectedReason::RequiresArtifactPromotion)
                }
                Form::Promotable(form) if self.kept == KEPT_MAX => {
                    rejected(form.format, RejectedReason::OutputTooLarge)
                }
                Form::Promotable(form) => {
                    self.kept += 1;
                    self.keep(engine, ctx, form).await?
                }
            };
            self.shown.push(shown);
        }
        Ok(&self.shown[before..])
    }

    pub(super) fn shown(self) -> Vec<wire::CodeOutput> {
        self.shown
    }

    async fn keep(
        &self,
        engine: &Engine,
        ctx: &Ctx,
        form: Promotable,
    ) -> Result<wire::CodeOutput, Error> {
        let shown = ShownForm {
            run: self.run.clone(),
            output: self.taken,
            media: form.media.to_owned(),
            bytes: form.bytes.into(),
            name: format!("output-{}.{}", self.taken, form.format),
        };
        match engine.create_object_from_code(ctx, shown).await {
            Ok(made) => Ok(wire::CodeOutput::Artifact {
                format: form.format,
                artifact_id: with_prefix(made.value.id.as_str(), "art"),
                content_type: made.value.content_type,
                size_bytes: made.value.size_bytes.unwrap_or(0),
            }),
            // The code has run, and the rest of what it told is worth an answer.
            Err(error) => match error.code() {
                Code::QuotaExceeded | Code::BodyTooLarge | Code::DiskFull => {
                    Ok(rejected(form.format, RejectedReason::OutputTooLarge))
                }
                Code::PermissionDenied => {
                    Ok(rejected(form.format, RejectedReason::ArtifactScopeRequired))
                }
                _ => Err(error),
            },
        }
    }
}

fn rejected(format: &str, reason: RejectedReason) -> wire::CodeOutput {
    wire::CodeOutput::Rejected {
        format: format.to_owned(),
        reason,
    }
}
