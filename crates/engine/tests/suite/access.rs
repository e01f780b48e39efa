//! Who may see and do what.

use pinfold_engine::{CreateKey, PageRequest, QuotaChange, Share};
use pinfold_model::{Code, Ctx, KeyKind, Resources, Role, TemplateVersionId};

use super::place::{Life, Place, shell};

fn key(name: &str, role: Role, project: Option<pinfold_model::ProjectId>) -> CreateKey {
    CreateKey {
        name: name.into(),
        role,
        kind: KeyKind::Agent,
        project,
        expires: None,
        scopes: pinfold_model::Scopes::All,
        quota: Default::default(),
    }
}

/// A member of another project, by its key.
pub(crate) async fn stranger(life: &Life) -> Ctx {
    let other = life
        .engine
        .create_project(&life.ctx, "other", QuotaChange::default())
        .await;
    let other = other.expect("project").id;
    let made = life
        .engine
        .create_key(&life.ctx, key("stranger", Role::Member, Some(other)))
        .await;
    let secret = made.expect("key").secret;
    Ctx::new(life.engine.authenticate(&secret).await.expect("a good key"))
}

#[test]
fn things_of_another_project_do_not_exist() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let command = life.start(&sandbox, shell("sleep 1000")).await;
        let stranger = stranger(&life).await;
        let engine = &life.engine;
        let codes = [
            engine
                .get_sandbox(&stranger, &sandbox)
                .await
                .expect_err("foreign")
                .code(),
            engine
                .destroy_sandbox(&stranger, &sandbox)
                .await
                .expect_err("foreign")
                .code(),
            engine
                .suspend_sandbox(&stranger, &sandbox)
                .await
                .expect_err("foreign")
                .code(),
            engine
                .stat_file(&stranger, &sandbox, "/")
                .await
                .expect_err("foreign")
                .code(),
            engine
                .sandbox_used(&stranger, &sandbox)
                .await
                .expect_err("foreign")
                .code(),
            engine
                .start_command(&stranger, &sandbox, shell("true"), None)
                .await
                .expect_err("foreign")
                .code(),
        ];
        assert!(
            codes.iter().all(|code| *code == Code::SandboxNotFound),
            "{codes:?}"
        );
        let codes = [
            engine
                .get_command(&stranger, &command)
                .await
                .expect_err("foreign")
                .code(),
            engine
                .reader(&stranger, &command, 0)
                .await
                .expect_err("foreign")
                .code(),
            engine
                .write_stdin(&stranger, &command, b"x")
                .await
                .expect_err("foreign")
                .code(),
            engine
                .signal_command(&stranger, &command, 15)
                .await
                .expect_err("foreign")
                .code(),
        ];
        assert!(
            codes.iter().all(|code| *code == Code::CommandNotFound),
            "{codes:?}"
        );
        let page = PageRequest::default();
        let list = engine
            .list_sandboxes(&stranger, &Default::default(), &page)
            .await;
        assert!(list.expect("list").items.is_empty());
        // An admin sees the whole org, also from another project.
        let admin = engine.create_key(
            &life.ctx,
            key(
                "admin",
                Role::Admin,
                Some(stranger.principal.project.clone()),
            ),
        );
        let admin = engine
            .authenticate(&admin.await.expect("key").secret)
            .await
            .expect("admin");
        let seen = engine.get_sandbox(&Ctx::new(admin), &sandbox).await;
        assert_eq!(seen.expect("an admin sees it").id, sandbox);
    });
    life.clean_up(&place);
}

#[test]
fn members_manage_nothing_and_the_trail_tells_who_tried() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let member = stranger(&life).await;
        let engine = &life.engine;
        let page = PageRequest::default();
        let denied = [
            engine
                .create_key(&member, key("x", Role::Admin, None))
                .await
                .err(),
            engine.list_keys(&member, &page).await.err(),
            engine
                .create_project(&member, "x", QuotaChange::default())
                .await
                .err(),
            engine
                .change_quota(&member, &member.principal.project, QuotaChange::default())
                .await
                .err(),
            engine
                .set_template(&member, "t", spec(), Share::Everyone)
                .await
                .err(),
            engine.remove_template(&member, "base").await.err(),
        ];
        for error in denied {
            assert_eq!(error.expect("denied").code(), Code::PermissionDenied);
        }
        let filter = pinfold_engine::AuditFilter {
            action: Some("key.create".into()),
            ..Default::default()
        };
        let trail = engine
            .list_audit(&life.ctx, &filter, &page)
            .await
            .expect("trail");
        assert_eq!(
            trail.items[0].outcome,
            pinfold_model::audit::Outcome::Denied
        );
        assert_eq!(trail.items[0].key, member.principal.key);
    });
    life.clean_up(&place);
}

fn spec() -> pinfold_model::template::TemplateSpec {
    pinfold_model::template::TemplateSpec {
        image: "host".parse().expect("a name"),
        resources: Resources::default(),
        network: pinfold_model::NetworkMode::None,
        network_policy: pinfold_model::NetworkPolicy::default(),
        env: Default::default(),
        workdir: None,
        user: None,
        ttl: None,
        idle_timeout: None,
    }
}

#[test]
fn a_revoked_or_unknown_key_opens_nothing_at_once() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let engine = &life.engine;
        let made = engine
            .create_key(&life.ctx, key("k", Role::Member, None))
            .await
            .expect("key");
        engine.authenticate(&made.secret).await.expect("a good key");
        engine
            .revoke_key(&life.ctx, &made.key.id)
            .await
            .expect("revoke");
        for secret in [made.secret.as_str(), "", "pfk_nonsense", &"x".repeat(5000)] {
            let refused = engine.authenticate(secret).await.expect_err("refused");
            assert_eq!(refused.code(), Code::Unauthenticated);
        }
        let chosen = "a-secret-of-the-operators-choice";
        assert!(engine.bootstrap_key(Some("short")).await.is_err());
        for _ in 0..2 {
            engine.bootstrap_key(Some(chosen)).await.expect("adopted");
        }
        let admin = engine.authenticate(chosen).await.expect("the chosen key");
        assert_eq!(admin.role, Role::Admin);
        assert!(
            engine
                .bootstrap_key(None)
                .await
                .expect("there are keys")
                .is_none()
        );
    });
    life.clean_up(&place);
}

#[test]
fn templates_have_versions_and_can_be_pinned() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let first = engine
            .set_template(ctx, "mine", spec(), Share::Project)
            .await
            .expect("set");
        let second = engine
            .set_template(ctx, "mine", spec(), Share::Project)
            .await
            .expect("set");
        assert_eq!((first.version, second.version), (1, 2));
        let ids = |template: pinfold_model::Template| -> TemplateVersionId { template.version_id };
        let pinned = engine
            .get_template(ctx, "mine", Some(1))
            .await
            .expect("get");
        assert_eq!(ids(pinned), first.version_id);
        let latest = engine
            .get_template(ctx, first.id.as_str(), None)
            .await
            .expect("get");
        assert_eq!(ids(latest), second.version_id);
        let unknown = engine
            .get_template(ctx, "mine", Some(9))
            .await
            .expect_err("none");
        assert_eq!(unknown.code(), Code::TemplateNotFound);
        engine.remove_template(ctx, "mine").await.expect("remove");
        assert!(engine.get_template(ctx, "mine", None).await.is_err());
    });
    life.clean_up(&place);
}
