//! Pulling images from registries: asked for, or because a sandbox or template wants one.
//!
//! Who pulls, owns: the image is the caller's project's own, unless an admin asks for it to be
//! everybody's. So what was read with somebody's credentials is nobody else's to use.

use std::sync::Arc;
use std::time::Duration;

use pinfold_images::{
    CredentialFileError, Credentials, Platform, PullError, PullRequest, Puller, Reach, Reference,
};
use pinfold_model::{
    Code, Ctx, Error, Image, ImageId, ImageName, ImageSource, ProjectId, PullId, Result,
};

use super::flight::{Flight, ImagePull, Pilot, PullFailure, Wish};
use super::{check_name, host_name};
use crate::engine::{Inner, Shared};
use crate::usecase::Note;
use crate::{Engine, EngineConfig, PullPolicy, Share};

/// From a pull's first request to its last layer, once it is its turn.
const PULL_MAX: Duration = Duration::from_secs(2 * 3600);

/// What to pull.
#[derive(Debug, Clone)]
pub struct PullImage {
    /// As a registry knows it: `python:3.12`, `user/name`, `host:port/name@sha256:...`.
    pub reference: String,
    /// What to call it here; as the reference says when `None`.
    pub name: Option<ImageName>,
    /// `linux/ARCHITECTURE[/VARIANT]`; this machine's when `None`.
    pub platform: Option<String>,
    /// What to show to the registry; the operator's, if any, when `None`.
    pub credentials: Option<Credentials>,
    /// Plain HTTP to a registry that is not this machine's own; only an admin may ask for it.
    pub insecure: bool,
    pub share: Share,
}

impl PullImage {
    /// The reference and nothing else.
    #[must_use]
    pub fn new(reference: impl Into<String>) -> Self {
        Self {
            reference: reference.into(),
            name: None,
            platform: None,
            credentials: None,
            insecure: false,
            share: Share::Project,
        }
    }
}

/// What the operator has set about a registry.
struct Listed {
    insecure: bool,
    credentials: Result<Credentials>,
    /// In any of the settings, so that anybody may use it, wherever it is.
    is_known: bool,
}

impl Listed {
    fn of(config: &EngineConfig, reference: &Reference) -> Self {
        let insecure = config
            .insecure_registries
            .iter()
            .any(|registry| registry == reference.registry());
        let file = &config.registry_credentials;
        let credentials = file.for_registry_of(reference);
        Self {
            insecure,
            credentials: credentials.map_err(unusable),
            is_known: insecure || file.lists(reference),
        }
    }
}

/// The operator's mistake, told to whoever meets it: nothing of the entry is in the message.
fn unusable(error: CredentialFileError) -> Error {
    Error::new(
        Code::ImagePullFailed,
        format!("the operator's credentials cannot be used: {error}"),
    )
}

/// A wish with what is needed to fulfil it.
struct Order {
    wish: Wish,
    request: PullRequest,
}

impl Engine {
    /// Begins to pull an image, or joins whoever pulls the same at this moment. The work goes on if
    /// the caller goes away. An image that is there and has not changed is not pulled again.
    pub async fn start_pull(&self, ctx: &Ctx, pull: PullImage) -> Result<ImagePull> {
        self.timed(ctx, "image.pull.start", async {
            if self.config().pull == PullPolicy::Never {
                ctx.require_admin()?;
            }
            let order = self.order(ctx, pull)?;
            Ok(self.fly(ctx, order)?.look())
        })
        .await
    }

    /// A pull of the caller's project: how far it is, or how it ended. Waits for the end, at most
    /// `patience`. Ended pulls are remembered for five minutes.
    pub async fn get_pull(&self, ctx: &Ctx, id: &PullId, patience: Duration) -> Result<ImagePull> {
        self.timed(ctx, "image.pull.get", async {
            let found = self.inner.pulls.of(id, &ctx.principal.project);
            let flight = found.ok_or_else(|| {
                Error::new(
                    Code::ImageNotFound,
                    format!("there is no pull {id} any more"),
                )
            })?;
            // Late or not, what it is by then is the answer.
            let _ = tokio::time::timeout(patience, flight.ended()).await;
            Ok(flight.look())
        })
        .await
    }

    /// Pulls an image and waits for it, however long that takes.
    pub async fn pull_image(&self, ctx: &Ctx, pull: PullImage) -> Result<Image> {
        self.timed(ctx, "image.pull", async {
            if self.config().pull == PullPolicy::Never {
                ctx.require_admin()?;
            }
            let order = self.order(ctx, pull)?;
            self.fly(ctx, order)?.ended().await
        })
        .await
    }

    /// The image, pulled if it is missing and that is allowed. For whom it is pulled is `share`.
    pub(crate) async fn present_image(
        &self,
        ctx: &Ctx,
        name_or_id: &str,
        share: Share,
    ) -> Result<Image> {
        let found = match share {
            Share::Project => self.image(ctx, name_or_id).await,
            Share::Everyone => self.image_of_everybody(ctx, name_or_id).await,
        };
        let missing = match found {
            Err(error) if error.code() == Code::ImageNotFound => error,
            answer => return answer,
        };
        let Ok(name) = name_or_id.parse::<ImageName>() else {
            return Err(missing);
        };
        // A template keeps what it was given as a name with a tag, also an id: no registry has that.
        let untagged = name_or_id.split(':').next().unwrap_or_default();
        if untagged.parse::<ImageId>().is_ok() || name == host_name()? {
            return Err(missing);
        }
        if self.config().pull == PullPolicy::Never {
            return Err(missing.detail("pull", "never"));
        }
        let pull = PullImage {
            share,
            ..PullImage::new(name_or_id)
        };
        let pulled = match self.order(ctx, pull) {
            Ok(order) => self.fly(ctx, order)?.ended().await,
            Err(error) => Err(error),
        };
        pulled.map_err(|error| explained(name_or_id, error))
    }

    /// The image that every project means by that name or id: the caller's own of that name hides it
    /// from the caller alone.
    async fn image_of_everybody(&self, ctx: &Ctx, name_or_id: &str) -> Result<Image> {
        let image = self.image(ctx, name_or_id).await?;
        if image.project.is_none() {
            return Ok(image);
        }
        let shared = match name_or_id.parse::<ImageName>() {
            // Shared names are found for any project; a fresh id has none of its own.
            Ok(name) if image.id.as_str() != name_or_id => {
                let images = self.store().images();
                images.resolve(&ProjectId::generate(), &name).await?
            }
            _ => None,
        };
        shared.ok_or_else(|| only_its_own(name_or_id))
    }

    fn order(&self, ctx: &Ctx, pull: PullImage) -> Result<Order> {
        let owner = self.owner(ctx, pull.share)?;
        if pull.insecure {
            ctx.require_admin()?;
        }
        let invalid = |error: PullError| Error::invalid("reference", error.to_string());
        let reference: Reference = pull
            .reference
            .parse()
            .map_err(|e| invalid(PullError::from(e)))?;
        let name = match pull.name {
            Some(name) => check_name(&name).map(|()| name)?,
            None => pull.reference.parse()?,
        };
        if name == host_name()? {
            check_name(&name)?;
        }
        let platform: Platform = match pull.platform {
            Some(text) => text.parse()?,
            None => Platform::default(),
        };
        let listed = Listed::of(self.config(), &reference);
        let credentials = match pull.credentials {
            Some(given) => given,
            None => listed.credentials?,
        };
        if !credentials.is_well_formed() {
            return Err(invalid(PullError::Credentials));
        }
        let reach = match listed.is_known || ctx.require_admin().is_ok() {
            true => Reach::Anywhere,
            false => Reach::Outside,
        };
        let request = PullRequest {
            reference,
            platform,
            credentials,
            insecure: pull.insecure || listed.insecure,
            reach,
        };
        let wish = Wish {
            owner,
            name,
            reference: request.reference.to_string(),
            platform: request.platform.to_string(),
            credentials: request.credentials.clone(),
            insecure: request.insecure,
            reach: request.reach,
        };
        Ok(Order { wish, request })
    }

    /// The flight that fulfils the order, begun now if there is none. It holds no handle of the
    /// engine and ends with it.
    fn fly(&self, ctx: &Ctx, order: Order) -> Result<Flight> {
        if self.inner.ending.is_cancelled() {
            return Err(Error::new(Code::Unavailable, "the server is shutting down"));
        }
        let (flight, pilot) = self.inner.pulls.join(&order.wish, &ctx.principal.project)?;
        if let Some(pilot) = pilot {
            let shared = Arc::clone(self.shared());
            let inner = Arc::downgrade(&self.inner);
            let (ctx, id) = (ctx.clone(), flight.id.clone());
            self.inner.tasks.spawn(async move {
                let wish = order.wish.clone();
                let result = in_turn(shared, order, &pilot).await;
                if let Some(inner) = inner.upgrade() {
                    conclude(inner, &ctx, &wish, &id, &result).await;
                }
                let ending = result.map_err(|error| PullFailure::from(&error));
                pilot.ending.send_replace(Some(ending));
            });
        }
        Ok(flight)
    }
}

/// The pull when its turn comes, unless it takes too long or the engine ends.
async fn in_turn(shared: Arc<Shared>, order: Order, pilot: &Pilot) -> Result<Image> {
    let work = async {
        let _turn = pilot.turn().await;
        let pulled = tokio::time::timeout(PULL_MAX, pull(&shared, order, pilot)).await;
        pulled.unwrap_or_else(|_| Err(too_long()))
    };
    tokio::select! {
        result = work => result,
        () = shared.ending.cancelled() => {
            Err(Error::new(Code::Unavailable, "the server is shutting down"))
        }
    }
}

/// Leaves the audit line, and lets the same wish begin anew.
async fn conclude(inner: Arc<Inner>, ctx: &Ctx, wish: &Wish, id: &PullId, result: &Result<Image>) {
    let note = Note::new("image.pull");
    note.fact("reference", wish.reference.as_str());
    note.fact("name", wish.name.to_string());
    if let Ok(image) = result {
        note.about(image.id.as_str());
        if let ImageSource::Registry { digest, .. } = &image.source {
            note.fact("digest", digest.as_str());
        }
    }
    let engine = Engine { inner };
    engine.audit(ctx, &note, result.as_ref().err()).await;
    if let Err(error) = result {
        tracing::warn!(
            reference = wish.reference,
            code = %error.code(),
            error = crate::errors::chain(error),
            "an image was not pulled"
        );
    }
    engine.inner.pulls.landed(wish, id);
}

async fn pull(shared: &Arc<Shared>, order: Order, pilot: &Pilot) -> Result<Image> {
    let Order { wish, request } = order;
    let found = Puller::new(shared.layers.clone()).find(request).await?;
    let digest = found.digest().clone();
    if let Some(image) = unchanged(shared, &wish, &digest).await? {
        return Ok(image);
    }
    let imported = found.fetch(Arc::clone(&pilot.progress)).await?;
    let image = Image {
        id: ImageId::generate(),
        project: wish.owner,
        source: ImageSource::Registry {
            reference: wish.reference,
            digest,
            platform: Some(wish.platform),
        },
        layers: imported.layers,
        config: imported.config,
        size_bytes: imported.size_bytes,
        names: vec![wish.name],
        created_at: shared.clock.now(),
    };
    shared.store.images().insert(&image).await?;
    drop(imported.lease);
    Ok(image)
}

/// The owner's image of that name, if it is what the registry has.
async fn unchanged(
    shared: &Shared,
    wish: &Wish,
    digest: &pinfold_model::Digest,
) -> Result<Option<Image>> {
    // Shared names are found for any project; a fresh id has none of its own.
    let anybody = ProjectId::generate();
    let project = wish.owner.as_ref().unwrap_or(&anybody);
    let there = shared.store.images().resolve(project, &wish.name).await?;
    Ok(there.filter(|image| {
        let ImageSource::Registry {
            digest: had,
            platform,
            ..
        } = &image.source
        else {
            return false;
        };
        had == digest && platform.as_ref() == Some(&wish.platform) && image.project == wish.owner
    }))
}

/// What is for everybody cannot stand on what others may not use.
fn only_its_own(name: &str) -> Error {
    let text = format!(
        "the image {name:?} is this project's own, which others cannot use: keep the template to the \
         project too, or pull or import the image for every project first"
    );
    Error::invalid("image", text)
}

fn too_long() -> Error {
    Error::new(
        Code::ImagePullFailed,
        format!(
            "the image was not there after {} minutes",
            PULL_MAX.as_secs() / 60
        ),
    )
}

/// Says that the image was missing first, and then why it could not be had.
fn explained(name: &str, error: Error) -> Error {
    // Nobody asked for a pull, so its refusals are answers about the image.
    let code = match error.code() {
        Code::InvalidArgument | Code::PermissionDenied => Code::ImageNotFound,
        code => code,
    };
    let mut told = Error::new(
        code,
        format!(
            "no image {name:?} here, and it cannot be pulled: {}",
            error.message()
        ),
    );
    if let Some(after) = error.retry_hint() {
        told = told.retry_after(after);
    }
    told.detail("image", name).because(error)
}
