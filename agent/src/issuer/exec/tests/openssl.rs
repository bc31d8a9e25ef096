//! A real CA, by the script that the documentation shows.

use std::process::Command;

use renewd_core::accept::{Accepted, accept};

use super::*;

const CA: &str = r#"
cd "$1"
make() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$1.key" -out "$1.pem" "${@:2}"; }
make root
make ca -CA root.pem -CAkey root.key -addext basicConstraints=critical,CA:TRUE,pathlen:0
mkdir issued
touch index.txt
"#;

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/issuers/exec")
        .join(name)
}

fn world() -> World {
    let mut world = World::new(CA);
    let script = world.path("script");
    let made = Command::new("bash")
        .args(["-euc", CA, "ca"])
        .arg(world.path(""))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    fs::copy(docs("ca.cnf"), world.path("ca.cnf")).unwrap();
    // Run by its shell: another test may be forking while it is copied.
    fs::copy(docs("openssl-ca"), script).unwrap();
    fs::rename(world.path("root.pem"), world.path("roots.pem")).unwrap();
    world.settings.program.timeout = Duration::from_secs(30);
    world
}

async fn accepted(world: &World) -> Accepted {
    let issuer = world.issuer();
    let anchors = issuer.anchors().await.unwrap();
    let answer = world.ask(&issuer).await.unwrap();
    let now = jiff::Timestamp::now();
    let accepted = accept(
        &world.request,
        &world.key.fingerprint(),
        &answer,
        &anchors,
        now,
    )
    .unwrap();
    fs::write(
        world.path("leaf"),
        renewd_core::pem::certificate(&accepted.leaf),
    )
    .unwrap();
    for purpose in ["sslserver", "sslclient"] {
        let verified = Command::new("openssl")
            .args(["verify", "-x509_strict", "-purpose", purpose, "-CAfile"])
            .args([
                world.path("roots.pem"),
                "-untrusted".into(),
                world.path("ca.pem"),
            ])
            .arg(world.path("leaf"))
            .output()
            .unwrap();
        assert!(verified.status.success(), "{verified:?}");
    }
    accepted
}

#[tokio::test]
async fn openssl_ca_issues_and_renews() {
    let mut world = world();
    let first = accepted(&world).await;
    assert_eq!(first.warnings, []);
    world.key = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
    let second = accepted(&world).await;
    assert_ne!(first.facts.serial, second.facts.serial);
    assert_eq!(world.read("index.txt").lines().count(), 2);
}

#[tokio::test]
async fn the_script_refuses_what_it_may_not_certify() {
    let mut world = world();
    for name in [
        "a.example.org",
        "example.internal.org",
        "10.0.0.1",
        "spiffe://td/x",
    ] {
        world.request.names = vec![name.parse().unwrap()];
        let error = world.fails().await;
        assert_eq!(error.retry(), Retry::Operator, "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert_eq!(world.read("index.txt"), "");
    fs::remove_file(world.path("ca.key")).unwrap();
    world.request.names = vec!["example.internal".parse().unwrap()];
    assert_eq!(world.fails().await.label(), "exec-failed");
}
