//! Very many connections at once, of which each asks once and is then left alone.
//!
//! It must never open one again: what is asked later is asked on the connections that were opened at first. Its neighbour
//! is [`super::wire`], which carries the requests.

use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::identity::Identity;
use super::wire::{Fault, Origin, Protocol, Session};
use super::{Files, LoadError};

/// Handshakes under way at once: a server's queue of connections that it has not accepted yet holds more.
const AT_ONCE: usize = 64;
/// What one connection or answer may take, with so many others before it.
const DEADLINE: Duration = Duration::from_secs(5);
/// Descriptors that this process needs for other things.
const OTHERS: u64 = 1024;

/// The open connections; every tenth speaks HTTP/2. Dropping it cuts them.
pub struct Crowd {
    origin: Arc<Origin>,
    sessions: Vec<Session>,
}

impl Crowd {
    /// Opens all connections, and asks once on each.
    ///
    /// # Errors
    ///
    /// When one is not answered, or this process may not open so many.
    pub async fn gather(url: &Uri, files: Files, count: usize) -> Result<Self, LoadError> {
        room_for(count)?;
        let origin = Arc::new(Origin::parse(url)?);
        let identity = Arc::new(Identity::new(files));
        let mut sessions = Vec::with_capacity(count);
        let mut arriving = JoinSet::new();
        for number in 0..count {
            if arriving.len() == AT_ONCE {
                take(&mut arriving, &mut sessions, count).await?;
            }
            let (origin, identity) = (origin.clone(), identity.clone());
            let protocol = match number % 10 {
                0 => Protocol::Http2,
                _ => Protocol::Http1,
            };
            arriving.spawn(async move {
                let mut session = Session::open(&origin, &identity, protocol).await?;
                session.get(&origin, &origin.path, || ()).await?;
                Ok(session)
            });
        }
        while !arriving.is_empty() {
            take(&mut arriving, &mut sessions, count).await?;
        }
        Ok(Self { origin, sessions })
    }

    /// Asks on each connection once more; how many are still open and answer.
    pub async fn ask_all(&mut self) -> usize {
        let mut answered = 0;
        for session in &mut self.sessions {
            let asked = session.get(&self.origin, &self.origin.path, || ());
            answered += usize::from(matches!(timeout(DEADLINE, asked).await, Ok(Ok(()))));
        }
        answered
    }
}

async fn take(
    arriving: &mut JoinSet<Result<Session, Fault>>,
    sessions: &mut Vec<Session>,
    count: usize,
) -> Result<(), LoadError> {
    let next = timeout(DEADLINE, arriving.join_next()).await;
    let arrived = match next {
        Ok(Some(Ok(arrived))) => arrived,
        Ok(Some(Err(panicked))) => Err(Fault::because("a connection", panicked)),
        Ok(None) => return Ok(()),
        Err(_) => Err(Fault::because(
            "one more answer",
            format_args!("none within {DEADLINE:?}"),
        )),
    };
    sessions.push(arrived.map_err(|fault| LoadError::Crowd {
        open: sessions.len(),
        count,
        fault: fault.text,
    })?);
    Ok(())
}

fn room_for(count: usize) -> Result<(), LoadError> {
    let wanted = count as u64 + OTHERS;
    let limit = |errno| LoadError::Descriptors {
        wanted,
        source: std::io::Error::from(errno),
    };
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(limit)?;
    // Several crowds may share this process.
    let wanted = (soft + wanted).min(hard.max(wanted));
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).map_err(limit)
}
