//! Revocation lists: where they are found, and what is refused.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use renewd_sample_api::keys::{Keys, LoadError, Source};
use renewd_sample_api::metrics::{Handshake, Part, Reload};
use renewd_sample_api::tls::Choices;
use renewd_store::reader::ReadError;
use rustls::HandshakeKind;
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;

use crate::client::{Client, Http, health, plain, unresumed};
use crate::site::{Authority, Pair, Running, Site, WEB};

async fn is_served(site: &Site, running: &Running, pair: &Pair) -> bool {
    match Client::connect(
        running.address,
        unresumed(&site.authority, Some(pair), Http::One),
    )
    .await
    {
        Err(_) => false,
        Ok(mut client) => client
            .ask("/")
            .await
            .is_ok_and(|(head, _)| head.status() == 200),
    }
}

#[tokio::test]
async fn lists_that_cannot_be_relied_on_are_refused_and_the_old_ones_stay() {
    let site = Site::empty();
    let (good, bad) = (site.authority.client(&[WEB]), site.authority.client(&[WEB]));
    site.publish_lists(1, &site.authority.server(), &site.authority.lists(&[&bad]));
    let running = Running::start(&site).await;
    let (now, minute) = (SystemTime::now(), Duration::from_secs(60));
    let sound = site.authority.lists(&[]);
    let cases = [
        (
            "of tomorrow",
            site.authority
                .lists_of(&[], now + minute * 60, now + minute * 90),
            "not now",
        ),
        ("empty", String::new(), "holds no revocation list"),
        (
            "a certificate",
            site.authority.bundle(),
            "holds no revocation list",
        ),
        ("truncated", sound[..sound.len() / 4].to_owned(), "crl.pem"),
        (
            "garbage",
            "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n".to_owned(),
            "cannot be parsed",
        ),
    ];
    for (generation, (case, lists, reason)) in (2..).zip(cases) {
        site.publish_lists(generation, &site.authority.server(), &lists);
        let refusal = running.mtls.reload().await.expect_err(case).to_string();
        assert!(
            refusal.contains(&format!("generation {generation} refused")),
            "{case}: {refusal}"
        );
        assert!(refusal.contains(reason), "{case}: {refusal}");
        assert_eq!(running.keys.served().generation, 1, "{case}");
    }
    assert!(
        running
            .mtls
            .metrics()
            .reloads(Part::Certificate, Reload::Refused)
            >= 5
    );
    assert!(is_served(&site, &running, &good).await);
    assert!(!is_served(&site, &running, &bad).await);
}

#[tokio::test]
async fn a_list_that_has_ended_keeps_no_new_key_waiting_and_lets_nobody_in() {
    let site = Site::empty();
    let good = site.authority.client(&[WEB]);
    site.publish_lists(1, &site.authority.server(), &site.authority.lists(&[]));
    let running = Running::start(&site).await;
    assert!(is_served(&site, &running, &good).await);
    let (now, minute) = (SystemTime::now(), Duration::from_secs(60));
    let ended = site.authority.lists_of(&[], now - 3 * minute, now - minute);
    site.publish_lists(2, &site.authority.server(), &ended);
    running.mtls.reload().await.expect("a new key");
    assert_eq!(running.keys.served().generation, 2);
    assert!(!is_served(&site, &running, &good).await);
    site.publish_lists(3, &site.authority.server(), &site.authority.lists(&[]));
    running.mtls.reload().await.expect("a newer list");
    assert!(is_served(&site, &running, &good).await);
}

#[tokio::test]
async fn lists_of_cas_that_nobody_knows_here_come_with_a_generation_and_count_for_nobody_else() {
    let site = Site::empty();
    let (good, bad) = (site.authority.client(&[WEB]), site.authority.client(&[WEB]));
    let (other, namesake) = (
        Authority::named("other").lists(&[]),
        Authority::new().lists(&[&good]),
    );
    let lists = [
        namesake.clone(),
        site.authority.lists(&[&bad]),
        other.clone(),
    ]
    .concat();
    site.publish_lists(1, &site.authority.server(), &lists);
    let running = Running::start(&site).await;
    assert!(is_served(&site, &running, &good).await);
    assert!(!is_served(&site, &running, &bad).await);

    // What somebody wrote into the settings is another matter: a slip there lets in whom the right list names.
    for (list, reason) in [
        (other, "neither in ca.pem nor in the chain"),
        (namesake, "not signed by the CA that it names"),
    ] {
        let path = site.path().join("own.pem");
        fs::write(&path, list).unwrap();
        let found = renewd_sample_api::crl::find(None, Some(&path)).unwrap();
        let cas = site.authority.bundle() + &site.authority.issuing().chain;
        let cas = rustls_pki_types::CertificateDer::pem_slice_iter(cas.as_bytes());
        let cas: Vec<_> = cas.map(Result::unwrap).collect();
        let cas: Vec<_> = cas
            .iter()
            .map(|ca| x509_parser::parse_x509_certificate(ca).unwrap().1)
            .collect();
        let refused = renewd_sample_api::crl::check(&found, &cas, SystemTime::now());
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
}

#[tokio::test]
async fn a_directory_of_lists_is_followed_in_pem_and_der() {
    let site = Site::new();
    let lists = site.path().join("crl");
    fs::create_dir(&lists).unwrap();
    let (one, two) = (site.authority.client(&[WEB]), site.authority.client(&[WEB]));
    let write = |revoked: &[&Pair], der: bool| {
        let pem = site.authority.lists(revoked);
        let ders = CertificateRevocationListDer::pem_slice_iter(pem.as_bytes());
        match der {
            true => {
                for (index, der) in ders.enumerate() {
                    fs::write(lists.join(format!("{index}.new")), der.unwrap()).unwrap();
                    fs::rename(
                        lists.join(format!("{index}.new")),
                        lists.join(format!("{index}.der")),
                    )
                    .unwrap();
                }
            }
            false => fs::write(lists.join("all.pem"), pem).unwrap(),
        }
    };
    let running = Running::start_as(&site, |settings| settings.crl = Some(lists.clone())).await;
    assert!(is_served(&site, &running, &one).await);

    write(&[&one], false);
    running
        .until("the list is in use", |mtls| {
            mtls.keys().served().trust.lists() == 2
        })
        .await;
    assert!(!is_served(&site, &running, &one).await);
    assert!(is_served(&site, &running, &two).await);

    fs::remove_file(lists.join("all.pem")).unwrap();
    running
        .until("it is not", |mtls| mtls.keys().served().trust.lists() == 0)
        .await;
    write(&[&two], true);
    running
        .until("two in DER", |mtls| mtls.keys().served().trust.lists() == 2)
        .await;
    assert!(is_served(&site, &running, &one).await);
    assert!(!is_served(&site, &running, &two).await);
}

#[tokio::test]
async fn of_a_ca_without_a_list_nobody_gets_in_unless_a_setting_says_so() {
    let site = Site::empty();
    let other = Authority::named("other");
    let both = site.authority.bundle() + &other.bundle();
    site.publish_with(1, &site.authority.server(), &both);
    let file = site.path().join("lists.pem");
    fs::write(&file, site.authority.lists(&[])).unwrap();
    for accept in [false, true] {
        let running = Running::start_as(&site, |settings| {
            settings.crl = Some(file.clone());
            settings.choices.rules.accept_unknown_revocation = accept;
        })
        .await;
        assert!(is_served(&site, &running, &site.authority.client(&[WEB])).await);
        assert_eq!(
            is_served(&site, &running, &other.client(&[WEB])).await,
            accept
        );
        let unknown = running
            .mtls
            .metrics()
            .handshakes(Handshake::RevocationUnknown);
        assert_eq!(unknown, u64::from(!accept));
        fs::remove_file(site.path().join("admin.sock")).unwrap();
    }
}

#[tokio::test]
async fn with_a_list_that_has_ended_nobody_new_gets_in_and_readiness_says_so() {
    let site = Site::empty();
    let now = SystemTime::now();
    let until = now + Duration::from_secs(3);
    site.publish_lists(
        1,
        &site.authority.server(),
        &site.authority.lists_of(&[], now, until),
    );
    let running = Running::start(&site).await;
    let client = site.authority.client(&[WEB]);
    // Its ticket must not go on where a handshake would not.
    let config = crate::client::settings(&site.authority, Some(&client), Http::One);
    let mut open = Client::connect(running.address, config.clone())
        .await
        .unwrap();
    open.ask("/").await.unwrap();
    assert_eq!(plain(running.health, "/readyz").await.0.status(), 200);

    running
        .until("the list has ended", |mtls| {
            mtls.ready(SystemTime::now()).is_err()
        })
        .await;
    let (head, body) = plain(running.health, "/readyz").await;
    assert_eq!(head.status(), 503);
    assert!(body.contains("revocation list expired"), "{body}");
    assert_eq!(health(running.health).await.0, 200);
    running
        .until("a second more", |_| {
            SystemTime::now() > until + Duration::from_secs(1)
        })
        .await;
    assert!(!is_served(&site, &running, &client).await);
    let resumed = match Client::connect(running.address, config).await {
        Err(_) => false,
        Ok(mut client) => client.ask("/").await.is_ok(),
    };
    assert!(!resumed);
    // Nothing new is known of those who are in.
    assert_eq!(open.ask("/").await.unwrap().0.status(), 200);
}

/// Generations that come and go faster than any writer of ours makes them.
#[test]
fn no_generation_is_ever_taken_up_without_its_lists() {
    let site = Site::empty();
    let (pair, lists) = (site.authority.server(), site.authority.lists(&[]));
    site.publish_lists(1, &pair, &lists);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut generation = 1;
            while !done.load(Relaxed) {
                site.publish_lists(generation + 1, &pair, &lists);
                let old = site.directory().join(format!(".{generation}"));
                fs::remove_dir_all(old).unwrap();
                generation += 1;
            }
        });
        let (mut whole, mut without) = (0, 0);
        for _ in 0..1_500 {
            let source = Source {
                directory: site.directory(),
                crl: None,
                choices: Choices::default(),
            };
            // Whoever loses every race has read nothing, and says so.
            match Keys::open(source) {
                Ok(keys) if keys.served().trust.lists() == 2 => whole += 1,
                Ok(_) => without += 1,
                Err(LoadError::Read(ReadError::Restless { .. })) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        done.store(true, Relaxed);
        assert!(without == 0 && whole > 300, "{without} {whole}");
    });
}

#[tokio::test]
async fn the_same_lists_in_another_generation_are_the_same_trust() {
    let site = Site::empty();
    let lists = site.authority.lists(&[]);
    site.publish_lists(1, &site.authority.server(), &lists);
    let running = Running::start(&site).await;
    let client = site.authority.client(&[WEB]);
    let config = crate::client::settings(&site.authority, Some(&client), Http::One);
    for (generation, kind) in [(1, HandshakeKind::Full), (2, HandshakeKind::Resumed)] {
        if generation > 1 {
            site.publish_lists(generation, &site.authority.server(), &lists);
        }
        running.serves(generation).await;
        let mut client = Client::connect(running.address, config.clone())
            .await
            .unwrap();
        client.ask("/").await.unwrap();
        assert_eq!(client.kind, kind, "{generation}");
    }
}
