//! Mutual TLS for an axum server: keys and trust that change while it runs, and only clients that a policy knows.

use axum::{Router, routing::get};
use renewd_sample_api::{Caller, MutualTls, Settings};
use tokio::net::TcpListener;

async fn hello(caller: Caller) -> String {
    format!("hello, {}\n", caller.name())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut settings = Settings::new("/var/lib/renewd/certs/api");
    settings.policy = Some("/etc/my-service/policy.toml".into());
    let mtls = MutualTls::open(settings)?;

    let app = Router::new().route("/", get(hello));
    let listener = TcpListener::bind("0.0.0.0:8443").await?;
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    let drained = mtls.serve(vec![listener], app, stop).await;
    println!(
        "{} connections ended, {} were cut",
        drained.open, drained.forced
    );
    Ok(())
}
