//! OCSP responses: sent while they are good, and never worth a rotation.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use renewd_sample_api::metrics::{Part, Reload};
use renewd_sample_api::staple::{StapleError, Stapled, check};
use renewd_sample_api::tls;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::client::plain;
use crate::command::{Ended, Program, Said};
use crate::site::{Authority, Pair, Running, Site};

const DAY: [&str; 2] = ["-ndays", "1"];

/// What `openssl ocsp` answers about a certificate of that CA.
fn response(
    authority: &Authority,
    pair: &Pair,
    signer: &Pair,
    state: &str,
    arguments: &[&str],
) -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let issuing = file("issuing.pem", &authority.issuing().chain);
    let line = format!("{state}\t{:08X}\tunknown\t/CN=leaf\n", pair.serial);
    let output = Command::new("openssl")
        .arg("ocsp")
        .arg("-index")
        .arg(file("index", &line))
        .arg("-CA")
        .arg(&issuing)
        .arg("-issuer")
        .arg(&issuing)
        .arg("-rsigner")
        .arg(file("signer.pem", &signer.chain))
        .arg("-rkey")
        .arg(file("signer-key.pem", &signer.key))
        .arg("-cert")
        .arg(file("leaf.pem", &pair.chain))
        .args(["-no_nonce", "-respout"])
        .arg(place.path().join("ocsp.der"))
        .args(arguments)
        .output()
        .expect("openssl is installed");
    fs::read(place.path().join("ocsp.der"))
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

const GOOD: &str = "V\t350101000000Z\t";
const REVOKED: &str = "R\t350101000000Z\t250101000000Z";

pub(crate) fn good(authority: &Authority, pair: &Pair) -> Vec<u8> {
    response(authority, pair, &authority.issuing(), GOOD, &DAY)
}

/// What `openssl s_client -status` says of the handshake.
fn shown(running: &Running, more: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-status", "-servername", "localhost"])
        .args(["-connect", &running.address.to_string()])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn is_stapled(running: &Running) -> bool {
    let said = tokio::task::block_in_place(|| shown(running, &[]));
    let sent = said.contains("OCSP Response Status: successful (0x0)");
    assert_ne!(
        sent,
        said.contains("OCSP response: no response sent"),
        "{said}"
    );
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn the_response_of_a_generation_is_sent_with_it_and_not_with_the_next() {
    let site = Site::new();
    let running = Running::start_as(&site, |settings| settings.choices.tls12 = true).await;
    assert!(!is_stapled(&running));
    let pair = site.authority.server();
    site.publish_stapled(2, &pair, &good(&site.authority, &pair));
    running.serves(2).await;
    for version in ["-tls1_3", "-tls1_2"] {
        let said = tokio::task::block_in_place(|| shown(&running, &[version]));
        for part in [
            "Cert Status: good",
            &format!("Serial Number: {:08X}", pair.serial),
        ] {
            assert!(said.contains(part), "{version} {part}: {said}");
        }
    }
    let metrics = plain(running.health, "/metrics").await.1;
    assert!(
        metrics.contains("sample_api_ocsp_next_update_seconds "),
        "{metrics}"
    );

    // By a responder to which the CA gave a certificate for that.
    let pair = site.authority.server();
    let responder = site.authority.sign(
        &["ocsp.example"],
        rcgen::ExtendedKeyUsagePurpose::OcspSigning,
        SystemTime::now() + Duration::from_secs(3600),
    );
    let delegated = response(&site.authority, &pair, &responder, GOOD, &DAY);
    site.publish_stapled(3, &pair, &delegated);
    running.serves(3).await;
    assert!(is_stapled(&running));

    site.publish(4, &site.authority.server());
    running.serves(4).await;
    assert!(!is_stapled(&running));
    let metrics = plain(running.health, "/metrics").await.1;
    assert!(
        !metrics.contains("sample_api_ocsp_next_update"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_response_is_not_sent_and_costs_no_rotation() {
    let site = Site::new();
    let running = Running::start(&site).await;
    let ours = &site.authority;
    let issuing = ours.issuing();
    let not_for_that = ours.server();
    let made = |signer: &Pair, state: &str, arguments: &[&str]| {
        let (pair, signer, state) = (ours.server(), signer.clone(), state.to_owned());
        let response = response(ours, &pair, &signer, &state, arguments);
        (pair, response)
    };
    let cases = [
        (
            "cannot",
            (ours.server(), b"no response".to_vec()),
            "no OCSP response in DER",
        ),
        (
            "empty",
            (ours.server(), Vec::new()),
            "no OCSP response in DER",
        ),
        (
            "error",
            (ours.server(), vec![0x30, 3, 0x0a, 1, 3]),
            "a responder's error",
        ),
        (
            "large",
            (ours.server(), vec![0x30; 20_000]),
            "larger than 16384",
        ),
        (
            "another",
            (ours.server(), good(ours, &ours.server())),
            "another certificate",
        ),
        (
            "by anybody",
            made(&not_for_that, GOOD, &DAY),
            "neither by the certificate's issuer",
        ),
        ("revoked", made(&issuing, REVOKED, &DAY), "REVOKED"),
        ("endless", made(&issuing, GOOD, &[]), "no nextUpdate"),
    ];
    for (generation, (case, (pair, response), reason)) in (2..).zip(cases) {
        site.publish_stapled(generation, &pair, &response);
        let served = running.serves(generation).await;
        let error = served.staple.as_ref().expect_err(case).to_string();
        assert!(error.contains(reason), "{case}: {error}");
        assert!(!is_stapled(&running), "{case}");
    }
    // Nor does one that cannot even be read.
    let directory = site.directory().join(".20");
    let aside = Site::of(site.authority.clone());
    aside.publish(20, &ours.server());
    fs::rename(aside.directory().join(".20"), &directory).unwrap();
    fs::create_dir(directory.join("ocsp.der")).unwrap();
    site.point(20);
    let served = running.serves(20).await;
    assert!(matches!(served.staple, Err(StapleError::Unreadable(_))));
    let metrics = running.mtls.metrics();
    assert_eq!(metrics.reloads(Part::Certificate, Reload::Refused), 0);
}

#[test]
fn a_bad_response_is_complained_of_once() {
    let site = Site::empty();
    let program = Program::new(&site, "");
    site.publish_stapled(1, &site.authority.server(), b"no response");
    let said = Said(site.path().join("stderr"));
    let serve = program
        .command("serve")
        .stderr(fs::File::create(&said.0).unwrap())
        .spawn();
    let _ended = Ended(serve.unwrap());
    said.line(" ready");
    for _ in 0..2 {
        assert!(
            program
                .command("reload")
                .stdout(Stdio::null())
                .status()
                .unwrap()
                .success()
        );
    }
    let text = fs::read_to_string(&said.0).unwrap();
    let lines = text
        .lines()
        .filter(|line| line.contains("no OCSP response is sent"));
    assert_eq!(lines.count(), 1, "{text}");
}

fn ders(pair: &Pair) -> Vec<CertificateDer<'static>> {
    let chain = CertificateDer::pem_slice_iter(pair.chain.as_bytes());
    chain.map(Result::unwrap).collect()
}

#[test]
fn a_response_that_ends_while_it_is_served_is_no_longer_sent() {
    let authority = Authority::new();
    let pair = authority.server();
    let chain = ders(&pair);
    let parsed: Vec<_> = chain
        .iter()
        .map(|der| X509Certificate::from_der(der).unwrap().1)
        .collect();
    let der = good(&authority, &pair);
    let (now, second) = (SystemTime::now(), Duration::from_secs(1));
    let until = check(&der, &parsed, &[], now).unwrap();
    let from = until - Duration::from_secs(24 * 3600);
    assert!(from <= now && now < until);
    for (clock, good) in [
        (from - second, false),
        (from, true),
        (until, true),
        (until + second, false),
    ] {
        let checked = check(&der, &parsed, &[], clock);
        match good {
            true => assert_eq!(checked.unwrap(), until),
            false => assert!(matches!(checked, Err(StapleError::NotValid { .. }))),
        }
    }
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let key = CertifiedKey::from_der(chain.clone(), key, &tls::provider()).unwrap();
    let stapled = Stapled::new(key, der.clone(), until);
    assert_eq!(stapled.at(now).ocsp, Some(der.clone()));
    assert_eq!(stapled.at(until).ocsp, Some(der));
    for _ in 0..2 {
        assert_eq!(stapled.at(until + second).ocsp, None);
        assert_eq!(stapled.at(until + second).cert, chain);
    }
}

#[test]
fn no_part_of_a_response_can_be_cut_or_changed() {
    let authority = Authority::new();
    let pair = authority.server();
    let chain = ders(&pair);
    let parsed: Vec<_> = chain
        .iter()
        .map(|der| X509Certificate::from_der(der).unwrap().1)
        .collect();
    let arguments = [&DAY[..], &["-resp_no_certs"]].concat();
    let der = response(&authority, &pair, &authority.issuing(), GOOD, &arguments);
    let now = SystemTime::now();
    check(&der, &parsed, &[], now).unwrap();
    // The issuer may stand in ca.pem, too, and must stand somewhere.
    check(&der, &parsed[..1], &parsed[1..], now).unwrap();
    assert!(matches!(
        check(&der, &parsed[..1], &[], now),
        Err(StapleError::Issuer)
    ));
    for length in 0..der.len() {
        assert!(
            check(&der[..length], &parsed, &[], now).is_err(),
            "{length}"
        );
    }
    let changed = (0..der.len() * 8).filter(|bit| {
        let mut changed = der.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        check(&changed, &parsed, &[], now).is_ok()
    });
    assert_eq!(changed.collect::<Vec<_>>(), Vec::<usize>::new());
    let more = [&der[..], &[0]].concat();
    assert!(check(&more, &parsed, &[], now).is_err());
}
