//! Whatever an EST server answers, it is read or refused: in one printable line, without a panic, and soon.

use proptest::prelude::*;

use super::super::attributes::Wanted;
use super::*;

/// One change of an answer.
#[derive(Debug, Clone)]
enum Change {
    Byte(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Twice(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<usize>();
    prop_oneof![
        (at, any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        at.prop_map(Change::Cut),
        (at, prop::collection::vec(any::<u8>(), 1..8))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at, at).prop_map(|(at, length)| Change::Twice(at, length)),
    ]
}

fn changed(der: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut all = der.to_vec();
    for change in changes {
        let length = all.len();
        if length == 0 {
            break;
        }
        match change {
            Change::Byte(at, byte) => all[at % length] = *byte,
            Change::Cut(at) => all.truncate(at % length),
            Change::Insert(at, bytes) => {
                let at = at % length;
                all.splice(at..at, bytes.iter().copied());
            }
            Change::Twice(at, count) => {
                let at = at % length;
                let piece = all[at..(at + count % 64).min(length)].to_vec();
                all.splice(at..at, piece);
            }
        }
    }
    all
}

fn expect_readable(why: &str) {
    assert!(
        !why.is_empty() && !why.contains(char::is_control),
        "{why:?}"
    );
}

proptest! {
    #[test]
    fn certificates_are_read_or_refused(changes in prop::collection::vec(change(), 0..6), ber: bool) {
        let der = pkcs7(&Authority::new("est").certificates());
        let der = if ber { super::answers::indefinite(&der) } else { der };
        let der = changed(&der, &changes);
        for body in [&der[..], body::encode(&der).as_bytes()] {
            match certificates::read(body) {
                Err(why) => expect_readable(&why),
                Ok(found) => {
                    for certificate in &found {
                        let there = der.windows(certificate.len()).any(|part| part == &certificate[..]);
                        prop_assert!(ber || there);
                    }
                    let _ = certificates::roots(&found);
                    prop_assert!(certificates::chain(&found[0], &found).len() <= found.len());
                }
            }
        }
    }

    #[test]
    fn attributes_are_judged_or_refused(changes in prop::collection::vec(change(), 0..6)) {
        let der = changed(&super::attributes::example(), &changes);
        match Wanted::of(&der).map(|wanted| wanted.judge(&request())) {
            Err(why) => expect_readable(&why),
            Ok(Err(_)) => {}
            Ok(Ok(ignored)) => ignored.iter().for_each(|words| expect_readable(words)),
        }
    }

    #[test]
    fn any_text_is_decoded_or_refused(text in ".{0,200}") {
        let _ = certificates::read(text.as_bytes());
        let _ = body::decode(text.as_bytes());
    }
}
