//! Session tickets that are worth no more than the trust they were given under.
//!
//! Owns: the keys of one trust, and the life of each ticket.
//! Never does: its own cryptography; rustls' ticketer seals. Neighbours: [`crate::trust`] has one of these and
//! drops it with itself, so the next trust cannot read what it sealed. [`crate::serve`] runs each handshake in
//! [`Handshake::run`].
//!
//! A resumed session shows no client certificate, so nobody would verify one again. Therefore a ticket carries the
//! moment at which the certificate (or a revocation list) ends, under rustls' seal, and is not opened after that.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::server::ProducesTickets;

use crate::identity::Peer;

/// How long a ticket is good for at most.
pub const LIFETIME: Duration = Duration::from_secs(3600);

/// What a ticket says, before that which rustls put into it: the end in seconds since 1970, and the anchor.
const HEAD: usize = 10;

tokio::task_local! {
    /// rustls gives its ticketer and its verifier nothing to tell connections apart by. Both are called within a
    /// poll of the handshake's own future, and this is set for exactly as long.
    static HANDSHAKE: RefCell<Handshake>;
}

/// What one handshake has found out so far.
#[derive(Debug, Default)]
pub struct Handshake {
    /// The client, if its certificate was verified now.
    pub verified: Option<Arc<Peer>>,
    /// The anchor (its place in the trust) that the client was verified by, now or when the ticket was given.
    pub anchor: u16,
    /// When the ticket given now must end.
    until: Option<SystemTime>,
}

impl Handshake {
    /// Runs a handshake, and returns what was found out next to its result.
    pub async fn run<T>(handshake: impl Future<Output = T>) -> (T, Self) {
        HANDSHAKE
            .scope(RefCell::default(), async {
                let result = handshake.await;
                (result, HANDSHAKE.with(RefCell::take))
            })
            .await
    }

    /// To be called by the verifier.
    pub(crate) fn verified(peer: Arc<Peer>, anchor: u16) {
        let _ = HANDSHAKE.try_with(|handshake| {
            let mut handshake = handshake.borrow_mut();
            handshake.until = Some(peer.not_after);
            handshake.anchor = anchor;
            handshake.verified = Some(peer);
        });
    }
}

/// The tickets of one trust.
#[derive(Debug)]
pub struct Tickets {
    seal: Arc<dyn ProducesTickets>,
    /// No ticket outlives what is known about revocation.
    known_until: Option<SystemTime>,
}

impl Tickets {
    /// With fresh keys, which rotate by themselves.
    ///
    /// # Errors
    ///
    /// When there is no randomness.
    pub fn new(known_until: Option<SystemTime>) -> Result<Self, rustls::Error> {
        Ok(Self {
            seal: rustls::crypto::aws_lc_rs::Ticketer::new()?,
            known_until,
        })
    }

    fn seal(&self, plain: &[u8], now: SystemTime) -> Option<Vec<u8>> {
        // Outside of a handshake of ours nobody would look at the end: no ticket then.
        let (until, anchor) = HANDSHAKE
            .try_with(|handshake| {
                let handshake = handshake.borrow();
                Some((handshake.until?, handshake.anchor))
            })
            .ok()??;
        let until = [Some(until), self.known_until, Some(now + LIFETIME)]
            .into_iter()
            .flatten()
            .min()?;
        let until = until.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let mut whole = Vec::with_capacity(HEAD + plain.len());
        whole.extend(until.to_be_bytes());
        whole.extend(anchor.to_be_bytes());
        whole.extend(plain);
        self.seal.encrypt(&whole)
    }

    fn open(&self, ticket: &[u8], now: SystemTime) -> Option<Vec<u8>> {
        let mut whole = self.seal.decrypt(ticket)?;
        let (head, _) = whole.split_first_chunk::<HEAD>()?;
        let (until, anchor) = head.split_first_chunk::<8>()?;
        let until = UNIX_EPOCH + Duration::from_secs(u64::from_be_bytes(*until));
        let anchor = u16::from_be_bytes(anchor.try_into().ok()?);
        if now > until {
            return None;
        }
        HANDSHAKE
            .try_with(|handshake| {
                let mut handshake = handshake.borrow_mut();
                // A ticket given for a ticket ends no later than the first.
                handshake.until = Some(until);
                handshake.anchor = anchor;
            })
            .ok()?;
        whole.drain(..HEAD);
        Some(whole)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, SystemTime::now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, SystemTime::now())
    }
}
