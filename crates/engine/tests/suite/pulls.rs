//! Pulls as use cases: whose, how often, and what becomes of those who wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oci_spec::image::{Config, Descriptor};
use pinfold_engine::{
    CreateKey, CreateSandbox, Credentials, EngineConfig, ImageOrTemplate, PullImage, PullPolicy,
    QuotaChange, Share, SystemClock, Wait,
};
use pinfold_model::{Code, Ctx, ImageSource, KeyKind, Role};

use super::place::{Life, Place, small};
use crate::archive::Tar;
use crate::layout::Layout;
use crate::registry::{Registry, Seen, broken_off};

fn pulling(place: &Place) -> Life {
    let config = EngineConfig {
        pull: PullPolicy::Missing,
        ..EngineConfig::default()
    };
    place.live_with(config, Arc::new(SystemClock))
}

fn an_image(layout: &Layout, text: &str) -> Descriptor {
    let tar = Tar::new()
        .file("etc/passwd", b"")
        .file("etc/hello", text.as_bytes())
        .end();
    layout.image(Config::default(), &[tar])
}

async fn registry(place: &Place, hook: impl Fn(&Seen) + Send + Sync + 'static) -> Registry {
    let layout = Layout::new(place.path().join("layout"));
    let image = an_image(&layout, "pulled");
    let hook = move |seen: &Seen| {
        hook(seen);
        None
    };
    Registry::with(&layout.dir, &[("1", &image)], hook).await
}

fn from(image: &str) -> CreateSandbox {
    CreateSandbox {
        from: ImageOrTemplate::Image(image.to_owned()),
        ..small()
    }
}

async fn member_of(life: &Life, name: &str) -> Ctx {
    let project = life
        .engine
        .create_project(&life.ctx, name, QuotaChange::default())
        .await;
    let key = CreateKey {
        name: name.to_owned(),
        role: Role::Member,
        kind: KeyKind::Agent,
        project: Some(project.expect("project").id),
        expires: None,
        scopes: pinfold_model::Scopes::All,
        quota: QuotaChange::default(),
    };
    let made = life.engine.create_key(&life.ctx, key).await.expect("key");
    let principal = life.engine.authenticate(&made.secret).await;
    Ctx::new(principal.expect("a good key"))
}

#[test]
fn a_missing_image_is_pulled_once_for_all_who_want_it_and_boots() {
    let place = Place::new();
    let life = pulling(&place);
    life.run(async {
        let registry = registry(&place, |_| {}).await;
        let name = registry.reference("team/app:1");
        let creating = (0..6).map(|_| {
            let request = CreateSandbox {
                wait: Wait::No,
                ..from(&name)
            };
            life.engine.create_sandbox(&life.ctx, request, None)
        });
        let made = futures::future::join_all(creating).await;
        let images: std::collections::HashSet<_> = made
            .into_iter()
            .map(|made| made.expect("create").value.spec.image)
            .collect();
        assert_eq!(images.len(), 1, "one image");
        assert_eq!(
            registry.blobs_asked_for(),
            2,
            "a configuration and a layer, once"
        );
        let sandbox = life.create(from(&name)).await;
        let hello = life
            .engine
            .read_file(&life.ctx, &sandbox.id, "/etc/hello", Default::default())
            .await;
        let chunk = hello.expect("begin").next().await.expect("chunk");
        assert_eq!(chunk.as_deref(), Some(&b"pulled"[..]));
        let image = life
            .engine
            .get_image(&life.ctx, &name)
            .await
            .expect("recorded");
        assert!(matches!(image.source, ImageSource::Registry { .. }));
        assert!(image.project.is_some());
    });
    life.clean_up(&place);
}

#[test]
fn a_caller_who_goes_away_does_not_end_the_pull() {
    let place = Place::new();
    let life = pulling(&place);
    life.run(async {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let registry = registry(&place, move |seen| {
            if seen.is_blob() && seen.before == 0 {
                // Errors mean that nobody holds it back any more.
                let _ = wait
                    .lock()
                    .expect("test")
                    .recv_timeout(Duration::from_secs(60));
            }
        })
        .await;
        let name = registry.reference("app:1");
        let create = life.engine.create_sandbox(&life.ctx, from(&name), None);
        let gone = tokio::time::timeout(Duration::from_millis(300), create).await;
        assert!(gone.is_err(), "it waits for the image");
        drop(go);
        let pull = life
            .engine
            .start_pull(&life.ctx, PullImage::new(&name))
            .await
            .expect("join");
        let patience = Duration::from_secs(60);
        let ended = life
            .engine
            .get_pull(&life.ctx, &pull.id, patience)
            .await
            .expect("known");
        ended.ending.expect("ended").expect("pulled");
        assert_eq!(registry.blobs_asked_for(), 2, "the first pull went on");
    });
    life.clean_up(&place);
}

#[test]
fn what_is_pulled_belongs_to_the_project_that_pulled_it() {
    let place = Place::new();
    let life = pulling(&place);
    life.run(async {
        let registry = registry(&place, |_| {}).await;
        let (engine, name) = (&life.engine, registry.reference("app:1"));
        let (ours, theirs) = (
            member_of(&life, "ours").await,
            member_of(&life, "theirs").await,
        );
        let secret = PullImage {
            credentials: Some(Credentials::Bearer("t".into())),
            ..PullImage::new(&name)
        };
        let pull = engine
            .start_pull(&ours, secret.clone())
            .await
            .expect("begun");
        let foreign = engine.get_pull(&theirs, &pull.id, Duration::ZERO).await;
        assert_eq!(foreign.expect_err("foreign").code(), Code::ImageNotFound);
        let refused = engine.pull_image(&ours, secret.clone()).await;
        let refused = refused.expect_err("the registry is beside the server");
        assert_eq!(refused.code(), Code::PermissionDenied);
        let admin = Ctx::new(pinfold_model::Principal {
            role: Role::Admin,
            scopes: pinfold_model::Scopes::All,
            ..ours.principal.clone()
        });
        let image = engine.pull_image(&admin, secret).await.expect("pulled");
        for wanted in [name.as_str(), image.id.as_str()] {
            let foreign = engine.get_image(&theirs, wanted).await;
            assert_eq!(foreign.expect_err("foreign").code(), Code::ImageNotFound);
        }
        for asked in [
            PullImage {
                share: Share::Everyone,
                ..PullImage::new(&name)
            },
            PullImage {
                insecure: true,
                ..PullImage::new(&name)
            },
        ] {
            let refused = engine.start_pull(&ours, asked).await.expect_err("a member");
            assert_eq!(refused.code(), Code::PermissionDenied);
        }
        let template = |share| {
            let (engine, admin) = (&life.engine, &admin);
            let image = name.parse().expect("a name");
            async move {
                let base = engine.get_template(admin, "base", None).await;
                let spec = pinfold_model::template::TemplateSpec {
                    image,
                    ..base.expect("shipped").spec
                };
                engine.set_template(admin, "t", spec, share).await
            }
        };
        let refused = template(Share::Everyone)
            .await
            .expect_err("others have no such image");
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        template(Share::Project).await.expect("the project's own");
        let shared = PullImage {
            share: Share::Everyone,
            ..PullImage::new(&name)
        };
        let shared = engine
            .pull_image(&life.ctx, shared)
            .await
            .expect("an admin");
        let seen = engine.get_image(&theirs, &name).await.expect("everybody's");
        assert_eq!(seen.id, shared.id);
        template(Share::Everyone)
            .await
            .expect("everybody has one now");
    });
    life.clean_up(&place);
}

#[test]
fn an_image_is_downloaded_again_only_if_the_registry_has_another() {
    let place = Place::new();
    let life = pulling(&place);
    life.run(async {
        let layout = Layout::new(place.path().join("layout"));
        let (old, new) = (an_image(&layout, "old"), an_image(&layout, "new"));
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let dir = layout.dir.clone();
        let newer = new.digest().to_string();
        let hook = move |seen: &Seen| {
            let second =
                seen.path.ends_with("/manifests/1") && counted.fetch_add(1, Ordering::SeqCst) >= 2;
            second.then(|| {
                let path = dir.join("blobs").join(newer.replace(':', "/"));
                let body = std::fs::read(path).expect("manifest");
                let media_type = [("content-type", "application/vnd.oci.image.manifest.v1+json")];
                axum::response::IntoResponse::into_response((media_type, body))
            })
        };
        let registry = Registry::with(&layout.dir, &[("1", &old)], hook).await;
        let pull = || {
            let named = PullImage {
                name: Some("mine:1".parse().expect("a name")),
                ..PullImage::new(registry.reference("app:1"))
            };
            life.engine.pull_image(&life.ctx, named)
        };
        let first = pull().await.expect("pulled");
        let same = pull().await.expect("unchanged");
        assert_eq!((same.id, registry.blobs_asked_for()), (first.id.clone(), 2));
        let other = pull().await.expect("newer");
        assert_ne!(other.id, first.id);
        let named = life
            .engine
            .get_image(&life.ctx, "mine:1")
            .await
            .expect("named");
        assert_eq!(named.id, other.id, "the name went over");
        let foreign = PullImage {
            name: Some("mine:1".parse().expect("a name")),
            platform: Some("linux/s390x".into()),
            ..PullImage::new(registry.reference("app:1"))
        };
        let foreign = life.engine.pull_image(&life.ctx, foreign).await;
        let foreign = foreign.expect_err("what is there is not for that platform");
        assert!(foreign.to_string().contains("linux/amd64"), "{foreign}");
    });
    life.clean_up(&place);
}

#[test]
fn what_cannot_be_pulled_is_an_answer_and_never_another_image() {
    let place = Place::new();
    let life = pulling(&place);
    life.run(async {
        let registry = registry(&place, |_| {}).await;
        let engine = &life.engine;
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let nobody = free.local_addr().expect("address");
        drop(free);
        for (image, code, said) in [
            (
                registry.reference("app:other"),
                Code::ImageNotFound,
                "has no app:other",
            ),
            (
                format!("{nobody}/app:1"),
                Code::ImagePullFailed,
                "cannot be reached",
            ),
            (
                "Not_A/Reference".to_owned(),
                Code::ImageNotFound,
                "reference",
            ),
        ] {
            let error = engine
                .create_sandbox(&life.ctx, from(&image), None)
                .await
                .expect_err("not there");
            assert_eq!(error.code(), code, "{error}");
            assert!(error.message().contains(said), "{error}");
            assert!(error.message().contains(&image), "{error}");
            let spec = pinfold_model::template::TemplateSpec {
                image: image.parse().expect("a name"),
                ..engine
                    .get_template(&life.ctx, "base", None)
                    .await
                    .expect("shipped")
                    .spec
            };
            let refused = engine
                .set_template(&life.ctx, "t", spec, Share::Project)
                .await;
            assert_eq!(refused.expect_err("no image").code(), code);
        }
        let spec = pinfold_model::template::TemplateSpec {
            image: registry.reference("app:1").parse().expect("a name"),
            ..engine
                .get_template(&life.ctx, "base", None)
                .await
                .expect("shipped")
                .spec
        };
        engine
            .set_template(&life.ctx, "t", spec, Share::Everyone)
            .await
            .expect("pulled for everybody");
        let image = engine
            .get_image(&life.ctx, &registry.reference("app:1"))
            .await;
        assert_eq!(image.expect("there").project, None);
        let unknown = engine
            .create_sandbox(
                &life.ctx,
                from("img_00000000000000000000000000000000"),
                None,
            )
            .await;
        assert_eq!(unknown.expect_err("an id").code(), Code::ImageNotFound);
        for name in ["host", "x@sha256:12"] {
            let asked = PullImage::new(name);
            assert!(engine.start_pull(&life.ctx, asked).await.is_err(), "{name}");
        }
    });
    life.clean_up(&place);
}

#[test]
fn never_means_that_only_an_admin_pulls_by_asking() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let registry = registry(&place, |_| {}).await;
        let (engine, name) = (&life.engine, registry.reference("app:1"));
        let refused = engine
            .create_sandbox(&life.ctx, from(&name), None)
            .await
            .expect_err("not pulled");
        assert_eq!(refused.code(), Code::ImageNotFound);
        let member = member_of(&life, "team").await;
        let refused = engine.start_pull(&member, PullImage::new(&name)).await;
        assert_eq!(
            refused.expect_err("a member").code(),
            Code::PermissionDenied
        );
        assert!(registry.seen().is_empty(), "nothing was asked");
        engine
            .pull_image(&life.ctx, PullImage::new(&name))
            .await
            .expect("an admin");
    });
    life.clean_up(&place);
}

#[test]
fn a_crash_in_the_middle_leaves_nothing_for_the_next_life() {
    let place = Place::new();
    let life = pulling(&place);
    let tmp = place.path().join("images/tmp");
    let registry = life.run(async {
        let layout = Layout::new(place.path().join("layout"));
        let image = an_image(&layout, "x");
        let hook = |seen: &Seen| seen.is_blob().then(|| broken_off(b"x", 1000));
        let registry = Registry::with(&layout.dir, &[("1", &image)], hook).await;
        let name = registry.reference("app:1");
        life.engine
            .start_pull(&life.ctx, PullImage::new(&name))
            .await
            .expect("begun");
        while registry.blobs_asked_for() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(std::fs::read_dir(&tmp).expect("tmp").count(), 1, "staging");
        registry
    });
    drop(registry);
    life.crash();
    let life = pulling(&place);
    assert_eq!(std::fs::read_dir(&tmp).expect("tmp").count(), 0, "swept");
    life.clean_up(&place);
}
