//! The issuer against a Workload API of our own, that does what no good one does. The way to a certificate is tried
//! against go-spiffe's, by a scenario.

mod fake;

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use rcgen::{BasicConstraints, IsCa, SanType};
use renewd_core::accept::{Refusal, accept};
use renewd_core::names::CertificateName;
use renewd_core::request::{KeyType, Usages};
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::*;
use crate::issuer::Is;
use fake::{Deed, Domain, Fake, Sent, field, framed, update};

const ID: &str = "spiffe://example.org/web";
const OTHER: &str = "spiffe://example.org/other";
const PATIENCE: Duration = Duration::from_secs(30);

fn issuer(fake: &Fake, federated: &[&str]) -> SpiffeIssuer {
    impatient(fake, federated, PATIENCE)
}

/// One that waits so long for a silent server.
fn impatient(fake: &Fake, federated: &[&str], silence: Duration) -> SpiffeIssuer {
    let settings = SpiffeSettings {
        socket: fake.socket.clone(),
        trust_domain: "example.org".into(),
        federated: federated.iter().map(|domain| (*domain).into()).collect(),
    };
    let waits = Waits {
        silence,
        again: (Duration::from_millis(10), Duration::from_millis(20)),
    };
    SpiffeIssuer::with(settings, waits)
}

fn request() -> Request {
    Request {
        issuer: "spire".parse().unwrap(),
        directory: None,
        names: vec![ID.parse().unwrap()],
        lifetime: Duration::from_secs(3600),
        key_type: KeyType::default(),
        usages: Usages::default(),
    }
}

fn certificate() -> CertificateName {
    "web".parse().unwrap()
}

async fn supply(issuer: &SpiffeIssuer, known: &[Fingerprint]) -> Result<Supplied, IssueError> {
    let (certificate, request) = (certificate(), request());
    let wanted = Wanted {
        certificate: &certificate,
        request: &request,
        known,
    };
    let supplied = timeout(PATIENCE, issuer.supply(wanted)).await;
    supplied.expect("an answer in time")
}

fn run(test: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, test());
}

fn leaf(sent: &Sent) -> Fingerprint {
    Fingerprint::of(&sent.certificates)
}

#[test]
fn whatever_the_workload_api_does_wrong_is_said_in_time_and_tried_again() {
    let domain = Domain::new();
    let good = domain.svid(ID);
    let whole = update(&[&good], &[]);
    let bad = |change: fn(&mut Sent)| {
        let mut svid = domain.svid(ID);
        change(&mut svid);
        Deed::Say(update(&[&svid], &[]))
    };
    let elsewhere = domain.svid("spiffe://elsewhere.test/web");
    let table = [
        (Deed::Say(update(&[], &[])), "other-identity", "it has none"),
        (
            Deed::Say(update(&[&domain.svid(OTHER)], &[])),
            "other-identity",
            "spiffe://example.org/other",
        ),
        (
            Deed::Say(update(&[&elsewhere], &[])),
            "other-identity",
            "spiffe://elsewhere.test/web",
        ),
        (
            bad(|svid| svid.certificates.truncate(100)),
            "malformed",
            "the SVID of spiffe://example.org/web",
        ),
        (
            bad(|svid| svid.certificates.clear()),
            "malformed",
            "no certificate",
        ),
        (bad(|svid| svid.key[4] ^= 0xff), "malformed", "the key of"),
        (
            bad(|svid| svid.bundle.truncate(9)),
            "malformed",
            "the bundle of example.org",
        ),
        (
            Deed::Refuse("7", "no identity issued"),
            "no-identity",
            "registration entry",
        ),
        (
            Deed::End(Vec::new(), "7", "no identity issued"),
            "no-identity",
            "no identity issued",
        ),
        (
            Deed::Refuse("14", "starting"),
            "refused",
            "(14): \"starting\"",
        ),
        (
            Deed::Refuse("3", "security header missing"),
            "refused",
            "stands between",
        ),
        (
            Deed::End(Vec::new(), "0", ""),
            "connection",
            "ended the stream",
        ),
        (Deed::Stop(Vec::new()), "connection", "without saying why"),
        (
            Deed::Stop(whole[..50].to_vec()),
            "connection",
            "without saying why",
        ),
        (Deed::Say(whole[..50].to_vec()), "time-out", "0.3 s"),
        (Deed::Say(vec![0, 0]), "time-out", "0.3 s"),
        (Deed::Hang, "time-out", "0.3 s"),
        (Deed::Drop, "connection", "broke off"),
        (Deed::Other(502, "text/html"), "connection", "502"),
        (
            Deed::Other(200, "text/html"),
            "connection",
            "does not speak gRPC",
        ),
        (
            Deed::Say(vec![1, 0, 0, 0, 1, 0]),
            "connection",
            "compresses",
        ),
        (
            Deed::Say(vec![0, 0xff, 0xff, 0xff, 0xff, 0]),
            "too-long",
            "4294967295 bytes",
        ),
        (
            Deed::Say(framed(&[0x0a, 0x7f, 0])),
            "malformed",
            "a message",
        ),
        (Deed::Say(framed(&[0x0b])), "malformed", "a message"),
        (Deed::Say(framed(&[0xff; 20])), "malformed", "a message"),
        (
            Deed::Say(framed(&field(1, &field(1, &[0xff])))),
            "malformed",
            "a message",
        ),
    ];
    run(async || {
        for (at, (deed, label, part)) in table.into_iter().enumerate() {
            let fake = Fake::new(deed);
            let silence = match label {
                "time-out" => Duration::from_millis(300),
                _ => PATIENCE,
            };
            let issuer = impatient(&fake, &[], silence);
            let error = supply(&issuer, &[]).await.unwrap_err();
            let text = error.operator_text();
            assert_eq!(error.label(), label, "{at}: {text}");
            assert!(text.contains(part), "{at}: {text}");
            assert_eq!(error.retry(), Retry::BackOff);
            assert!(!text.chars().any(char::is_control), "{at}: {text}");
            // Once it is mended, the next try finds it so. One that was under way may not.
            fake.will(Deed::Say(whole.clone()));
            fake.cut();
            let mended = async {
                loop {
                    if let Ok(supplied) = supply(&issuer, &[]).await {
                        break supplied;
                    }
                }
            };
            let supplied = timeout(PATIENCE, mended).await.unwrap();
            assert_eq!(Fingerprint::of(&supplied.answer.leaf), leaf(&good));
        }
    });
}

#[test]
fn a_socket_that_is_not_there_or_closed_is_not_now() {
    run(async || {
        let fake = Fake::new(Deed::Hang);
        let issuer = issuer(&fake, &[]);
        std::fs::remove_file(&fake.socket).unwrap();
        let error = supply(&issuer, &[]).await.unwrap_err();
        assert_eq!(error.label(), "unreachable");
        assert_eq!(error.retry(), Retry::BackOff);
        let text = error.operator_text();
        // Tests are below /tmp.
        assert!(text.contains("a /tmp of its own"), "{text}");
        assert!(issuer.anchors().await.is_err());
    });
}

#[test]
fn the_svid_of_the_configured_identity_is_taken_with_its_key_and_passes_the_gate() {
    let (domain, foreign) = (Domain::new(), Domain::new());
    let (ours, other) = (domain.svid(ID), domain.svid(OTHER));
    let federated = [
        ("spiffe://partner.test", foreign.bundle()),
        ("unasked.test", Domain::new().bundle()),
    ];
    run(async || {
        let fake = Fake::new(Deed::Say(update(&[&other, &ours], &federated)));
        let issuer = issuer(&fake, &["partner.test", "absent.test"]);
        let supplied = supply(&issuer, &[]).await.unwrap();
        let judged = accept(
            &request(),
            &supplied.key.fingerprint(),
            &supplied.answer,
            &supplied.anchors,
            Timestamp::now(),
        );
        let accepted = judged.unwrap();
        assert_eq!(accepted.facts.fingerprint, leaf(&ours));
        // What the leaf is judged by is the own domain's, what is published has what was asked for.
        let (own, partner) = (domain.root.der().clone(), foreign.root.der().clone());
        assert_eq!(supplied.anchors, std::slice::from_ref(&own));
        assert_eq!(supplied.bundle, [own, partner]);
        assert_eq!(issuer.anchors().await.unwrap(), supplied.bundle);
        // Nothing that can be printed says anything of the key.
        let key = format!("{:?}", ours.key);
        let shown = format!("{:?} {supplied:?}", issuer.line().heard());
        let bytes = &key[1..key.len() - 1];
        assert!(
            !shown.contains(bytes) && !shown.contains(&bytes[200..]),
            "{shown}"
        );
    });
}

#[test]
fn what_the_gate_refuses_in_another_ca_s_answer_it_refuses_in_an_svid() {
    let (domain, foreign) = (Domain::new(), Domain::new());
    let judged = |sent: Sent| {
        let mut result = None;
        run(async || {
            let federated = [("spiffe://partner.test", foreign.bundle())];
            let fake = Fake::new(Deed::Say(update(&[&sent], &federated)));
            let issuer = issuer(&fake, &["partner.test"]);
            let supplied = supply(&issuer, &[]).await.unwrap();
            let key = supplied.key.fingerprint();
            let answer = &supplied.answer;
            let now = Timestamp::now();
            result = Some(accept(&request(), &key, answer, &supplied.anchors, now));
        });
        result.unwrap().unwrap_err()
    };
    let nameless = domain.svid_with(ID, |params| {
        params.subject_alt_names = vec![SanType::DnsName("web.test".try_into().unwrap())];
    });
    assert!(matches!(judged(nameless), Refusal::Names { .. }));
    let two = domain.svid_with(ID, |params| {
        params
            .subject_alt_names
            .push(SanType::URI(OTHER.try_into().unwrap()));
    });
    assert!(matches!(judged(two), Refusal::Names { .. }));
    let swapped = Sent {
        key: domain.svid(ID).key,
        ..domain.svid(ID)
    };
    assert!(matches!(judged(swapped), Refusal::WrongKey { .. }));
    let signing = domain.svid_with(ID, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    assert!(matches!(judged(signing), Refusal::CaLeaf));
    // A federated root says nothing about our own names.
    let usurped = Sent {
        bundle: domain.bundle(),
        ..foreign.svid(ID)
    };
    let refusal = judged(usurped).to_string();
    assert!(refusal.contains("no chain leads to a CA"), "{refusal}");
}

#[test]
fn what_comes_is_told_once_and_what_is_known_is_not_taken_again() {
    let domain = Domain::new();
    let (first, second) = (domain.svid(ID), domain.svid(ID));
    run(async || {
        let fake = Fake::new(Deed::Say(update(&[&first], &[])));
        let issuer = issuer(&fake, &[]);
        let known = [leaf(&first)];
        supply(&issuer, &[]).await.unwrap();
        let mut news = issuer.news();
        // It is asked anew before it is said that there is nothing: the stream could be dead.
        let error = supply(&issuer, &known).await.unwrap_err();
        assert_eq!((error.label(), fake.calls()), ("nothing-newer", 2));
        assert!(!news.has_changed().unwrap(), "the same is no news");
        fake.push(update(&[&second], &[]));
        timeout(PATIENCE, news.changed()).await.unwrap().unwrap();
        let supplied = supply(&issuer, &known).await.unwrap();
        assert_eq!(Fingerprint::of(&supplied.answer.leaf), leaf(&second));
        assert_eq!(fake.calls(), 2);
        for _ in 0..5 {
            supply(&issuer, &[leaf(&first), leaf(&second)])
                .await
                .unwrap_err();
        }
        let one = async {
            while fake.open() > 1 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, one).await.expect("one connection");
        // A message without our trust domain takes no trust away.
        fake.push(update(
            &[&Domain::new().svid("spiffe://elsewhere.test/web")],
            &[],
        ));
        timeout(PATIENCE, news.changed()).await.unwrap().unwrap();
        assert_eq!(issuer.anchors().await.unwrap_err().label(), "malformed");
        // Another bundle alone is news, too.
        let rolled = Sent {
            bundle: [domain.bundle(), Domain::new().bundle()].concat(),
            ..second
        };
        fake.push(update(&[&rolled], &[]));
        timeout(PATIENCE, news.changed()).await.unwrap().unwrap();
        assert_eq!(issuer.anchors().await.unwrap().len(), 2);
    });
}

#[test]
fn a_workload_api_that_goes_away_leaves_what_it_said_and_is_found_again() {
    let domain = Domain::new();
    let (first, second) = (domain.svid(ID), domain.svid(ID));
    run(async || {
        let mut fake = Fake::new(Deed::Say(update(&[&first], &[])));
        let issuer = issuer(&fake, &[]);
        supply(&issuer, &[]).await.unwrap();
        let (mut news, known) = (issuer.news(), [leaf(&first)]);
        let socket = fake.socket.clone();
        fake.cut();
        fake.will(Deed::Drop);
        let error = supply(&issuer, &known).await.unwrap_err();
        assert_eq!(error.label(), "connection");
        assert_eq!(issuer.anchors().await.unwrap().len(), 1);
        fake.will(Deed::Say(update(&[&second], &[])));
        timeout(PATIENCE, news.changed()).await.unwrap().unwrap();
        supply(&issuer, &known).await.unwrap();
        // An identity that was taken away is not handed out from memory.
        fake.cut();
        fake.will(Deed::Refuse("7", "no identity issued"));
        let known = [leaf(&second)];
        let error = supply(&issuer, &known).await.unwrap_err();
        assert_eq!(error.label(), "no-identity");
        assert_eq!(
            supply(&issuer, &[]).await.unwrap_err().label(),
            "no-identity"
        );
        let _directory = fake.directory.take();
        drop(fake);
        // At the same place, later.
        let _fake = Fake::at(&socket, Deed::Say(update(&[&first], &[])));
        timeout(PATIENCE, news.changed()).await.unwrap().unwrap();
        supply(&issuer, &[]).await.unwrap();
    });
}

#[test]
fn an_issuer_that_is_configured_no_more_lets_go_of_the_workload_api() {
    run(async || {
        let fake = Fake::new(Deed::Say(update(&[], &[])));
        let issuer = issuer(&fake, &[]);
        supply(&issuer, &[]).await.unwrap_err();
        let task = issuer.line().task();
        drop(issuer);
        let ended = async {
            while !task.is_finished() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, ended).await.unwrap();
    });
}

#[test]
fn a_check_says_whether_it_answers_and_has_what_is_configured() {
    let domain = Domain::new();
    run(async || {
        let fake = Fake::new(Deed::Say(update(&[&domain.svid(OTHER)], &[])));
        let issuer = issuer(&fake, &[]);
        let found = issuer.check(&[request()]).await;
        let is: Vec<_> = found.iter().map(|found| found.is).collect();
        assert_eq!(is, [Is::Yes, Is::Yes, Is::Unknown, Is::No], "{found:?}");
        fake.push(update(&[&domain.svid(ID)], &[]));
        let found = issuer.check(&[request()]).await;
        assert_eq!(found[3].is, Is::Yes, "{found:?}");
        fake.will(Deed::Refuse("7", "no identity issued"));
        let found = issuer.check(&[request()]).await;
        assert_eq!((found.len(), found[0].is), (1, Is::No), "{found:?}");
    });
}

proptest! {
    #[test]
    fn no_message_makes_it_stumble(message in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..200_usize) {
        let _ = Update::read(&message);
        let _ = certificates(&message);
        let svid = Sent { id: ID, certificates: message.clone(), key: message.clone(), bundle: message.clone() };
        let whole = field(1, &svid.message());
        let read = Update::read(&whole).unwrap();
        prop_assert_eq!(&read.svids[0].certificates, &message);
        prop_assert_eq!(read.svids[0].id.as_str(), ID);
        // Nothing but the whole of it is a message.
        let part = &whole[..cut.min(whole.len() - 1)];
        prop_assert!(part.is_empty() || Update::read(part).is_err());
    }
}
