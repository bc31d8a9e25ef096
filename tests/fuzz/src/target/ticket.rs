//! Session tickets, as a client sends them back: only what we gave, whole, under the same trust, is opened.

use std::sync::LazyLock;

use renewd_sample_api::tickets::Handshake;
use renewd_sample_api::trust::{Trust, Verifier};
use rustls::server::ProducesTickets;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::UnixTime;
use tokio::runtime::{Builder, Runtime};

use super::chain::{CLIENTS, trust};

const SESSION: &[u8] = b"what rustls keeps of a session";

struct Given {
    runtime: Runtime,
    trust: Trust,
    ticket: Vec<u8>,
}

static GIVEN: LazyLock<Given> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let verifier = Verifier(trust(false).into());
    let (ticket, _) = runtime.block_on(Handshake::run(async {
        let verified = verifier.verify_client_cert(&CLIENTS[0], &[], UnixTime::now());
        verified.expect("a client of ours");
        verifier.0.tickets().encrypt(SESSION).expect("a ticket")
    }));
    let trust = std::sync::Arc::into_inner(verifier.0).expect("nobody else has it");
    Given {
        runtime,
        trust,
        ticket,
    }
});

/// Keys differ in each run, so an input does not hold a ticket but what is done to one: pairs of a place and a byte to
/// change there; a place behind the end cuts or lengthens it.
pub(crate) fn run(data: &[u8]) {
    let Given {
        runtime,
        trust,
        ticket,
    } = &*GIVEN;
    let mut changed = ticket.clone();
    for [place, byte] in data.as_chunks::<2>().0 {
        match changed.get_mut(usize::from(*place)) {
            Some(old) => *old ^= byte,
            None => changed.resize(usize::from(*byte), 0),
        }
    }
    let open = |ticket: &[u8]| {
        runtime
            .block_on(Handshake::run(async { trust.tickets().decrypt(ticket) }))
            .0
    };
    match open(&changed) {
        Some(session) => {
            assert_eq!(session, SESSION);
            assert!(
                changed == *ticket,
                "a ticket that we did not give is opened"
            );
        }
        None => assert!(changed != *ticket, "ours is not opened"),
    }
    assert_eq!(open(data), None, "a ticket from nowhere is opened");
    let outside = trust.tickets().decrypt(&changed);
    assert_eq!(outside, None, "opened where nobody looks at its end");
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![],
        vec![0, 0],
        vec![20, 1],
        vec![255, 8],
        vec![255, 200, 90, 3],
    ]
}
