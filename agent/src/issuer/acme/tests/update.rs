//! dns-01 by updates: a server of names of our own, which looks at each signature and signs its answers.

use std::net::SocketAddr;

use base64::prelude::BASE64_STANDARD;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::rdata::tsig;
use hickory_proto::rr::{
    DNSClass, Name, RData, Record as Entry, RecordType, TSigResponseContext, TSigner,
};
use jiff::Timestamp;

use super::super::dns01::Records;
use super::*;

/// What becomes of an answer.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Right,
    /// Nobody signs it.
    Unsigned,
    /// It knows no such key.
    UnknownKey,
    /// It may not.
    Refused,
    /// It is broken off.
    Short,
    /// It says nothing of its zones.
    NoZone,
}

/// A server of `a.test`, with the texts in its zone.
struct Names {
    address: SocketAddr,
    texts: Arc<Mutex<Vec<(String, String)>>>,
    directory: TempDir,
}

const KEY: &[u8] = b"a key that is as long as a digest";

fn signer(key: &[u8]) -> TSigner {
    let name = Name::from_ascii("renewd.").unwrap();
    TSigner::new(key.to_vec(), tsig::TsigAlgorithm::HmacSha512, name, 300).unwrap()
}

impl Names {
    fn new(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let texts = Arc::<Mutex<Vec<_>>>::default();
        let zone = Arc::clone(&texts);
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut length = [0; 2];
                if stream.read_exact(&mut length).is_err() {
                    continue;
                }
                let mut asked = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut asked).unwrap();
                let answer = answer(&asked, manner, &mut zone.lock().unwrap());
                let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                let answer = [&length[..], &answer].concat();
                let shown = match manner {
                    Manner::Short => answer.len() - 1,
                    _ => answer.len(),
                };
                let _ = stream.write_all(&answer[..shown]);
            }
        });
        let directory = tempfile::tempdir().unwrap();
        let text = BASE64_STANDARD.encode(KEY);
        std::fs::write(directory.path().join("key"), format!("{text}\n")).unwrap();
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(directory.path().join("key"), closed).unwrap();
        Self {
            address,
            texts,
            directory,
        }
    }

    fn settings(&self) -> Update {
        Update {
            server: self.address.to_string(),
            zone: None,
            key_name: "renewd".to_owned(),
            key: Secret::File(self.directory.path().join("key")),
            algorithm: TsigAlgorithm::HmacSha512,
        }
    }

    fn held(&self) -> Vec<(String, String)> {
        self.texts.lock().unwrap().clone()
    }
}

/// What the server says, and does to its zone.
fn answer(asked: &[u8], manner: Manner, texts: &mut Vec<(String, String)>) -> Vec<u8> {
    let signer = signer(KEY);
    let message = Message::from_vec(asked).unwrap();
    let now = u64::try_from(Timestamp::now().as_second()).unwrap();
    let mut answer = Message::new(
        message.metadata.id,
        MessageType::Response,
        message.metadata.op_code,
    );
    let sign = |mut answer: Message, context: TSigResponseContext| {
        let signature = context.sign(&answer.to_vec().unwrap()).unwrap();
        answer.set_signature(signature);
        answer.to_vec().unwrap()
    };
    let verified = signer.verify_message_byte(asked, None, true);
    let known = verified
        .as_ref()
        .is_ok_and(|(_, _, range)| range.contains(&now));
    if !known || manner == Manner::UnknownKey {
        answer.metadata.response_code = ResponseCode::NotAuth;
        let context = TSigResponseContext::unknown_key(
            message.metadata.id,
            now,
            signer.signer_name().clone(),
        );
        return sign(answer, context);
    }
    let mac = message.signature().unwrap().data.mac.clone();
    let origin = Name::from_ascii("a.test.").unwrap();
    match (message.metadata.op_code, manner) {
        (_, Manner::Refused) => answer.metadata.response_code = ResponseCode::Refused,
        (OpCode::Update, _) => {
            assert_eq!(*message.queries[0].name(), origin);
            for record in &message.authorities {
                let RData::TXT(text) = &record.data else {
                    panic!("{record}");
                };
                let text = String::from_utf8(text.txt_data[0].to_vec()).unwrap();
                let held = (record.name.to_string(), text);
                match record.dns_class {
                    DNSClass::IN => texts.push(held),
                    DNSClass::NONE => texts.retain(|one| *one != held),
                    other => panic!("{other}"),
                }
            }
        }
        _ => {
            let name = message.queries[0].name().clone();
            for (_, text) in texts.iter().filter(|held| held.0 == name.to_string()) {
                let text = hickory_proto::rr::rdata::TXT::new(vec![text.clone()]);
                answer.add_answer(Entry::from_rdata(name.clone(), 60, RData::TXT(text)));
            }
            if message.queries[0].query_type() == RecordType::SOA && manner != Manner::NoZone {
                answer.metadata.response_code = ResponseCode::NXDomain;
                let soa = SOA::new(origin.clone(), origin.clone(), 1, 1, 1, 1, 1);
                answer.add_authority(Entry::from_rdata(origin, 60, RData::SOA(soa)));
            }
        }
    }
    match manner {
        Manner::Unsigned => answer.to_vec().unwrap(),
        _ => {
            let context = TSigResponseContext::new(message.metadata.id, now, signer, mac, None);
            sign(answer, context)
        }
    }
}

async fn put(settings: Update, proofs: &[Proof]) -> Result<Records, IssueError> {
    let dns = Dns01 {
        by: By::Update(settings),
        wait: Duration::ZERO,
    };
    let records = Records::new(&dns, &Secrets::default(), &Surroundings::default());
    let put = records.put(&"a".parse().unwrap(), proofs).await;
    put.map(|()| records).map_err(IssueError::from)
}

#[tokio::test]
async fn a_zone_is_found_and_has_a_record_for_each_proof_until_it_is_taken_out() {
    let names = Names::new(Manner::Right);
    // A wildcard, and the name below its star.
    let proofs = [
        proof("b.a.test", "one.thumb"),
        proof("b.a.test", "two.thumb"),
    ];
    let records = put(names.settings(), &proofs).await.unwrap();
    let held = names.held();
    assert_eq!(held.len(), 2);
    assert!(
        held.iter()
            .all(|held| held.0 == "_acme-challenge.b.a.test.")
    );
    records
        .take_out(&"a".parse().unwrap(), &proofs[0])
        .await
        .unwrap();
    assert_eq!(names.held(), held[1..]);
    // It is taken out twice where the first time was not heard of.
    records
        .take_out(&"a".parse().unwrap(), &proofs[0])
        .await
        .unwrap();
    assert_eq!(names.held(), held[1..]);
}

#[tokio::test]
async fn a_server_that_does_not_update_its_zone_is_told_of_with_what_to_do() {
    let slowly = Retry::After(Duration::from_secs(1800));
    for (manner, retry, part) in [
        (
            Manner::UnknownKey,
            slowly,
            "does not know that key (BADKEY); check `tsig_key_name`",
        ),
        (Manner::Refused, slowly, "let that key update"),
        (
            Manner::NoZone,
            slowly,
            "no zone of _acme-challenge.a.test.; name the primary",
        ),
        (Manner::Unsigned, Retry::BackOff, "cannot be used"),
        (Manner::Short, Retry::BackOff, "cannot be reached"),
    ] {
        let names = Names::new(manner);
        let put = put(names.settings(), &[proof("a.test", "tok.thumb")]).await;
        let error = put.map(drop).unwrap_err();
        let text = error.operator_text();
        assert!(text.contains(part), "{text}");
        assert_eq!(
            (error.label(), error.retry()),
            ("acme-dns-update", retry),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_key_that_is_not_the_servers_or_is_none_is_told_of_without_a_word_of_it() {
    let names = Names::new(Manner::Right);
    let key = names.directory.path().join("key");
    let proofs = [proof("a.test", "tok.thumb")];
    for (written, part) in [
        ("Q0FOQVJZLUtFWQ==", "BADKEY"),
        ("CANARY-KEY", "no base64 text"),
    ] {
        std::fs::write(&key, written).unwrap();
        let error = put(names.settings(), &proofs).await.map(drop).unwrap_err();
        let text = error.operator_text();
        assert!(text.contains(part), "{text}");
        assert!(
            !text.contains(written) && !text.contains("CANARY"),
            "{text}"
        );
    }
    std::fs::remove_file(&key).unwrap();
    let error = put(names.settings(), &proofs).await.map(drop).unwrap_err();
    assert_eq!(error.retry(), Retry::Operator);
    let other = Update {
        zone: Some("b.test".to_owned()),
        ..names.settings()
    };
    std::fs::write(&key, BASE64_STANDARD.encode(KEY)).unwrap();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, closed).unwrap();
    let error = put(other, &proofs).await.map(drop).unwrap_err();
    assert!(
        error.to_string().contains("not in dns_zone = \"b.test.\""),
        "{error}"
    );
    assert_eq!(names.held(), []);
}
