//! dns-01: records that a program makes, and that do not stay.

use super::super::super::program::ProgramSettings;
use super::*;

/// A program that writes down what it reads, and ends as the file `code` says.
struct Hand {
    directory: TempDir,
}

impl Hand {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let script = "cat >> \"$1/asked\"; exit $(cat \"$1/code\" 2>/dev/null || echo 0)\n";
        std::fs::write(directory.path().join("script"), script).unwrap();
        Self { directory }
    }

    fn fails_with(&self, code: i32) {
        std::fs::write(self.directory.path().join("code"), code.to_string()).unwrap();
    }

    fn challenge(&self) -> Challenge {
        let text = |name: &str| {
            self.directory
                .path()
                .join(name)
                .to_str()
                .unwrap()
                .to_owned()
        };
        let command = vec!["/bin/sh".to_owned(), text("script"), text("")];
        Challenge::Dns01(Dns01 {
            by: By::Command(ProgramSettings {
                command,
                credentials: Vec::new(),
                timeout: Duration::from_secs(30),
                output_limit: 1024,
            }),
            wait: Duration::ZERO,
        })
    }

    /// What it was asked, each with the name and the value of a record.
    fn asked(&self) -> Vec<(String, String, String)> {
        let text = std::fs::read_to_string(self.directory.path().join("asked"));
        let text = text.unwrap_or_default();
        let lines = text.lines().map(|line| {
            let asked: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (&asked["version"], &asked["certificate"]),
                (&1.into(), &"a".into())
            );
            let text = |key: &str| asked[key].as_str().unwrap().to_owned();
            (text("action"), text("name"), text("value"))
        });
        lines.collect()
    }

    fn actions(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.0).collect()
    }
}

const WILDCARD: &str = r#"{"status":"pending","wildcard":true,"identifier":{"type":"dns","value":"a.test"},"challenges":[{"type":"dns-01","url":"BASE/challenge","token":"abc","status":"pending"}]}"#;

#[tokio::test]
async fn a_record_is_made_beside_the_name_below_the_star_and_taken_out_whatever_becomes_of_the_order()
 {
    // The challenge is never taken.
    let ca = Ca::new(|path| (path == "/authz").then_some(("200 OK", "", JSON, WILDCARD)));
    let hand = Hand::new();
    let error = issue(&ca.issuer_by(hand.challenge())).await.unwrap_err();
    assert!(error.to_string().contains("a challenge"), "{error}");
    let [made, gone] = hand.asked().try_into().unwrap();
    assert_eq!((made.0.as_str(), gone.0.as_str()), ("present", "cleanup"));
    assert_eq!(made.1, "_acme-challenge.a.test");
    assert_eq!(made.2.len(), 43, "{}", made.2);
    assert_eq!((made.1, made.2), (gone.1, gone.2));
}

#[tokio::test]
async fn a_program_that_makes_no_record_is_an_error_with_its_own_retry() {
    let ca = Ca::new(|path| (path == "/authz").then_some(("200 OK", "", JSON, WILDCARD)));
    for (code, retry) in [
        (1, Retry::BackOff),
        (75, Retry::BackOff),
        (78, Retry::Operator),
    ] {
        let hand = Hand::new();
        hand.fails_with(code);
        let error = issue(&ca.issuer_by(hand.challenge())).await.unwrap_err();
        assert_eq!((error.label(), error.retry()), ("acme-dns-command", retry));
        assert!(error.to_string().starts_with("dns_command: "), "{error}");
    }
    assert_eq!(ca.count("/challenge"), 0);
}

#[tokio::test]
async fn what_the_ca_did_not_see_is_looked_for_where_the_challenge_has_it() {
    const SEEN: &str = r#"{"status":"invalid","wildcard":true,"identifier":{"type":"dns","value":"a.test"},"challenges":[{"type":"dns-01","url":"BASE/c","token":"abc","status":"invalid","error":{"type":"urn:ietf:params:acme:error:unauthorized","detail":"no record"}}]}"#;
    let ca = Ca::new(|path| match path {
        "/authz" => Some(("200 OK", "", JSON, SEEN)),
        "/order" => Some((
            "201 Created",
            "location: BASE/order/1\r\n",
            JSON,
            r#"{"status":"invalid","authorizations":["BASE/authz"],"finalize":"BASE/f"}"#,
        )),
        _ => None,
    });
    let error = issue(&ca.issuer_by(Hand::new().challenge())).await;
    let text = error.unwrap_err().operator_text();
    for part in [
        "*.a.test is ours: no record",
        "_acme-challenge.a.test as the CA",
        "dns_wait",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn what_an_interrupted_order_left_in_the_zone_is_taken_out_by_the_next_one() {
    let hand = Hand::new();
    let looks = AtomicUsize::new(0);
    let ca = Ca::new(move |path| match path {
        "/authz" => Some(("200 OK", "", JSON, WILDCARD)),
        "/challenge" => Some((
            "200 OK",
            "",
            JSON,
            r#"{"type":"dns-01","url":"BASE/challenge","token":"abc","status":"processing"}"#,
        )),
        // Looked at until the process ends, and refused while it is away.
        "/order/1" if looks.fetch_add(1, Ordering::Relaxed) > 0 => Some((
            "200 OK",
            "",
            JSON,
            r#"{"status":"invalid","authorizations":["BASE/authz"],"finalize":"BASE/f"}"#,
        )),
        _ => None,
    });
    let begun = ca.issuer_by(hand.challenge());
    let mut begun = Box::pin(issue(&begun));
    let looked = async {
        while ca.count("/order/1") == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = &mut begun => panic!("it ended"),
        () = looked => {}
    }
    drop(begun);
    assert_eq!(hand.actions(), ["present"]);
    let _ = issue(&ca.issuer_by(hand.challenge())).await;
    let actions = hand.actions();
    assert_eq!(actions[..2], ["present", "cleanup"], "{actions:?}");
    let count = |action: &str| actions.iter().filter(|one| *one == action).count();
    assert_eq!(count("present"), count("cleanup"));
}
