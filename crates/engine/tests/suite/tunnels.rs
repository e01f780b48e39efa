//! Tunnels: what their traffic does to a sandbox.

use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::{
    AuditFilter, Clock, CreateSandbox, EngineConfig, Origin, PageRequest, Verdict,
};
use pinfold_model::sandbox::IdleAction;
use pinfold_model::tunnel::{Traffic, Wake};
use pinfold_model::{Code, SandboxState, Scopes, TunnelAccess, TunnelSpec};

use super::access::stranger;
use super::clock::ManualClock;
use super::place::{Place, small};

const MINUTE: Duration = Duration::from_secs(60);

fn spec(access: TunnelAccess, traffic: Traffic, wake: Wake) -> TunnelSpec {
    TunnelSpec {
        access,
        traffic,
        wake,
    }
}

#[test]
fn a_tunnel_is_its_projects_and_its_token_the_same_after_a_crash() {
    let place = Place::new();
    let life = place.live();
    let usual = spec(TunnelAccess::Token, Traffic::KeepsInUse, Wake::Never);
    let (sandbox, shown) = life.run(async {
        let sandbox = life.sandbox().await;
        let engine = &life.engine;
        let made = engine.enable_tunnel(&life.ctx, &sandbox, usual).await;
        let made = made.expect("a tunnel");
        assert_eq!(made.origin, Origin::New);
        let token = made.shown.token.clone().expect("a token");
        assert!(!format!("{made:?}").contains(&token));
        let again = engine.enable_tunnel(&life.ctx, &sandbox, usual).await;
        let again = again.expect("the same");
        assert_eq!(again.origin, Origin::Replay);
        assert_eq!(again.shown.tunnel, made.shown.tunnel);
        let open = spec(TunnelAccess::Open, Traffic::KeepsInUse, Wake::Never);
        let other = engine.enable_tunnel(&life.ctx, &sandbox, open).await;
        assert_eq!(other.expect_err("another").code(), Code::AlreadyExists);
        let found = engine.get_sandbox(&life.ctx, &sandbox).await.expect("get");
        let theirs = stranger(&life).await;
        let refused = engine.enable_tunnel(&theirs, &sandbox, usual).await;
        assert_eq!(refused.expect_err("no").code(), Code::SandboxNotFound);
        let refused = engine.remove_tunnel(&theirs, &sandbox).await;
        assert_eq!(refused.expect_err("no").code(), Code::SandboxNotFound);
        let refused = engine.sign_terminals(&theirs, &sandbox).await;
        assert_eq!(refused.expect_err("no").code(), Code::SandboxNotFound);
        let seen = engine.tunnels_of(&theirs, &[&found]).await.expect("list");
        assert!(seen.is_empty());
        let mut looks = life.ctx.clone();
        looks.principal.scopes = Scopes::parse(&["sandboxes:read"]).expect("a scope");
        let seen = engine.tunnels_of(&looks, &[&found]).await.expect("list");
        assert!(seen.is_empty(), "whoever knows it may use it");
        (sandbox, made.shown)
    });
    life.crash();
    let life = place.live();
    life.run(async {
        let engine = &life.engine;
        let token = shown.token.as_deref().expect("a token");
        let open = engine.open_tunnel(&shown.tunnel.key).await.expect("open");
        let opens = engine.judge_preview_secret(&open, token).await;
        assert_eq!(opens.expect("judged"), Verdict::Opens(None));
        let wrong = engine
            .judge_preview_secret(&open, &format!("{token}0"))
            .await;
        assert_eq!(wrong.expect("judged"), Verdict::Dead);
        let (_, link) = engine
            .sign_terminals(&life.ctx, &sandbox)
            .await
            .expect("a link");
        let of_terminals = engine.judge_preview_secret(&open, &link.token).await;
        let kept = "the application inside never sees it";
        assert_eq!(of_terminals.expect("judged"), Verdict::Dead, "{kept}");
        let like_it = engine
            .judge_preview_secret(&open, &format!("{}A", link.token))
            .await;
        assert_eq!(like_it.expect("judged"), Verdict::Foreign, "no proof");
        let none = engine.enter_preview(&open, None).await;
        assert_eq!(none.expect_err("which port?").code(), Code::PreviewNotFound);
        engine.enter_preview(&open, Some(80)).await.expect("in");
        engine
            .remove_tunnel(&life.ctx, &sandbox)
            .await
            .expect("removed");
        open.ended().await;
        let gone = engine.open_tunnel(&shown.tunnel.key).await;
        assert_eq!(gone.expect_err("gone").code(), Code::PreviewNotFound);
        engine
            .remove_tunnel(&life.ctx, &sandbox)
            .await
            .expect("nothing to do");
    });
    life.clean_up(&place);
}

#[test]
fn traffic_counts_as_use_where_it_may_and_wakes_where_it_may() {
    let place = Place::new();
    let clock = Arc::new(ManualClock::new());
    let life = place.live_with(EngineConfig::default(), clock.clone());
    life.run(async {
        for (traffic, wake) in [
            (Traffic::KeepsInUse, Wake::OnRequest),
            (Traffic::Ignored, Wake::Never),
        ] {
            let request = CreateSandbox {
                idle_timeout: Some(MINUTE * 2),
                idle_action: Some(IdleAction::Suspend),
                tunnel: Some(spec(TunnelAccess::Open, traffic, wake)),
                ..small()
            };
            let engine = &life.engine;
            let made = engine.create_sandbox(&life.ctx, request, None).await;
            let made = made.expect("a sandbox").value;
            let mut shown = engine.tunnels_of(&life.ctx, &[&made]).await.expect("list");
            let tunnel = shown.remove(&made.id).expect("it has one").tunnel;
            let open = engine.open_tunnel(&tunnel.key).await.expect("open");
            let visit = engine.enter_preview(&open, Some(80)).await.expect("in");
            clock.forward(MINUTE * 3);
            if traffic == Traffic::KeepsInUse {
                let now = life.state(&made.id).await;
                assert_eq!(now.last_active_at, clock.now());
                drop(visit);
                clock.forward(MINUTE * 3);
            }
            let mut watch = engine
                .watch_sandbox(&life.ctx, &made.id)
                .await
                .expect("seen");
            while let Some(now) = watch.next().await {
                if now.state == SandboxState::Suspended {
                    break;
                }
            }
            let entered = engine.enter_preview(&open, Some(80)).await;
            match wake {
                Wake::OnRequest => {
                    entered.expect("woken");
                    assert_eq!(life.state(&made.id).await.state, SandboxState::Running);
                }
                Wake::Never => {
                    let refused = entered.expect_err("it sleeps");
                    assert_eq!(refused.code(), Code::PreviewUnavailable);
                    assert_eq!(life.state(&made.id).await.state, SandboxState::Suspended);
                }
            }
        }
    });
    life.clean_up(&place);
}

#[test]
fn requests_that_come_together_wake_a_sandbox_once() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let sandbox = life.sandbox().await;
        let wakes = spec(TunnelAccess::Open, Traffic::KeepsInUse, Wake::OnRequest);
        let made = engine.enable_tunnel(ctx, &sandbox, wakes).await;
        let key = made.expect("a tunnel").shown.tunnel.key;
        let open = engine.open_tunnel(&key).await.expect("open");
        let suspended = engine.suspend_sandbox(ctx, &sandbox).await;
        suspended.expect("suspended");
        let requests = (0..16).map(|_| engine.enter_preview(&open, Some(80)));
        for entered in futures::future::join_all(requests).await {
            entered.expect("woken");
        }
        let filter = AuditFilter {
            action: Some("sandbox.wake".into()),
            ..AuditFilter::default()
        };
        let page = PageRequest::default();
        let woken = || async {
            // Lines are written behind the answers.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let trail = engine.list_audit(ctx, &filter, &page).await;
            trail.expect("trail").items.len()
        };
        assert_eq!(woken().await, 1);
        engine.enter_preview(&open, Some(80)).await.expect("awake");
        assert_eq!(woken().await, 1, "nothing had to be woken");
    });
    life.clean_up(&place);
}

#[test]
fn a_sandbox_that_cannot_be_woken_is_left_alone_for_a_while() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let sandbox = life.sandbox().await;
        let wakes = spec(TunnelAccess::Open, Traffic::KeepsInUse, Wake::OnRequest);
        let made = engine.enable_tunnel(ctx, &sandbox, wakes).await;
        let key = made.expect("a tunnel").shown.tunnel.key;
        let open = engine.open_tunnel(&key).await.expect("open");
        engine.stop_sandbox(ctx, &sandbox).await.expect("stopped");
        let home = place.sandboxes().join(sandbox.as_str());
        let away = place.path().join("away");
        std::fs::rename(&home, &away).expect("taken away");
        std::fs::write(&home, "in the way").expect("blocked");
        let refused = engine.enter_preview(&open, Some(80)).await;
        let refused = refused.expect_err("it cannot boot");
        assert_eq!(refused.code(), Code::PreviewUnavailable);
        let _ = std::fs::remove_file(&home);
        std::fs::rename(&away, &home).expect("brought back");
        let again = engine.enter_preview(&open, Some(80)).await;
        let again = again.expect_err("nobody has tried again");
        assert_eq!(again.message(), refused.message());
        let filter = AuditFilter {
            action: Some("sandbox.wake".into()),
            ..AuditFilter::default()
        };
        tokio::time::sleep(Duration::from_secs(5)).await;
        let page = PageRequest::default();
        let trail = engine.list_audit(ctx, &filter, &page);
        assert!(trail.await.expect("trail").items.is_empty());
        engine.enter_preview(&open, Some(80)).await.expect("woken");
    });
    life.clean_up(&place);
}
