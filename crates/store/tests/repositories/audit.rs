//! The audit trail.

use pinfold_model::audit::{AuditEvent, Outcome};
use pinfold_model::{AuditId, KeyId, ProjectId, RequestId};
use pinfold_store::{AuditFilter, Scope, StoreError};

use crate::world::{World, all, at};

fn event(world: &World, project: &ProjectId, action: &str, us: i64) -> AuditEvent {
    let details = serde_json::json!({"image": "host:latest", "n": us});
    AuditEvent {
        id: AuditId::generate(),
        at: at(us),
        org: world.home.org.id.clone(),
        project: project.clone(),
        key: (us % 2 == 0).then(KeyId::generate),
        request: RequestId::generate(),
        action: action.into(),
        subject: format!("sbx_{us}"),
        outcome: [Outcome::Ok, Outcome::Denied, Outcome::Failed]
            [usize::try_from(us % 3).expect("small")],
        details: details.as_object().expect("an object").clone(),
    }
}

pub(crate) async fn events_are_listed_by_scope_and_filter(world: World) {
    let audit = world.store.audit();
    let other = world.other_project().await.id;
    let mine = world.project();
    let events = [
        event(&world, &mine, "sandbox.create", 3),
        event(&world, &other, "sandbox.create", 2),
        event(&world, &mine, "key.revoke", 1),
    ];
    for event in &events {
        audit.append(event).await.expect("append");
    }
    let [newest, foreign, oldest] = events;
    let again = audit.append(&newest).await;
    assert!(
        matches!(again, Err(StoreError::AlreadyExists { .. })),
        "{again:?}"
    );

    let project = Scope::Project(mine);
    let org = Scope::Org(world.home.org.id.clone());
    let any = AuditFilter::default();
    let creates = AuditFilter {
        action: Some("sandbox.create".into()),
        ..any.clone()
    };
    let one_subject = AuditFilter {
        subject: Some("sbx_1".into()),
        ..any.clone()
    };
    let since = AuditFilter {
        since: Some(at(2)),
        ..any.clone()
    };
    let cases = [
        (&org, &any, vec![&newest, &foreign, &oldest]),
        (&project, &any, vec![&newest, &oldest]),
        (&org, &creates, vec![&newest, &foreign]),
        (&project, &one_subject, vec![&oldest]),
        (&org, &since, vec![&newest, &foreign]),
    ];
    for (scope, filter, expected) in cases {
        let page = audit.list(scope, filter, &all()).await.expect("list");
        let found: Vec<_> = page.items.iter().collect();
        assert_eq!(found, expected, "{scope:?} {filter:?}");
    }
}

pub(crate) async fn a_batch_of_events_is_all_or_none(world: World) {
    let audit = world.store.audit();
    let mine = world.project();
    let batch = [event(&world, &mine, "a", 1), event(&world, &mine, "b", 2)];
    audit.append_all(&[]).await.expect("nothing to do");
    audit.append_all(&batch).await.expect("append");
    let clash = [event(&world, &mine, "c", 3), batch[0].clone()];
    let refused = audit.append_all(&clash).await;
    assert!(
        matches!(refused, Err(StoreError::AlreadyExists { .. })),
        "{refused:?}"
    );
    let scope = Scope::Project(mine);
    let page = audit
        .list(&scope, &AuditFilter::default(), &all())
        .await
        .expect("list");
    assert_eq!(page.items.len(), 2);
}
