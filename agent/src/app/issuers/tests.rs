//! What a kind of issuers that is one module and one line is given by the rest.

use std::fs;

use renewd_core::leaf::Fingerprint;
use renewd_core::pem;
use renewd_core::request::{KeyType, Request, Usages};

use super::*;
use crate::config::{AnyAccounts, Environment, ErrorKind, Loaded, Texts, load_texts};
use crate::issuer::kind::Kinds;
use crate::issuer::{self, Order, Retry, Sent};
use crate::kinds::KINDS;

/// The line is the second one.
const WITH_THE_EXAMPLE: Kinds = Kinds::of(&[&issuer::local::KIND, &issuer::example::KIND]);

fn load(kinds: Kinds, main: &str) -> Loaded {
    let texts = Texts {
        main: Some(main.to_owned()),
        certificates: [("web".parse().unwrap(), "names = [\"a.test\"]\n".to_owned())].into(),
    };
    let environment = Environment::new("host.test", "", AnyAccounts, kinds);
    load_texts(Path::new("/etc/renewd"), &texts, &environment)
}

fn main_file(tray: &Path) -> String {
    let tray = tray.display();
    format!("[issuer.clerk]\ntype = \"hand\"\ntray = \"{tray}\"\n")
}

fn concrete(state: &Path) -> ConcreteIssuers {
    ConcreteIssuers {
        state: state.to_owned(),
        secrets: Secrets::default(),
        challenges: Arc::default(),
        runtime: state.join("run"),
    }
}

#[test]
fn one_module_and_one_line_are_all_that_the_configuration_needs_of_a_kind() {
    let text = main_file(Path::new("/srv/tray"));
    let loaded = load(WITH_THE_EXAMPLE, &text);
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    assert_eq!(loaded.settings.certificates.len(), 1);
    let issuer = loaded.settings.issuers.values().next().unwrap();
    assert_eq!(issuer.kind.name, "hand");

    // Without its line there is no such kind.
    let unknown = load(KINDS, &text);
    let told: Vec<_> = unknown.errors.iter().map(|error| &*error.field).collect();
    assert_eq!(told, ["issuer.clerk.type"]);

    // Its keys are judged and known to be its own, its name is suggested, and its own errors have their line.
    for (from, to, field, kind, words) in [
        (
            "\"hand\"",
            "\"hnad\"",
            "issuer.clerk.type",
            ErrorKind::Value,
            "expected \"local\" or \"hand\"; did you mean \"hand\"?",
        ),
        (
            "tray",
            "try",
            "issuer.clerk.try",
            ErrorKind::UnknownKey,
            "did you mean \"tray\"?",
        ),
        (
            "tray",
            "directory",
            "issuer.clerk.directory",
            ErrorKind::UnknownKey,
            "the key is called \"tray\" here",
        ),
        (
            "\"hand\"",
            "\"local\"",
            "issuer.clerk.tray",
            ErrorKind::UnknownKey,
            "write it below an [issuer.NAME] with type = \"hand\"",
        ),
        (
            "\"/srv/tray\"",
            "\"tray\"",
            "issuer.clerk.tray",
            ErrorKind::Value,
            "renewd.toml:3: issuer.clerk.tray: \"tray\" is no absolute path",
        ),
    ] {
        let loaded = load(WITH_THE_EXAMPLE, &text.replacen(from, to, 1));
        let error = loaded.errors.iter().find(|error| error.field == field);
        let error = error.unwrap_or_else(|| panic!("{to}: {:?}", loaded.errors));
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(loaded.settings.issuers.is_empty());
    }
}

#[test]
fn a_reload_sees_whether_the_settings_of_a_kind_changed() {
    let text = main_file(Path::new("/srv/tray"));
    let settings = |text: &str| load(WITH_THE_EXAMPLE, text).settings;
    let before = settings(&text);
    assert_eq!(before, settings(&format!("# moved\n{text}")));
    assert_ne!(before, settings(&text.replace("/srv/tray", "/srv/other")));
    // Another kind is another issuer, whatever it is called.
    let local = settings("[issuer.clerk]\ntype = \"local\"\n");
    assert_ne!(before.issuers, local.issuers);
}

#[test]
fn the_composition_makes_an_issuer_of_a_kind_that_it_does_not_know() {
    let directory = tempfile::tempdir().unwrap();
    let tray = directory.path();
    let loaded = load(WITH_THE_EXAMPLE, &main_file(tray));
    let settings = loaded.settings.issuers.values().next().unwrap();
    let concrete = concrete(tray);
    let issuer = concrete.make(settings);
    let no_root = concrete.root_pem(settings).unwrap_err();
    assert!(
        no_root.starts_with("the issuer clerk keeps no root here; "),
        "{no_root}"
    );

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let certificate = rcgen::generate_simple_self_signed(["a.test".to_owned()])
            .unwrap()
            .cert;
        let text = pem::certificates(&[certificate.der().clone()]);
        fs::write(tray.join("roots.pem"), &text).unwrap();
        assert_eq!(issuer.anchors().await.unwrap(), [certificate.der().clone()]);

        let request = Request {
            issuer: settings.name.clone(),
            directory: None,
            names: ["a.test".parse().unwrap()].into(),
            lifetime: std::time::Duration::from_secs(3600),
            key_type: KeyType::default(),
            usages: Usages {
                server: true,
                client: true,
            },
        };
        let order = Order {
            certificate: &"web".parse().unwrap(),
            request: &request,
            csr: b"a request",
            replaces: None,
            identity: None,
        };
        let error = issuer.issue(order).await.unwrap_err();
        assert_eq!((error.retry(), error.sent()), (Retry::BackOff, Sent::Open));
        let digest = Fingerprint::of(order.csr);
        assert_eq!(
            fs::read(tray.join(format!("{digest}.csr"))).unwrap(),
            order.csr
        );
        fs::write(tray.join(format!("{digest}.pem")), &text).unwrap();
        assert_eq!(issuer.issue(order).await.unwrap().leaf, *certificate.der());
    });
}
