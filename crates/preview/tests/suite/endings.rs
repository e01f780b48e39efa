//! The life of previews: one a port, revoked, expired, ended with the sandbox, out of reach.

use std::time::Duration;

use futures::StreamExt;
use pinfold_sdk::{CreatePreview, Error, ErrorCode, ListPreviews, PreviewAccess, PreviewState};

use crate::client::{Seen, both, by_path, client, code, send};
use crate::world::{PORT, World, until, within};

fn api_code(error: Error) -> ErrorCode {
    match error {
        Error::Api(error) => error.code,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_has_one_active_preview_and_another_access_is_a_conflict() {
    let world = World::new().await;
    within(async {
        let previews = world.client.previews();
        let racing = (0..20).map(|_| world.preview(PreviewAccess::Authenticated));
        let all = futures::future::join_all(racing).await;
        assert!(all.iter().all(|one| one.preview == all[0].preview));
        let first = &all[0].preview;
        let open = CreatePreview {
            port: PORT.into(),
            access: Some(PreviewAccess::Public),
            expires_in_ms: None,
        };
        let refused = previews.create(&world.sandbox, &open).await;
        assert_eq!(
            api_code(refused.expect_err("a conflict")),
            ErrorCode::AlreadyExists
        );
        let revoked = previews.revoke(&first.id).await.expect("revoked");
        assert_eq!(revoked.state, PreviewState::Revoked);
        let again = previews.revoke(&first.id).await.expect("revoked");
        assert_eq!(again, revoked);
        let second = previews
            .create(&world.sandbox, &open)
            .await
            .expect("a preview")
            .preview;
        assert_ne!(second.id, first.id);
        let all = previews
            .list(&world.sandbox, &ListPreviews::default())
            .await;
        assert_eq!(all.expect("a list").items, [second.clone(), revoked]);
        for port in [0, -1, 65536] {
            let wrong = CreatePreview {
                port,
                ..CreatePreview::default()
            };
            let refused = previews.create(&world.sandbox, &wrong).await;
            assert_eq!(
                api_code(refused.expect_err("refused")),
                ErrorCode::InvalidArgument
            );
        }
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_cuts_what_is_under_way_and_closes_the_address() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Public).await.preview;
        let http = client(&world, &preview);
        let address = by_path(&world, &preview);
        let mut events = send(http.get(format!("{address}/events")))
            .await
            .bytes_stream();
        events.next().await.expect("more").expect("unbroken");
        let waiting = tokio::spawn(send(http.get(format!("{address}/raw/silent"))));
        let commands = world.client.commands();
        // The silent request has arrived when the application holds a thread more for it.
        let line = "ls /proc/[0-9]*/task | grep -c '^[0-9]' >/dev/null; grep -l application.py \
                    /proc/[0-9]*/cmdline | head -1 | xargs dirname | xargs -I{} ls {}/task | wc -l";
        until(|| async {
            let run = commands
                .run(&world.sandbox, &crate::world::shell(line))
                .await;
            run.is_ok_and(|run| {
                run.stdout
                    .trim()
                    .parse()
                    .is_ok_and(|threads: u32| threads >= 3)
            })
        })
        .await;
        world
            .client
            .previews()
            .revoke(&preview.id)
            .await
            .expect("revoked");
        assert!(
            matches!(events.next().await, Some(Err(_))),
            "the stream was cut"
        );
        let waited = waiting.await.expect("no panic");
        assert_eq!(code(waited).await, (410, "preview_gone".into()));
        for address in both(&world, &preview) {
            let answer = send(http.get(format!("{address}/x"))).await;
            assert_eq!(code(answer).await, (410, "preview_gone".into()));
        }
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_ends_with_its_sandbox_and_stays_readable() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Public).await.preview;
        let http = client(&world, &preview);
        let address = by_path(&world, &preview);
        let mut events = send(http.get(format!("{address}/events")))
            .await
            .bytes_stream();
        events.next().await.expect("more").expect("unbroken");
        world
            .client
            .sandboxes()
            .destroy(&world.sandbox)
            .await
            .expect("destroyed");
        while let Some(Ok(_)) = events.next().await {}
        let answer = send(http.get(format!("{address}/x"))).await;
        assert_eq!(code(answer).await, (410, "preview_gone".into()));
        let previews = world.client.previews();
        let found = previews.get(&preview.id).await.expect("readable");
        assert_eq!(found.state, PreviewState::Ended);
        let all = previews
            .list(&world.sandbox, &ListPreviews::default())
            .await;
        assert_eq!(all.expect("a list").items, [found]);
        let wanted = CreatePreview {
            port: 1,
            ..CreatePreview::default()
        };
        let refused = previews.create(&world.sandbox, &wanted).await;
        assert_eq!(
            api_code(refused.expect_err("refused")),
            ErrorCode::SandboxGone
        );
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_preview_is_cut_and_gives_way_to_a_new_one() {
    let world = World::with_application().await;
    within(async {
        let wanted = CreatePreview {
            port: PORT.into(),
            access: Some(PreviewAccess::Public),
            expires_in_ms: Some(3000),
        };
        let previews = world.client.previews();
        let created = previews.create(&world.sandbox, &wanted).await;
        let preview = created.expect("a preview").preview;
        assert!(preview.expires_at.is_some());
        let http = client(&world, &preview);
        let address = by_path(&world, &preview);
        let mut events = send(http.get(format!("{address}/events")))
            .await
            .bytes_stream();
        events.next().await.expect("more").expect("unbroken");
        assert!(
            matches!(events.next().await, Some(Err(_))),
            "the stream was cut"
        );
        let answer = send(http.get(format!("{address}/x"))).await;
        assert_eq!(code(answer).await, (410, "preview_gone".into()));
        let found = previews.get(&preview.id).await.expect("readable");
        assert_eq!(found.state, PreviewState::Expired);
        let next = world.preview(PreviewAccess::Public).await.preview;
        assert_ne!(next.slug, preview.slug);
        Seen::of(http.get(format!("{}/x", by_path(&world, &next)))).await;
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_waits_for_its_application_and_for_its_sandbox() {
    let world = World::new().await;
    within(async {
        let preview = world.preview(PreviewAccess::Public).await.preview;
        let http = client(&world, &preview);
        let address = by_path(&world, &preview);
        let ask = || http.get(format!("{address}/x"));
        let nobody = send(ask()).await;
        assert_eq!(code(nobody).await, (502, "preview_unavailable".into()));
        world.start_application().await;
        Seen::of(ask()).await;
        let sandboxes = world.client.sandboxes();
        sandboxes.suspend(&world.sandbox).await.expect("suspended");
        let frozen = send(ask()).await;
        assert_eq!(code(frozen).await, (502, "preview_unavailable".into()));
        sandboxes.resume(&world.sandbox).await.expect("resumed");
        Seen::of(ask()).await;
        // An application on ::1 alone is found too.
        world
            .start(
                "exec python3 -c 'import http.server, socket; \
                 http.server.HTTPServer.address_family = socket.AF_INET6; \
                 http.server.HTTPServer((\"::1\", 8006), \
                 http.server.SimpleHTTPRequestHandler).serve_forever()'",
            )
            .await;
        let six = world.preview_of(8006, PreviewAccess::Public).await.preview;
        let address = by_path(&world, &six);
        until(|| async { send(http.get(format!("{address}/"))).await.status() == 200 }).await;
        tokio::time::sleep(Duration::ZERO).await;
    })
    .await;
    world.end().await;
}
