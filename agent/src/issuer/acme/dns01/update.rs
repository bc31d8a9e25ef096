//! Records by updates of the zone (RFC 2136) that a shared key signs (TSIG, RFC 8945).
//!
//! One TCP connection for each message: none of it is urgent, and all of it fits. Answers count only with the server's
//! own signature.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hickory_proto::op::{Message, Query, ResponseCode, update_message};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::{self, TsigError};
use hickory_proto::rr::{Name, RData, RecordSet, RecordType, TSigner};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::error::UpdateError;
use super::{Action, Record};
use crate::secret::{Secret, Secrets};

/// How long one question and its answer may take.
const EXCHANGE: Duration = Duration::from_secs(10);
/// How long a server may take to show what it was given.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait before looking again, at first and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// How far clocks may be apart (RFC 8945, section 10).
const FUDGE: u16 = 300;
/// It is there for minutes, and nobody should remember it for longer.
const TTL: u32 = 60;

/// How a zone is updated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The server that takes updates, with its port.
    pub server: String,
    /// The zone; without, the server is asked for it.
    pub zone: Option<String>,
    /// By which name the server knows the key.
    pub key_name: String,
    /// Where the key is, as base64 text.
    pub key: Secret,
    /// What it signs with.
    pub algorithm: TsigAlgorithm,
}

/// What messages are signed with (RFC 8945, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TsigAlgorithm {
    /// hmac-sha256
    HmacSha256,
    /// hmac-sha384
    HmacSha384,
    /// hmac-sha512
    HmacSha512,
}

impl From<TsigAlgorithm> for tsig::TsigAlgorithm {
    fn from(algorithm: TsigAlgorithm) -> Self {
        match algorithm {
            TsigAlgorithm::HmacSha256 => Self::HmacSha256,
            TsigAlgorithm::HmacSha384 => Self::HmacSha384,
            TsigAlgorithm::HmacSha512 => Self::HmacSha512,
        }
    }
}

/// One server, and what it takes updates by.
pub(super) struct Updater {
    settings: Update,
    secrets: Secrets,
}

impl Updater {
    pub(super) fn new(settings: Update, secrets: Secrets) -> Self {
        Self { settings, secrets }
    }

    /// Makes a record and waits until the server shows it, or takes it out.
    pub(super) async fn act(&self, action: Action, record: &Record) -> Result<(), UpdateError> {
        let signer = self.signer()?;
        let name = name(&record.name)?;
        let zone = match &self.settings.zone {
            Some(zone) => self::name(zone)?,
            None => self.zone_of(&signer, &name).await?,
        };
        if !zone.zone_of(&name) {
            return Err(UpdateError::NotInZone {
                zone: zone.to_string(),
                name: record.name.clone(),
            });
        }
        let mut records = RecordSet::with_ttl(name.clone(), RecordType::TXT, TTL);
        let value = RData::TXT(TXT::new(vec![record.value.clone()]));
        records.add_rdata(value.clone());
        let update = match action {
            Action::Present => update_message::append(records, zone, false, false),
            Action::Cleanup => update_message::delete_by_rdata(records, zone, false),
        };
        self.ask(&signer, update).await?;
        match action {
            Action::Present => self.await_shown(&signer, &name, &value).await,
            Action::Cleanup => Ok(()),
        }
    }

    /// The key is read each time, as it may have been replaced.
    pub(super) fn signer(&self) -> Result<TSigner, UpdateError> {
        let settings = &self.settings;
        let text = self
            .secrets
            .read(&settings.key)
            .map_err(UpdateError::Secret)?;
        let key = BASE64_STANDARD.decode(text.trim()).map(Zeroizing::new);
        let wrong = || UpdateError::Key(settings.key.to_string());
        let key = key.map_err(|_| wrong())?;
        let name = name(&settings.key_name)?;
        TSigner::new(key.to_vec(), settings.algorithm.into(), name, FUDGE).map_err(|_| wrong())
    }

    /// The zone that a name is in, as the server has it.
    async fn zone_of(&self, signer: &TSigner, name: &Name) -> Result<Name, UpdateError> {
        let answer = self.query(signer, name, RecordType::SOA).await?;
        let mut records = answer.answers.iter().chain(&answer.authorities);
        let zone = records
            .find(|record| record.record_type() == RecordType::SOA && record.name.zone_of(name));
        zone.map(|record| record.name.clone())
            .ok_or_else(|| UpdateError::NoZone {
                server: self.settings.server.clone(),
                name: name.to_string(),
            })
    }

    async fn await_shown(
        &self,
        signer: &TSigner,
        name: &Name,
        value: &RData,
    ) -> Result<(), UpdateError> {
        let (mut delay, longest) = LOOK_AGAIN;
        let look = async {
            loop {
                let answer = self.query(signer, name, RecordType::TXT).await?;
                if answer.answers.iter().any(|record| record.data == *value) {
                    return Ok(());
                }
                sleep(delay).await;
                delay = (delay * 2).min(longest);
            }
        };
        let late = Err(UpdateError::NotShown {
            server: self.settings.server.clone(),
            name: name.to_string(),
        });
        timeout(PATIENCE, look).await.unwrap_or(late)
    }

    async fn query(
        &self,
        signer: &TSigner,
        name: &Name,
        kind: RecordType,
    ) -> Result<Message, UpdateError> {
        let mut message = Message::query();
        message.metadata.recursion_desired = false;
        message.add_query(Query::query(name.clone(), kind));
        self.ask(signer, message).await
    }

    /// Sends a signed message; returns an answer that the server signed, and in which it does not refuse.
    async fn ask(&self, signer: &TSigner, mut message: Message) -> Result<Message, UpdateError> {
        let wrong = |why: String| UpdateError::Answer {
            server: self.settings.server.clone(),
            why,
        };
        let id = message.metadata.id;
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
        let verifier = message.finalize(signer, now);
        let mut verifier = verifier
            .map_err(|error| wrong(error.to_string()))?
            .ok_or_else(|| wrong("it cannot be verified".into()))?;
        let bytes = message.to_vec().map_err(|error| wrong(error.to_string()))?;
        let answer = timeout(EXCHANGE, self.exchange(&bytes)).await;
        let answer = answer
            .unwrap_or(Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|source| UpdateError::Unreachable {
                server: self.settings.server.clone(),
                source,
            })?;
        let read = Message::from_vec(&answer).map_err(|error| wrong(error.to_string()))?;
        if read.metadata.id != id {
            return Err(wrong("it is to another question".into()));
        }
        let signed = verifier.verify(&answer);
        match read.metadata.response_code {
            // That a name is not there is an answer, too: with the zone in which it is not.
            ResponseCode::NoError | ResponseCode::NXDomain => {
                signed.map_err(|error| wrong(error.to_string()))?;
                Ok(read)
            }
            // A refusal changes nothing, whoever made it.
            code => Err(UpdateError::Refused {
                server: self.settings.server.clone(),
                code,
                tsig: read.signature().and_then(|record| record.data.error),
            }),
        }
    }

    async fn exchange(&self, message: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.settings.server).await?;
        // RFC 1035, section 4.2.2: its length in two bytes goes before.
        let length = u16::try_from(message.len()).map_err(std::io::Error::other)?;
        let mut sent = length.to_be_bytes().to_vec();
        sent.extend_from_slice(message);
        stream.write_all(&sent).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

/// A name from the root.
fn name(text: &str) -> Result<Name, UpdateError> {
    let name = Name::from_ascii(text).map(|mut name| {
        name.set_fqdn(true);
        name
    });
    name.map_err(|_| UpdateError::Name(text.to_owned()))
}

/// What TSIG says of a key.
pub(super) fn meaning(error: TsigError) -> Option<&'static str> {
    match error {
        TsigError::BadKey => Some("it does not know that key (BADKEY)"),
        TsigError::BadSig => Some("it has another key of that name (BADSIG)"),
        TsigError::BadTime => Some("its clock and ours are too far apart (BADTIME)"),
        _ => None,
    }
}
