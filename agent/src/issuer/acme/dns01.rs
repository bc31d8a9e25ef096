//! dns-01 (RFC 8555, section 8.4): a TXT record beside the name, made and taken out by a program of the operator's
//! or by an update of the zone ([`update`]).
//!
//! A name may have several such records at once: that of a wildcard is the one of the name below its star, and
//! others may be proving the same.

mod error;
mod update;

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::Identifier;
use renewd_core::names::CertificateName;
use serde::Serialize;
use tokio::sync::Mutex;

use super::super::program::{Program, ProgramSettings, Surroundings};
use super::challenge::Proof;
use super::error::AcmeError;
use crate::secret::Secrets;
pub(super) use error::UpdateError;
use update::Updater;
pub use update::{TsigAlgorithm, Update};

/// Changes when a program that follows the contract would have to be changed.
const VERSION: u32 = 1;

/// How records come into the zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns01 {
    /// Who puts them there.
    pub by: By,
    /// How long the CA is kept waiting after they are there: what all of the zone's servers need to take them over.
    pub wait: Duration,
}

/// Who puts records into the zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A program.
    Command(ProgramSettings),
    /// We, by updates.
    Update(Update),
}

/// One TXT record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Without a dot at its end.
    pub(super) name: String,
    pub(super) value: String,
}

impl Record {
    fn of(proof: &Proof) -> Result<Self, AcmeError> {
        let Identifier::Dns(name) = &proof.name else {
            let why = "dns-01 proves DNS names only (RFC 8738, section 7)";
            return Err(AcmeError::protocol("a challenge", why));
        };
        let digest = digest(&SHA256, proof.answer.as_bytes());
        Ok(Self {
            name: format!("_acme-challenge.{name}"),
            value: BASE64_URL_SAFE_NO_PAD.encode(digest),
        })
    }
}

/// What is done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Action {
    Present,
    Cleanup,
}

/// Puts records into the zone, and takes them out.
pub(super) struct Records {
    by: Hand,
    wait: Duration,
    /// Programs keep files, and few expect to be run twice at once.
    turn: Mutex<()>,
}

enum Hand {
    Command(Program),
    Update(Updater),
}

/// What a program reads on stdin, as one line of JSON.
#[derive(Serialize)]
struct Asked<'a> {
    version: u32,
    action: Action,
    certificate: &'a str,
    name: &'a str,
    value: &'a str,
}

impl Records {
    pub(super) fn new(settings: &Dns01, secrets: &Secrets, surroundings: &Surroundings) -> Self {
        let by = match &settings.by {
            By::Command(program) => {
                Hand::Command(Program::new(program.clone(), surroundings.clone()))
            }
            By::Update(update) => Hand::Update(Updater::new(update.clone(), secrets.clone())),
        };
        Self {
            by,
            wait: settings.wait,
            turn: Mutex::default(),
        }
    }

    /// Whether the key that updates are signed with can be used.
    pub(super) fn can_be_signed(&self) -> Result<(), AcmeError> {
        match &self.by {
            Hand::Command(_) => Ok(()),
            Hand::Update(updater) => Ok(updater.signer().map(drop)?),
        }
    }

    /// Puts all of them there, and returns once a CA may look for them.
    pub(super) async fn put(
        &self,
        certificate: &CertificateName,
        proofs: &[Proof],
    ) -> Result<(), AcmeError> {
        for proof in proofs {
            let record = Record::of(proof)?;
            self.act(certificate, Action::Present, &record).await?;
        }
        if !proofs.is_empty() {
            tokio::time::sleep(self.wait).await;
        }
        Ok(())
    }

    /// Takes one of them out; that it is not there is no error.
    pub(super) async fn take_out(
        &self,
        certificate: &CertificateName,
        proof: &Proof,
    ) -> Result<(), AcmeError> {
        let record = Record::of(proof)?;
        self.act(certificate, Action::Cleanup, &record).await
    }

    async fn act(
        &self,
        certificate: &CertificateName,
        action: Action,
        record: &Record,
    ) -> Result<(), AcmeError> {
        let _turn = self.turn.lock().await;
        match &self.by {
            Hand::Command(program) => {
                let asked = Asked {
                    version: VERSION,
                    action,
                    certificate: certificate.as_str(),
                    name: &record.name,
                    value: &record.value,
                };
                // Texts and a number alone: there is nothing that JSON could not say.
                let mut line = serde_json::to_vec(&asked).unwrap_or_default();
                line.push(b'\n');
                program.run(certificate, line).await?;
            }
            Hand::Update(updater) => updater.act(action, record).await?,
        }
        Ok(())
    }
}
