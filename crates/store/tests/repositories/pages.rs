//! Walking lists by cursor.

use std::future::Future;

use pinfold_model::usage::UsageRecord;
use pinfold_model::{Sandbox, SandboxId};
use pinfold_store::{Cursor, Page, PageRequest, PreviewFilter, Result, SandboxFilter, Scope};

use crate::world::{World, at, command, image, seconds};

/// Follows the cursors, each through its text form, to the end.
async fn walk<T, F>(limit: u32, page: impl Fn(PageRequest) -> F) -> Vec<T>
where
    F: Future<Output = Result<Page<T>>>,
{
    let mut found = Vec::new();
    let mut after: Option<Cursor> = None;
    // One round per row is the most an honest walk takes here.
    for _ in 0..1000 {
        let next = page(PageRequest::new(limit, after)).await.expect("a page");
        assert!(next.items.len() <= limit as usize);
        found.extend(next.items);
        match next.next {
            Some(cursor) => after = Some(cursor.to_string().parse().expect("its own text")),
            None => return found,
        }
    }
    panic!("the walk does not end");
}

async fn sandboxes(world: &World, page: PageRequest) -> Result<Page<Sandbox>> {
    let scope = Scope::Project(world.project());
    world
        .store
        .sandboxes()
        .list(&scope, &SandboxFilter::default(), &page)
        .await
}

async fn insert_at(world: &World, us: i64) -> SandboxId {
    let mut sandbox = world.sandbox();
    sandbox.created_at = at(us);
    world.insert(&sandbox).await;
    sandbox.id
}

pub(crate) async fn a_walk_has_no_gap_and_no_repeat_under_inserts(world: World) {
    let mut expected = Vec::new();
    for n in 0..23 {
        expected.insert(0, insert_at(&world, n / 3).await);
    }
    let world = &world;
    let walked = walk(4, |page| async move {
        // Newer rows arrive between any two pages.
        insert_at(world, 1000).await;
        sandboxes(world, page).await
    });
    let old: Vec<_> = walked
        .await
        .into_iter()
        .filter(|s| s.created_at < at(1000))
        .collect();
    let mut ids: Vec<_> = old.iter().map(|sandbox| sandbox.id.clone()).collect();
    assert!(old.is_sorted_by(|a, b| (a.created_at, &a.id) > (b.created_at, &b.id)));
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
}

pub(crate) async fn rows_of_one_instant_are_walked_by_id(world: World) {
    let mut expected = Vec::new();
    for _ in 0..9 {
        expected.push(insert_at(&world, 5).await);
    }
    expected.sort();
    expected.reverse();
    for limit in [1, 2, 3, 8, 9, 10] {
        let walked = walk(limit, |page| sandboxes(&world, page)).await;
        let ids: Vec<_> = walked.into_iter().map(|sandbox| sandbox.id).collect();
        assert_eq!(ids, expected, "by {limit}");
    }
}

pub(crate) async fn every_list_pages(world: World) {
    let store = &world.store;
    let sandbox = world.stored_sandbox().await;
    world.other_project().await;
    let (org, project) = (&world.home.org.id, &world.project());
    for n in 0..7_u8 {
        store
            .keys()
            .insert(&world.key(), [n; 32])
            .await
            .expect("key");
        store
            .commands()
            .insert(&command(&sandbox), None)
            .await
            .expect("command");
        let names = [format!("x{n}:1"), format!("x{n}:2")];
        let names = names.each_ref().map(String::as_str);
        store
            .images()
            .insert(&image(None, &names))
            .await
            .expect("image");
        let from = i64::from(n);
        let record = UsageRecord {
            sandbox: sandbox.id.clone(),
            project: project.clone(),
            from: seconds(from),
            to: seconds(from + 1),
            vcpu_millis_ms: 1,
            memory_mib_ms: 1,
            wall_ms: 1,
            cpu_used_us: 1,
        };
        store.usage().append(&[record]).await.expect("usage");
    }
    for port in 1..=7 {
        let kept = crate::previews::kept(&sandbox, port, seconds(port.into()));
        store.previews().insert(&kept, 10).await.expect("preview");
    }
    for n in 0..7 {
        let kept = crate::secrets::put(&world, project, &format!("s{n}"), b"sealed").await;
        kept.expect("a free name");
    }
    for n in 0..7 {
        let policy = crate::network_policies::policy(project, "web", seconds(n));
        let inserted = store.network_policies().insert(&policy, 10, None).await;
        inserted.expect("a policy");
    }
    let policies = walk(3, |page| async move {
        store.network_policies().list(project, &page).await
    })
    .await;
    assert_eq!(policies.len(), 7);
    for n in 0..7 {
        let gateway = crate::gateways::gateway(project, "api", seconds(n));
        let inserted = store.gateways().insert(&gateway, 10, None).await;
        inserted.expect("a gateway");
    }
    let gateways = walk(3, |page| async move {
        let http = pinfold_model::GatewayKind::Http;
        store.gateways().list(project, http, &page).await
    })
    .await;
    assert_eq!(gateways.len(), 7);
    for n in 0..7 {
        let key = crate::ssh_keys::ssh_key(&sandbox, &format!("SHA256:{n}"), seconds(n));
        store.ssh_keys().insert(&key, 10).await.expect("an SSH key");
    }
    let id = &sandbox.id;
    let ssh_keys = walk(3, |page| async move {
        store.ssh_keys().list(id, seconds(9), &page).await
    })
    .await;
    assert_eq!(ssh_keys.len(), 7);
    let secrets = walk(3, |page| async move {
        store.secrets().list(project, &page).await
    })
    .await;
    assert_eq!(secrets.len(), 7);
    let sandbox = &sandbox.id;
    let previews = walk(3, |page| async move {
        store
            .previews()
            .list(sandbox, PreviewFilter::All, &page)
            .await
    })
    .await;
    assert_eq!(previews.len(), 7);
    let keys = walk(3, |page| async move { store.keys().list(org, &page).await }).await;
    assert_eq!(keys.len(), 7);
    let commands = walk(3, |page| async move {
        store.commands().list(sandbox, &page).await
    })
    .await;
    assert_eq!(commands.len(), 7);
    let images = walk(3, |page| async move {
        store.images().list(project, &page).await
    })
    .await;
    assert_eq!(images.len(), 8);
    assert!(images.iter().filter(|image| image.names.len() == 2).count() == 7);
    let usage = walk(
        3,
        |page| async move { store.usage().list(sandbox, &page).await },
    )
    .await;
    assert!(usage.is_sorted_by(|a, b| a.from > b.from) && usage.len() == 7);
    let projects = walk(
        1,
        |page| async move { store.projects().list(org, &page).await },
    )
    .await;
    assert_eq!(projects.len(), 2);
}
