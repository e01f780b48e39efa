//! Registries that lie, stop, or never do. Nothing of such a pull stays.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use oci_spec::image::{Config, MediaType};
use pinfold_images::{ImportError, PullError, PullRequest};

use crate::archive::Tar;
use crate::layout::digest;
use crate::pull::{an_image, basic, new_layout, pull, request};
use crate::registry::{Registry, Seen, broken_off, endless};
use crate::world::World;

/// What comes of a pull from a registry with this hook, which sees a layout with one image.
async fn with(hook: impl Fn(&Seen) -> Option<Response> + Send + Sync + 'static) -> PullError {
    let world = World::new();
    let layout = new_layout(&world);
    let (manifest, _) = an_image(&layout);
    let registry = Registry::with(&layout.dir, &[("1", &manifest)], hook).await;
    let before = world.outside();
    let error = pull(&world, request(&registry.reference("a:1")))
        .await
        .expect_err("refused");
    assert_eq!(world.outside(), before);
    assert!(world.leftovers().is_empty(), "{:?}", world.leftovers());
    error
}

#[tokio::test]
async fn endless_documents_end_at_their_bound() {
    let error = with(|seen| (!seen.is_blob()).then(endless)).await;
    assert!(error.to_string().contains("larger than"), "{error}");
    let error =
        with(|_| Some((StatusCode::INTERNAL_SERVER_ERROR, endless().into_body()).into_response()))
            .await;
    assert!(
        matches!(error, PullError::Status { status: 500, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn an_endless_token_ends_at_its_bound() {
    let error = with(|seen| {
        let host = seen.header("host").unwrap_or_default();
        let realm = format!("Bearer realm=\"http://{host}/token\"");
        Some(match seen.path.as_str() {
            "/token" => endless(),
            _ => (StatusCode::UNAUTHORIZED, [("www-authenticate", realm)]).into_response(),
        })
    })
    .await;
    assert!(error.to_string().contains("larger than"), "{error}");
}

#[tokio::test]
async fn endless_layers_end_at_the_size_they_were_said_to_have() {
    let error = with(|seen| seen.is_blob().then(endless)).await;
    assert!(error.to_string().contains("goes on behind"), "{error}");
}

#[tokio::test]
async fn layers_that_always_break_off_are_given_up() {
    let error = with(|seen| seen.is_blob().then(|| broken_off(b"", 1000))).await;
    assert!(matches!(error, PullError::BrokenOff { .. }), "{error}");
}

#[tokio::test]
async fn content_that_is_not_what_was_named_is_refused() {
    let error = with(|seen| seen.is_blob().then(|| b"other".into_response())).await;
    // The configuration is longer than that, so it looks like one that broke off.
    assert!(matches!(error, PullError::BrokenOff { .. }), "{error}");

    let world = World::new();
    let layout = new_layout(&world);
    let (manifest, _) = an_image(&layout);
    let dir = layout.dir.join("blobs/sha256");
    let hook = move |seen: &Seen| {
        let hex = seen.path.rsplit(':').next().filter(|_| seen.is_blob())?;
        let mut bytes = std::fs::read(dir.join(hex)).expect("blob");
        bytes[5] ^= 1;
        Some(bytes.into_response())
    };
    let registry = Registry::with(&layout.dir, &[("1", &manifest)], hook).await;
    let error = pull(&world, request(&registry.reference("a:1")))
        .await
        .expect_err("changed");
    assert!(matches!(error, PullError::Digest { .. }), "{error}");
    assert!(world.leftovers().is_empty());
}

#[tokio::test]
async fn a_manifest_that_is_not_the_pinned_one_is_refused() {
    let world = World::new();
    let layout = new_layout(&world);
    let (manifest, _) = an_image(&layout);
    let other = digest(b"another manifest");
    let tags = [(other.as_str(), &manifest)];
    let registry = Registry::of(&layout.dir, &tags).await;
    let reference = registry.reference(&format!("a@{other}"));
    let error = pull(&world, request(&reference)).await.expect_err("pinned");
    assert!(matches!(error, PullError::Digest { .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_manifest_is_told_without_repeating_it() {
    for body in [
        "<html>secret</html>",
        r#"{"schemaVersion":1,"name":"secret"}"#,
        r#"{"schemaVersion":2,"config":"secret"}"#,
        "",
    ] {
        let error = with(move |seen| (!seen.is_blob()).then(|| body.into_response())).await;
        assert!(matches!(error, PullError::Protocol { .. }), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn an_index_that_leads_to_itself_ends() {
    let world = World::new();
    let layout = new_layout(&world);
    let mut nested = an_image(&layout).0;
    for _ in 0..8 {
        nested = layout.index(vec![nested]);
    }
    let registry = Registry::of(&layout.dir, &[("1", &nested)]).await;
    let error = pull(&world, request(&registry.reference("a:1")))
        .await
        .expect_err("too deep");
    assert!(error.to_string().contains("nests deeper"), "{error}");
}

#[tokio::test]
async fn hostile_layers_are_refused_like_any_tar() {
    let world = World::new();
    let layout = new_layout(&world);
    let tar = Tar::new().symlink("d", "/").file("d/x", b"").end();
    let manifest = layout.image(Config::default(), &[tar]);
    let registry = Registry::of(&layout.dir, &[("1", &manifest)]).await;
    let before = world.outside();
    let error = pull(&world, request(&registry.reference("a:1")))
        .await
        .expect_err("hostile");
    assert!(
        matches!(error, PullError::Import(ImportError::Refused { .. })),
        "{error}"
    );
    assert_eq!(world.outside(), before);
    assert!(world.leftovers().is_empty());
}

#[tokio::test]
async fn a_layer_has_to_unpack_to_its_diff_id() {
    let world = World::new();
    let layout = new_layout(&world);
    let blob = layout.blob(MediaType::ImageLayer, &Tar::new().file("f", b"").end());
    let claimed = vec![digest(b"something else").to_string()];
    let arch = oci_spec::image::Arch::default();
    let manifest = layout.manifest(Config::default(), arch, claimed, vec![blob]);
    let registry = Registry::of(&layout.dir, &[("1", &manifest)]).await;
    let error = pull(&world, request(&registry.reference("a:1")))
        .await
        .expect_err("mismatch");
    assert!(
        matches!(error, PullError::Import(ImportError::DiffId { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn artifacts_that_are_no_images_are_refused_before_they_are_downloaded() {
    let world = World::new();
    let layout = new_layout(&world);
    let blob = layout.blob(MediaType::from("application/x-chart"), b"chart");
    let arch = oci_spec::image::Arch::default();
    let manifest = layout.manifest(Config::default(), arch, vec![], vec![blob]);
    let registry = Registry::of(&layout.dir, &[("1", &manifest)]).await;
    let error = pull(&world, request(&registry.reference("a:1")))
        .await
        .expect_err("no image");
    assert!(error.to_string().contains("not supported"), "{error}");
    assert_eq!(registry.blobs_asked_for(), 0);
}

#[tokio::test]
async fn what_is_not_there_is_said_at_once() {
    let error = with(|_| Some(StatusCode::NOT_FOUND.into_response())).await;
    assert!(matches!(error, PullError::NotFound { .. }), "{error}");
    let error = with(|_| Some(StatusCode::FORBIDDEN.into_response())).await;
    assert!(matches!(error, PullError::Denied { .. }), "{error}");

    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = free.local_addr().expect("address");
    drop(free);
    let world = World::new();
    let began = Instant::now();
    let error = pull(&world, request(&format!("{address}/a:1")))
        .await
        .expect_err("nobody");
    assert!(matches!(error, PullError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(world.leftovers().is_empty());
}

#[tokio::test]
async fn a_place_for_tokens_or_blobs_that_is_no_neighbour_s_is_not_asked() {
    for realm in [
        "http://169.254.169.254/token",
        "ftp://x/token",
        "no address",
    ] {
        let error = with(move |_| {
            let challenge = format!("Bearer realm=\"{realm}\"");
            Some((StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response())
        })
        .await;
        let refused = matches!(error, PullError::Astray { .. } | PullError::Protocol { .. });
        assert!(refused, "{realm}: {error}");
    }
    let error = with(|seen| {
        let to = [("location", "http://169.254.169.254/secret")];
        seen.is_blob()
            .then(|| (StatusCode::FOUND, to).into_response())
    })
    .await;
    assert!(error.to_string().contains("must not"), "{error}");
}

#[tokio::test]
async fn credentials_that_no_header_can_carry_are_refused_before_anything_is_asked() {
    let world = World::new();
    for credentials in [basic("a:b", "c"), basic("a", "b\r\nx: y"), basic("", "x")] {
        let request = PullRequest {
            credentials,
            ..request("127.0.0.1:1/a")
        };
        let error = pull(&world, request).await.expect_err("refused");
        assert!(matches!(error, PullError::Credentials), "{error}");
    }
}
