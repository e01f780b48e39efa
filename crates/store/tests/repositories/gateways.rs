//! Gateways of both kinds.

use pinfold_model::gateway::{
    Auth, CustomHeader, GatewaySpec, HeaderValueSource, SecretRef, ToolPattern,
};
use pinfold_model::{Gateway, GatewayId, GatewayKind, ProjectId, SecretId, Time};
use pinfold_store::{Idempotency, Inserted, QuotaKind, StoreError, Thing};
use tokio::task::JoinSet;

use crate::world::{World, all, at};

pub(crate) fn gateway(project: &ProjectId, name: &str, created_at: Time) -> Gateway {
    Gateway {
        id: GatewayId::generate(),
        project: project.clone(),
        name: name.to_owned(),
        description: Some("büro".to_owned()),
        spec: GatewaySpec {
            endpoint: "https://api.example.com:8443/v1"
                .parse()
                .expect("an endpoint"),
            auth: Auth::Header("X-Api-Key".to_owned()),
            headers: vec![
                CustomHeader {
                    name: "x-text".to_owned(),
                    value: HeaderValueSource::Text("a b".to_owned()),
                },
                CustomHeader {
                    name: "x-secret".to_owned(),
                    value: HeaderValueSource::Secret(SecretRef {
                        id: SecretId::generate(),
                        name: "TOKEN".to_owned(),
                    }),
                },
            ],
            tools: None,
        },
        version: 1,
        created_at,
        updated_at: created_at,
        created_by: None,
    }
}

fn mcp(project: &ProjectId, name: &str, created_at: Time) -> Gateway {
    let mut gateway = gateway(project, name, created_at);
    let pattern = ToolPattern::try_from("get_*".to_owned());
    gateway.spec.tools = Some(vec![pattern.expect("a pattern")]);
    gateway
}

async fn new(world: &World, gateway: &Gateway) {
    let inserted = world.store.gateways().insert(gateway, 10, None).await;
    assert_eq!(inserted.expect("insert"), Inserted::New(gateway.clone()));
}

fn is_missing<T>(result: &Result<T, StoreError>) -> bool {
    matches!(
        result,
        Err(StoreError::NotFound {
            thing: Thing::Gateway,
            ..
        })
    )
}

pub(crate) async fn a_gateway_comes_back_as_it_went_in_and_is_its_projects(world: World) {
    let (gateways, project) = (world.store.gateways(), world.project());
    let maker = world.key();
    let keys = world.store.keys();
    keys.insert(&maker, [7; 32]).await.expect("key");
    let first = Gateway {
        created_by: Some(maker.id),
        description: None,
        ..gateway(&project, "api", at(10))
    };
    new(&world, &first).await;
    let found = gateways.get(&project, &first.id).await.expect("get");
    assert_eq!(found.as_ref(), Some(&first));
    let other = world.other_project().await.id;
    assert_eq!(gateways.get(&other, &first.id).await.expect("get"), None);
    let named = gateways.newest(&other, GatewayKind::Http, "api").await;
    assert_eq!(named.expect("find"), None);
    assert!(is_missing(&gateways.delete(&other, &first.id).await));
    let theirs = Gateway {
        project: other.clone(),
        ..first.clone()
    };
    assert_eq!(
        gateways.change(&theirs, at(20)).await.expect("no error"),
        None
    );
    let listed = gateways.list(&other, GatewayKind::Http, &all()).await;
    assert_eq!(listed.expect("list").items, []);
    gateways.delete(&project, &first.id).await.expect("deleted");
    assert!(is_missing(&gateways.delete(&project, &first.id).await));
    let nowhere = gateway(&ProjectId::generate(), "api", at(1));
    let refused = gateways.insert(&nowhere, 10, None).await;
    assert!(matches!(
        refused,
        Err(StoreError::NotFound {
            thing: Thing::Project,
            ..
        })
    ));
}

pub(crate) async fn a_gateway_is_of_one_kind_and_the_newest_has_its_name(world: World) {
    let (gateways, project) = (world.store.gateways(), world.project());
    let (old, young) = (
        gateway(&project, "api", at(1)),
        gateway(&project, "api", at(2)),
    );
    let tools = mcp(&project, "api", at(3));
    for one in [&old, &young, &tools] {
        new(&world, one).await;
    }
    for (kind, newest) in [(GatewayKind::Http, &young), (GatewayKind::Mcp, &tools)] {
        let found = gateways.newest(&project, kind, "api").await.expect("find");
        assert_eq!(found.as_ref(), Some(newest));
        let none = gateways.newest(&project, kind, "API").await.expect("find");
        assert_eq!(none, None);
    }
    let http = gateways.list(&project, GatewayKind::Http, &all()).await;
    assert_eq!(http.expect("list").items, [young.clone(), old]);
    let mcps = gateways.list(&project, GatewayKind::Mcp, &all()).await;
    assert_eq!(mcps.expect("list").items, [tools.clone()]);
    let mut other_kind = young;
    other_kind.spec.tools = tools.spec.tools;
    assert_eq!(
        gateways.change(&other_kind, at(9)).await.expect("no error"),
        None
    );
}

pub(crate) async fn a_change_of_a_gateway_that_has_changed_since_changes_nothing(world: World) {
    let (gateways, project) = (world.store.gateways(), world.project());
    let first = mcp(&project, "tools", at(10));
    new(&world, &first).await;
    let mut wish = Gateway {
        name: "other".to_owned(),
        description: None,
        ..first
    };
    wish.spec.auth = Auth::Basic;
    wish.spec.tools = Some(vec![]);
    let changed = gateways.change(&wish, at(20)).await.expect("change");
    let expected = Gateway {
        version: 2,
        updated_at: at(20),
        ..wish.clone()
    };
    assert_eq!(changed.as_ref(), Some(&expected));
    let late = gateways.change(&wish, at(30)).await.expect("no error");
    assert_eq!(late, None);
    let found = gateways.get(&project, &wish.id).await.expect("get");
    assert_eq!(found, Some(expected));
}

pub(crate) async fn a_project_has_no_more_gateways_than_its_bound(world: World) {
    let project = world.project();
    let mut racing = JoinSet::new();
    for n in 0..12 {
        let one = match n % 2 {
            0 => gateway(&project, "api", at(n)),
            _ => mcp(&project, "api", at(n)),
        };
        let store = world.store.clone();
        racing.spawn(async move { store.gateways().insert(&one, 5, None).await });
    }
    let (made, refused): (Vec<_>, Vec<_>) =
        racing.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (5, 7));
    for refusal in refused {
        assert!(matches!(
            refusal,
            Err(StoreError::QuotaExceeded {
                quota: QuotaKind::Gateways,
                used: 5,
                ..
            })
        ));
    }
}

pub(crate) async fn a_repeated_request_finds_the_first_gateway(world: World) {
    let (gateways, project) = (world.store.gateways(), world.project());
    let first = gateway(&project, "api", at(10));
    let claim = Idempotency::new(&project, None, "gateway.create", "k", [1; 32]);
    let made = gateways.insert(&first, 1, Some(&claim)).await;
    assert_eq!(made.expect("insert"), Inserted::New(first.clone()));
    let again = gateway(&project, "api", at(11));
    let replay = gateways.insert(&again, 1, Some(&claim)).await;
    assert_eq!(replay.expect("insert"), Inserted::Replay(first.clone()));
    gateways.delete(&project, &first.id).await.expect("deleted");
    let gone = gateways.insert(&again, 1, Some(&claim)).await;
    assert!(is_missing(&gone), "{gone:?}");
}

pub(crate) async fn a_secret_is_found_by_its_id_in_its_project(world: World) {
    let project = world.project();
    let put = crate::secrets::put(&world, &project, "TOKEN", b"sealed").await;
    let secret = put.expect("put").expect("a free name");
    let secrets = world.store.secrets();
    let found = secrets.by_id(&project, &secret.id).await.expect("find");
    assert_eq!(found.as_ref(), Some(&secret));
    let other = world.other_project().await.id;
    assert_eq!(secrets.by_id(&other, &secret.id).await.expect("find"), None);
    let none = secrets.by_id(&project, &SecretId::generate()).await;
    assert_eq!(none.expect("find"), None);
}
