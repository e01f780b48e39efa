//! Pulling from a registry that keeps to the rules, in all the ways it may.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use oci_spec::image::{Arch, Config, Descriptor, Os};
use pinfold_images::{
    Credentials, Imported, Platform, PullError, PullProgress, PullRequest, Pulled, Puller, Reach,
};
use tokio::sync::watch;

use crate::archive::{Tar, gzip};
use crate::layout::{Layout, digest, for_platform};
use crate::registry::{Registry, Seen, broken_off};
use crate::world::World;

pub(crate) fn request(reference: &str) -> PullRequest {
    PullRequest {
        reference: reference.parse().expect("a reference"),
        platform: Platform::default(),
        credentials: Credentials::Anonymous,
        insecure: false,
        // Every registry of these tests is on loopback.
        reach: Reach::Anywhere,
    }
}

pub(crate) async fn find(world: &World, request: PullRequest) -> Result<Pulled, PullError> {
    Puller::new(world.store.clone()).find(request).await
}

pub(crate) async fn pull(world: &World, request: PullRequest) -> Result<Imported, PullError> {
    let progress = Arc::new(watch::Sender::new(PullProgress::default()));
    find(world, request).await?.fetch(progress).await
}

pub(crate) fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic {
        username: username.to_owned(),
        password: password.to_owned(),
    }
}

pub(crate) fn new_layout(world: &World) -> Layout {
    Layout::new(world.path("layout"))
}

/// Three layers, in each of the forms that layers have.
pub(crate) fn an_image(layout: &Layout) -> (Descriptor, Vec<Vec<u8>>) {
    let tars: Vec<Vec<u8>> = ["one", "two", "three"]
        .map(|name| Tar::new().file(name, &incompressible(300_000)).end())
        .to_vec();
    (layout.image(Config::default(), &tars), tars)
}

/// Xorshift (Marsaglia 2003): the same bytes each time.
fn incompressible(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    })
    .take(length)
    .collect()
}

#[tokio::test]
async fn an_image_comes_whole_and_tells_how_far_it_is() {
    let world = World::new();
    let layout = new_layout(&world);
    let (manifest, tars) = an_image(&layout);
    let registry = Registry::of(&layout.dir, &[("1", &manifest)]).await;
    let progress = Arc::new(watch::Sender::new(PullProgress::default()));
    let found = find(&world, request(&registry.reference("team/app:1")))
        .await
        .expect("there");
    assert_eq!(found.digest().as_str(), manifest.digest().as_ref());
    let image = found.fetch(Arc::clone(&progress)).await.expect("whole");
    let diff_ids: Vec<_> = tars.iter().map(|tar| digest(tar)).collect();
    assert_eq!(image.layers, diff_ids);
    let told = progress.borrow().clone();
    assert_eq!(told.layers.len(), 3);
    assert!(
        told.layers
            .iter()
            .all(|layer| layer.downloaded_bytes == layer.total_bytes)
    );
    assert_eq!(world.leftovers().len(), 3, "layers and nothing else");
}

#[tokio::test]
async fn an_index_leads_to_the_platform_that_is_wanted() {
    let world = World::new();
    let layout = new_layout(&world);
    let (ours, _) = an_image(&layout);
    let foreign_tar = Tar::new().file("foreign", b"").end();
    let blob = layout.blob(
        oci_spec::image::MediaType::ImageLayerGzip,
        &gzip(&foreign_tar),
    );
    let diff_id = digest(&foreign_tar).to_string();
    let theirs = layout.manifest(Config::default(), Arch::s390x, vec![diff_id], vec![blob]);
    let attestation = layout.manifest(Config::default(), Arch::from("unknown"), vec![], vec![]);
    let index = layout.index(vec![
        for_platform(attestation, Os::from("unknown"), Arch::from("unknown")),
        for_platform(theirs.clone(), Os::Linux, Arch::s390x),
        for_platform(ours.clone(), Os::Linux, Arch::default()),
    ]);
    let nested = layout.index(vec![index]);
    let only_theirs = layout.index(vec![for_platform(theirs.clone(), Os::Linux, Arch::s390x)]);
    let tags = [("all", &nested), ("foreign", &only_theirs)];
    let registry = Registry::of(&layout.dir, &tags).await;

    let image = pull(&world, request(&registry.reference("app:all")))
        .await
        .expect("ours");
    assert_eq!(image.layers.len(), 3);
    let wanted = PullRequest {
        platform: "linux/s390x".parse().expect("a platform"),
        ..request(&registry.reference("app:all"))
    };
    let image = pull(&world, wanted).await.expect("theirs, asked for");
    assert_eq!(image.layers, [digest(&foreign_tar)]);
    let error = find(&world, request(&registry.reference("app:foreign"))).await;
    match error.expect_err("not for us") {
        PullError::NoSuchPlatform { present, .. } => assert_eq!(present, "linux/s390x"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_digest_names_what_is_pulled_whatever_the_tag_says_by_now() {
    let world = World::new();
    let layout = new_layout(&world);
    let (pinned, _) = an_image(&layout);
    let newer = layout.image(Config::default(), &[Tar::new().file("newer", b"").end()]);
    let registry = Registry::of(&layout.dir, &[("1", &newer)]).await;
    let reference = registry.reference(&format!("app:1@{}", pinned.digest()));
    let found = find(&world, request(&reference)).await.expect("pinned");
    assert_eq!(found.digest().as_str(), pinned.digest().as_ref());
}

fn challenge(text: String) -> Response {
    let value = HeaderValue::from_str(&text).expect("a header");
    (
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, value)],
    )
        .into_response()
}

/// A registry that asks for a token, which its own `/token` gives to whom `knows` says.
async fn with_tokens(
    layout: &Layout,
    manifest: &Descriptor,
    knows: impl Fn(Option<&str>) -> bool + Send + Sync + 'static,
) -> Registry {
    let hook = move |seen: &Seen| {
        let authorization = seen.header("authorization");
        if seen.path == "/token" {
            return Some(match knows(authorization) {
                true => r#"{"token":"t0ken","expires_in":300}"#.into_response(),
                false => StatusCode::UNAUTHORIZED.into_response(),
            });
        }
        let host = seen.header("host").unwrap_or_default().to_owned();
        (authorization != Some("Bearer t0ken")).then(|| {
            challenge(format!(
                "Bearer realm=\"http://{host}/token\",service=\"reg\""
            ))
        })
    };
    Registry::with(&layout.dir, &[("1", manifest)], hook).await
}

#[tokio::test]
async fn everybody_gets_a_token_where_a_registry_hands_them_out() {
    let world = World::new();
    let layout = new_layout(&world);
    let (manifest, _) = an_image(&layout);
    let registry = with_tokens(&layout, &manifest, |shown| shown.is_none()).await;
    pull(&world, request(&registry.reference("a/b:1")))
        .await
        .expect("public");
    let seen = registry.seen();
    let asked: Vec<_> = seen.iter().filter(|seen| seen.path == "/token").collect();
    assert_eq!(asked.len(), 1, "one token serves the whole pull");
    assert!(asked[0].query.contains("service=reg"), "{}", asked[0].query);
    assert!(
        asked[0].query.contains("scope=repository%3Aa%2Fb%3Apull"),
        "{}",
        asked[0].query
    );
}

#[tokio::test]
async fn credentials_open_what_is_closed_to_everybody_and_wrong_ones_do_not() {
    let world = World::new();
    let layout = new_layout(&world);
    let (manifest, _) = an_image(&layout);
    // ann:secret
    let registry = with_tokens(&layout, &manifest, |shown| {
        shown == Some("Basic YW5uOnNlY3JldA==")
    })
    .await;
    let reference = registry.reference("a:1");
    let with = |credentials| PullRequest {
        credentials,
        ..request(&reference)
    };
    pull(&world, with(basic("ann", "secret")))
        .await
        .expect("known");
    pull(&world, with(Credentials::Bearer("t0ken".into())))
        .await
        .expect("a token of one's own");
    for wrong in [
        Credentials::Anonymous,
        basic("ann", "wrong"),
        Credentials::Bearer("wrong".into()),
    ] {
        let error = find(&world, with(wrong)).await.expect_err("unknown");
        assert!(matches!(error, PullError::Denied { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("wrong"), "{error:?}");
    }
}

#[tokio::test]
async fn a_registry_may_ask_for_the_password_itself() {
    let world = World::new();
    let layout = new_layout(&world);
    let (manifest, _) = an_image(&layout);
    let hook = |seen: &Seen| {
        (seen.header("authorization") != Some("Basic YW5uOnNlY3JldA=="))
            .then(|| challenge("Basic realm=\"here\"".to_owned()))
    };
    let registry = Registry::with(&layout.dir, &[("1", &manifest)], hook).await;
    let known = PullRequest {
        credentials: basic("ann", "secret"),
        ..request(&registry.reference("a:1"))
    };
    pull(&world, known).await.expect("known");
    let error = find(&world, request(&registry.reference("a:1")))
        .await
        .expect_err("unknown");
    assert!(matches!(error, PullError::Denied { .. }), "{error}");
}

#[tokio::test]
async fn blobs_may_lie_elsewhere_and_no_secret_goes_there() {
    let world = World::new();
    let layout = new_layout(&world);
    let (manifest, _) = an_image(&layout);
    let elsewhere = Arc::new(Registry::of(&layout.dir, &[]).await);
    let address = elsewhere.address;
    let hook = move |seen: &Seen| {
        seen.is_blob().then(|| {
            let to = format!("http://{address}{}", seen.path);
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
        })
    };
    let registry = Registry::with(&layout.dir, &[("1", &manifest)], hook).await;
    let with_token = PullRequest {
        credentials: Credentials::Bearer("t0ken".into()),
        ..request(&registry.reference("a:1"))
    };
    pull(&world, with_token).await.expect("redirected");
    assert!(
        registry
            .seen()
            .iter()
            .all(|seen| seen.header("authorization").is_some())
    );
    assert_eq!(elsewhere.blobs_asked_for(), 4);
    assert!(
        elsewhere
            .seen()
            .iter()
            .all(|seen| seen.header("authorization").is_none())
    );
}

/// The first answer about each layer breaks off in its middle.
fn breaks_off_once(layout: &Layout, ranges: bool) -> impl Fn(&Seen) -> Option<Response> + use<> {
    let blobs = layout.dir.join("blobs/sha256");
    move |seen: &Seen| {
        let hex = seen.path.rsplit(':').next()?;
        if !seen.is_blob() {
            return None;
        }
        let bytes = std::fs::read(blobs.join(hex)).expect("blob");
        match seen.before {
            0 if bytes.len() > 100 => Some(broken_off(&bytes[..bytes.len() / 2], bytes.len())),
            _ if !ranges => Some(bytes.into_response()),
            _ => None,
        }
    }
}

#[tokio::test]
async fn a_download_that_broke_off_goes_on_where_it_was() {
    let world = World::new();
    let layout = new_layout(&world);
    let (manifest, _) = an_image(&layout);
    let hook = breaks_off_once(&layout, true);
    let registry = Registry::with(&layout.dir, &[("1", &manifest)], hook).await;
    pull(&world, request(&registry.reference("a:1")))
        .await
        .expect("resumed");
    let resumed = registry.seen();
    let resumed = resumed.iter().filter(|seen| seen.header("range").is_some());
    assert!(
        resumed.count() >= 1,
        "what had come was not asked for again"
    );
}

#[tokio::test]
async fn a_registry_without_ranges_sends_it_again() {
    let world = World::new();
    let layout = new_layout(&world);
    let (manifest, tars) = an_image(&layout);
    let hook = breaks_off_once(&layout, false);
    let registry = Registry::with(&layout.dir, &[("1", &manifest)], hook).await;
    let image = pull(&world, request(&registry.reference("a:1")))
        .await
        .expect("again");
    assert_eq!(image.layers.len(), tars.len());
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_when_it_wants_to_be() {
    let world = World::new();
    let layout = new_layout(&world);
    let (manifest, _) = an_image(&layout);
    let hook = |seen: &Seen| {
        let busy = (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "0")]);
        (seen.before == 0).then(|| busy.into_response())
    };
    let registry = Registry::with(&layout.dir, &[("1", &manifest)], hook).await;
    pull(&world, request(&registry.reference("a:1")))
        .await
        .expect("in the end");
}
