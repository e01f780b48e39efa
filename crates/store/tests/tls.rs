//! PostgreSQL over TLS, as the URL asks for it: `sslmode` and `sslrootcert` (libpq, 34.19).

#[path = "repositories/postgres.rs"]
mod postgres;

use std::net::TcpListener;

use pinfold_store::{Store, StoreError};

async fn open(port: u16, host: &str, options: &str) -> Result<(), StoreError> {
    let url = format!("postgres://postgres@{host}:{port}/postgres?{options}");
    let store = Store::connect_postgres(&url).await?;
    store.check_statements().await?;
    store.close().await;
    Ok(())
}

#[tokio::test]
async fn the_url_says_how_much_the_server_has_to_prove() {
    // Free a moment ago; PostgreSQL takes no descriptor and tells no port of its own choice.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let port = port.expect("a port").port();
    let server = tokio::task::spawn_blocking(move || postgres::Server::with_tls(port)).await;
    let server = server.expect("started");
    let trusted = format!("sslrootcert={}", server.authority().display());

    // The server takes nothing in the clear, so what works is encrypted.
    open(port, "127.0.0.1", "sslmode=disable")
        .await
        .expect_err("in the clear");
    open(port, "127.0.0.1", "sslmode=require")
        .await
        .expect("any certificate");
    open(port, "127.0.0.1", "")
        .await
        .expect("TLS where it is offered");

    open(port, "localhost", "sslmode=verify-full")
        .await
        .expect_err("an unknown authority");
    let verified = format!("sslmode=verify-full&{trusted}");
    open(port, "localhost", &verified)
        .await
        .expect("known, and the right name");
    open(port, "127.0.0.1", &verified)
        .await
        .expect_err("another name");
    let authority = format!("sslmode=verify-ca&{trusted}");
    open(port, "127.0.0.1", &authority)
        .await
        .expect("known, whatever its name");
}
