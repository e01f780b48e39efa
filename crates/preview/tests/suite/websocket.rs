//! WebSockets through previews.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use pinfold_sdk::{Preview, PreviewAccess};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::client::raw;
use crate::world::{DOMAIN, KEY, World, until, within};

type Socket = WebSocketStream<TcpStream>;

pub(crate) async fn connect(
    world: &World,
    preview: &Preview,
    path: &str,
    host: &str,
    headers: &[(&'static str, &str)],
) -> Result<(Socket, Response), Error> {
    let url = format!("ws://{host}{path}");
    let mut request = url.into_client_request().expect("a request");
    for (name, value) in headers {
        let value = value.parse().expect("a value");
        request.headers_mut().insert(*name, value);
    }
    let stream = TcpStream::connect(world.address).await.expect("connected");
    assert!(path.contains(&preview.slug) || host.contains(&preview.slug));
    client_async(request, stream).await
}

pub(crate) async fn by_path(world: &World, preview: &Preview) -> Socket {
    let path = format!("/p/{}/ws", preview.slug);
    let bearer = format!("Bearer {KEY}");
    let headers = [("authorization", bearer.as_str())];
    let host = world.address.to_string();
    let connected = connect(world, preview, &path, &host, &headers).await;
    connected.expect("a WebSocket").0
}

pub(crate) async fn echo(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).await.expect("sent");
    let back = socket.next().await.expect("open").expect("a message");
    assert_eq!(back, Message::text(text));
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_pass_both_ways_at_both_addresses() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Authenticated).await.preview;
        let bearer = format!("Bearer {KEY}");
        let headers = [("authorization", bearer.as_str())];
        let path = format!("/p/{}/ws", preview.slug);
        let name = format!("{}.{DOMAIN}", preview.slug);
        let bare = format!("/p/{}?a=1", preview.slug);
        let by_address = world.address.to_string();
        for (path, host, target) in [
            (&*path, &by_address, "/ws"),
            (&*bare, &by_address, "/?a=1"),
            ("/ws", &name, "/ws"),
        ] {
            let connected = connect(&world, &preview, path, host, &headers).await;
            let (mut socket, answer) = connected.expect("a WebSocket");
            assert_eq!(answer.headers()["x-own"], "yes");
            assert_eq!(answer.headers()["x-target"], target);
            echo(&mut socket, "hello").await;
            let large: Vec<u8> = (0..2_000_000u32).map(|n| (n * 7) as u8).collect();
            socket
                .send(Message::binary(large.clone()))
                .await
                .expect("sent");
            let back = socket.next().await.expect("open").expect("a message");
            assert!(back.into_data() == large);
            socket.close(None).await.expect("closed");
            while let Some(Ok(_)) = socket.next().await {}
        }
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_needs_the_same_right_as_any_request() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Authenticated).await.preview;
        let path = format!("/p/{}/ws", preview.slug);
        let host = world.address.to_string();
        let refused = connect(&world, &preview, &path, &host, &[]).await;
        let Err(Error::Http(answer)) = refused else {
            panic!("no answer")
        };
        assert_eq!(answer.status(), 401);
        // What is no WebSocket is not upgraded, whatever the application says.
        let request = format!(
            "GET /p/{}/raw/unasked/upgrade HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\
             Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
            preview.slug
        );
        let answer = raw(world.address, &request, "}").await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_websocket_ends_with_its_preview_and_with_its_sandbox() {
    let world = World::with_application().await;
    within(async {
        let previews = world.client.previews();
        let first = world.preview(PreviewAccess::Authenticated).await.preview;
        let mut socket = by_path(&world, &first).await;
        echo(&mut socket, "hello").await;
        previews.revoke(&first.id).await.expect("revoked");
        while let Some(Ok(_)) = socket.next().await {}

        let second = world.preview(PreviewAccess::Authenticated).await.preview;
        assert_ne!(second.slug, first.slug);
        let mut socket = by_path(&world, &second).await;
        echo(&mut socket, "hello").await;
        world
            .client
            .sandboxes()
            .destroy(&world.sandbox)
            .await
            .expect("destroyed");
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_websocket_keeps_its_sandbox_from_being_idle() {
    let world = World::with_application().await;
    within(async {
        let preview = world.preview(PreviewAccess::Authenticated).await.preview;
        let mut socket = by_path(&world, &preview).await;
        echo(&mut socket, "hello").await;
        let active = || async {
            let sandbox = world.client.sandboxes().get(&world.sandbox).await;
            sandbox.expect("there").last_active_at
        };
        // While it is in use, its last use is now, whenever that is asked.
        let (one, other) = (active().await, active().await);
        assert!(other > one);
        drop(socket);
        // The application's own command is a use too.
        let commands = world.client.commands();
        let query = pinfold_sdk::ListCommands::default();
        let running = commands.list(&world.sandbox, &query).await.expect("a list");
        for command in running.items {
            let mode = pinfold_sdk::CancelMode::Force;
            let _ = commands.cancel(&command.id, mode).await;
        }
        until(|| async {
            let one = active().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            active().await == one
        })
        .await;
    })
    .await;
    world.end().await;
}
