//! Gateways: whose they are, and what a sandbox that has some is.

use std::sync::Arc;

use pinfold_engine::{
    CreateSandbox, EngineConfig, MasterKey, PutGateway, PutHeader, PutValue, SecretsKey,
    SystemClock, WantedGateway,
};
use pinfold_model::gateway::Auth;
use pinfold_model::{
    Code, Ctx, Gateway, GatewayId, GatewayKind, Level, NetworkMode, ProjectId, Resource, Scopes,
    SecretValue,
};

use super::place::{Life, Place, small};

const HTTP: GatewayKind = GatewayKind::Http;

fn put(name: &str) -> PutGateway {
    PutGateway {
        name: name.to_owned(),
        description: None,
        endpoint: "https://api.example.com".parse().expect("an endpoint"),
        auth: Auth::Bearer,
        headers: vec![],
        tools: None,
    }
}

fn with(gateway: &str, secret: &str) -> CreateSandbox {
    CreateSandbox {
        gateways: vec![WantedGateway {
            kind: HTTP,
            gateway: gateway.to_owned(),
            secret: secret.to_owned(),
            token_variable: "API".to_owned(),
            url_variable: "API_URL".to_owned(),
        }],
        ..small()
    }
}

async fn made(life: &Life, name: &str) -> Gateway {
    let made = life.engine.create_gateway(&life.ctx, put(name), None);
    made.await.expect("a gateway").value
}

/// An engine that keeps secrets.
fn keeping(place: &Place) -> Life {
    let config = EngineConfig {
        secrets_key: SecretsKey::Given(MasterKey::generate()),
        ..EngineConfig::default()
    };
    place.live_with(config, Arc::new(SystemClock))
}

async fn secret(life: &Life) {
    let value = SecretValue::new("v".to_owned()).expect("valid");
    let put = life.engine.put_secret(&life.ctx, "TOKEN", value);
    put.await.expect("a secret");
}

#[test]
fn a_gateway_is_its_projects_and_of_use_to_keys_that_may_use_secrets() {
    let place = Place::with_kept_disks();
    let life = keeping(&place);
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        secret(&life).await;
        let api = made(&life, "api").await;
        let mut stranger: Ctx = ctx.clone();
        stranger.principal.project = ProjectId::generate();
        let (id, none) = (&api.id, Code::GatewayNotFound);
        let seen = engine.get_gateway(&stranger, HTTP, id).await;
        assert_eq!(seen.expect_err("no").code(), none);
        let changed = engine.change_gateway(&stranger, HTTP, id, Ok).await;
        assert_eq!(changed.expect_err("no").code(), none);
        let deleted = engine.delete_gateway(&stranger, HTTP, id).await;
        assert_eq!(deleted.expect_err("no").code(), none);
        // Of another kind, it is not there either.
        let other = engine.delete_gateway(ctx, GatewayKind::Mcp, id).await;
        assert_eq!(other.expect_err("no").code(), none);
        for gateway in ["nothing", GatewayId::generate().as_str()] {
            let refused = engine
                .create_sandbox(ctx, with(gateway, "TOKEN"), None)
                .await;
            assert_eq!(refused.expect_err("no").code(), none);
        }
        let refused = engine.create_sandbox(ctx, with("api", "NONE"), None).await;
        assert_eq!(refused.expect_err("no").code(), Code::SecretNotFound);
        let mut header = put("header");
        header.headers.push(PutHeader {
            name: "x-a".to_owned(),
            value: PutValue::Secret("NONE".to_owned()),
        });
        let refused = engine.create_gateway(ctx, header, None).await;
        assert_eq!(refused.expect_err("no").code(), Code::SecretNotFound);

        let mut confined: Ctx = ctx.clone();
        confined.principal.scopes = Scopes::Only([(Resource::Sandboxes, Level::Write)].into());
        let refused = engine
            .create_sandbox(&confined, with("api", "TOKEN"), None)
            .await;
        assert_eq!(refused.expect_err("no").code(), Code::PermissionDenied);
        let refused = engine.create_gateway(&confined, put("theirs"), None).await;
        assert_eq!(refused.expect_err("no").code(), Code::PermissionDenied);
        let bare = life.create(small()).await.id;
        let token = engine.create_gateway_token(&confined, &bare, HTTP, "api", "TOKEN");
        let refused = token.await;
        assert_eq!(refused.expect_err("no").code(), Code::PermissionDenied);
        engine.destroy_sandbox(ctx, &bare).await.expect("destroyed");

        let first = engine.create_gateway(ctx, put("once"), Some("k")).await;
        let again = engine.create_gateway(ctx, put("once"), Some("k")).await;
        assert_eq!(first.expect("made").value, again.expect("the same").value);
        let conflict = engine.create_gateway(ctx, put("other"), Some("k")).await;
        assert_eq!(conflict.expect_err("no").code(), Code::IdempotencyConflict);
    });
    life.clean_up(&place);
}

#[test]
fn a_sandbox_with_gateways_reaches_them_and_what_it_did_before() {
    let place = Place::with_kept_disks();
    let life = keeping(&place);
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        secret(&life).await;
        made(&life, "api").await;
        let rules = |network: Option<NetworkMode>| {
            let request = CreateSandbox {
                network,
                ..with("api", "TOKEN")
            };
            async {
                let sandbox = life.create(request).await;
                let spec = sandbox.spec;
                assert_eq!(spec.network, NetworkMode::Policy);
                // The token is in no record that shows itself.
                assert!(!format!("{spec:?}").contains("gws_"));
                engine
                    .destroy_sandbox(ctx, &sandbox.id)
                    .await
                    .expect("destroyed");
                let allow = spec.network_policy.allow.iter();
                allow.map(ToString::to_string).collect::<Vec<_>>()
            }
        };
        assert_eq!(rules(None).await, ["gateway.pinfold.internal"]);
        assert_eq!(
            rules(Some(NetworkMode::None)).await,
            ["gateway.pinfold.internal"]
        );
        assert_eq!(rules(Some(NetworkMode::Open)).await, ["*", "0.0.0.0/0"]);
    });
    life.clean_up(&place);
}
