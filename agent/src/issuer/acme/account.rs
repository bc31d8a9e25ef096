//! The account at the CA: made once, kept, and used again.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, Key, NewAccount};
use jiff::Timestamp;
use renewd_core::schedule;
use rustls_pki_types::PrivateKeyDer;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::error::{ACCOUNT, AcmeError};
use super::transport::Transport;
use super::{AcmeIssuer, ExternalAccount, is, rollover};

/// base64url as CAs hand keys out: with padding or without.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is kept of an account.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptAccount {
    pub(super) credentials: AccountCredentials,
    /// With the key that may have taken the place of the other: the CA has not answered yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<AccountCredentials>,
    /// What the CA was told last.
    contact: Vec<String>,
    #[serde(default)]
    made: Option<Timestamp>,
}

/// The address by which the CA knows the account of that file; the library does not show it.
pub(super) fn id(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Kept {
        credentials: Credentials,
    }
    #[derive(Deserialize)]
    struct Credentials {
        id: String,
    }
    let kept: Kept = serde_json::from_str(text).ok()?;
    Some(kept.credentials.id)
}

/// How long an account that took another one's place is not replaced in turn: some CAs know nobody.
const SHORTEST: Duration = Duration::from_secs(3600);
/// So many accounts that a CA forgot are kept; of more, the first and the newest ones.
const MOST_ASIDE: usize = 9;

/// Opens accounts, which are made and put aside one at a time: certificates that are asked for together share one.
#[derive(Default)]
pub(super) struct Accounts {
    pub(super) one_at_a_time: Mutex<()>,
}

impl Accounts {
    /// The account, made if there is none yet.
    pub(super) async fn open(
        &self,
        issuer: &AcmeIssuer,
        transport: &Transport,
    ) -> Result<Account, AcmeError> {
        let Some(text) = known(issuer)? else {
            return self.made(issuer, transport).await;
        };
        if parsed(issuer, &text)?.next.is_none() {
            return self.known(issuer, transport, &text).await;
        }
        let held = self.one_at_a_time.lock().await;
        if let Some(text) = known(issuer)? {
            rollover::settle(issuer, transport, parsed(issuer, &text)?).await?;
        }
        drop(held);
        match known(issuer)? {
            Some(text) => self.known(issuer, transport, &text).await,
            None => self.made(issuer, transport).await,
        }
    }

    async fn known(
        &self,
        issuer: &AcmeIssuer,
        transport: &Transport,
        text: &str,
    ) -> Result<Account, AcmeError> {
        let failed = |error| AcmeError::of(ACCOUNT, error, transport);
        let read = || parsed(issuer, text);
        let known = read()?;
        let builder = Account::builder_with_http(Box::new(transport.clone()));
        let account = builder.from_credentials(known.credentials).await;
        let account = account.map_err(failed)?;
        let contact = &issuer.settings.contact;
        if known.contact != *contact {
            let told: Vec<&str> = contact.iter().map(String::as_str).collect();
            match account.update_contacts(&told).await {
                // The order will hear of it, too, and act on it.
                Err(Error::Api(problem)) if is(&problem, "accountDoesNotExist") => {}
                told => {
                    told.map_err(failed)?;
                    let _held = self.one_at_a_time.lock().await;
                    if holds(issuer, account.id())? {
                        // The credentials are used up by the account that was made of them.
                        keep(issuer, read()?.credentials, known.made)?;
                    }
                }
            }
        }
        Ok(account)
    }

    /// An account that is made while nobody else makes one.
    async fn made(&self, issuer: &AcmeIssuer, transport: &Transport) -> Result<Account, AcmeError> {
        let held = self.one_at_a_time.lock().await;
        if let Some(text) = known(issuer)? {
            drop(held);
            return self.known(issuer, transport, &text).await;
        }
        let binding = match &issuer.settings.external_account {
            Some(external) => Some(binding(issuer, external)?),
            None => None,
        };
        let contact = &issuer.settings.contact;
        let told: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &told,
            terms_of_service_agreed: issuer.settings.terms_agreed,
            only_return_existing: false,
        };
        let directory = issuer.settings.directory.clone();
        let builder = Account::builder_with_http(Box::new(transport.clone()));
        let made = builder.create(&new, directory, binding.as_ref()).await;
        let failed = |error| AcmeError::of(ACCOUNT, error, transport);
        let (account, credentials) = made.map_err(failed)?;
        keep(issuer, credentials, Some(Timestamp::now()))?;
        Ok(account)
    }

    /// The CA does not know this account: it is put aside, and another one is made next. Says whether there is another
    /// one to go on with.
    pub(super) async fn forget(
        &self,
        issuer: &AcmeIssuer,
        refused: &str,
    ) -> Result<bool, AcmeError> {
        let _held = self.one_at_a_time.lock().await;
        if !holds(issuer, refused)? {
            // Another order was told so, too, and before.
            return Ok(true);
        }
        let (kept, file) = (issuer.kept()?, file(issuer));
        let Some(text) = known(issuer)? else {
            return Ok(true);
        };
        let aside = |number: usize| match number {
            1 => format!("{file}.unknown"),
            _ => format!("{file}.unknown-{number}"),
        };
        let is_free = |number: &usize| matches!(kept.read(&aside(*number)), Ok(None));
        let free = (1..=MOST_ASIDE).find(is_free).unwrap_or(MOST_ASIDE);
        let made = serde_json::from_str::<KeptAccount>(&text).ok();
        let made = made.and_then(|known| known.made);
        if free > 1
            && made.is_some_and(|made| {
                let end = schedule::after(made, SHORTEST);
                !schedule::reached(end, SHORTEST, Timestamp::now())
            })
        {
            return Ok(false);
        }
        kept.replace(&aside(free), &text).map_err(AcmeError::Kept)?;
        kept.remove(&file).map_err(AcmeError::Kept)?;
        Ok(true)
    }
}

/// The text of the account's file.
pub(super) fn known(issuer: &AcmeIssuer) -> Result<Option<Zeroizing<String>>, AcmeError> {
    issuer.kept()?.read(&file(issuer)).map_err(AcmeError::Kept)
}

/// What stands in the account's file.
pub(super) fn parsed(issuer: &AcmeIssuer, text: &str) -> Result<KeptAccount, AcmeError> {
    let path = || Ok::<_, AcmeError>(issuer.kept()?.file(&file(issuer)));
    serde_json::from_str(text).or_else(|_| Err(AcmeError::Damaged(path()?)))
}

/// Whether the CA knows an account by that key (RFC 8555, section 7.3.1); none is made, and nothing changed.
pub(super) async fn is_known(
    issuer: &AcmeIssuer,
    transport: &Transport,
    credentials: &AccountCredentials,
) -> Result<bool, AcmeError> {
    let failed = |error| AcmeError::of(ACCOUNT, error, transport);
    let der = credentials.private_key().clone_key();
    let key = Key::from_pkcs8_der(der.clone_key()).map_err(failed)?;
    let builder = Account::builder_with_http(Box::new(transport.clone()));
    let key = (key, PrivateKeyDer::Pkcs8(der));
    match builder
        .from_key(key, issuer.settings.directory.clone())
        .await
    {
        Ok(_) => Ok(true),
        Err(Error::Api(problem)) if is(&problem, "accountDoesNotExist") => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// Whether what an account is bound to can be used; of nothing, too.
pub(super) fn can_be_bound(issuer: &AcmeIssuer) -> Result<(), AcmeError> {
    let external = issuer.settings.external_account.as_ref();
    external.map_or(Ok(()), |external| binding(issuer, external).map(drop))
}

fn holds(issuer: &AcmeIssuer, account: &str) -> Result<bool, AcmeError> {
    let text = known(issuer)?;
    Ok(text.and_then(|text| id(&text)).as_deref() == Some(account))
}

/// Each directory has an account of its own, so that a change of the address and back loses none.
fn file(issuer: &AcmeIssuer) -> String {
    let digest = digest::digest(&digest::SHA256, issuer.settings.directory.as_bytes());
    let digits = digest.as_ref()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"));
    format!("account-{}.json", digits.collect::<String>())
}

fn keep(
    issuer: &AcmeIssuer,
    credentials: AccountCredentials,
    made: Option<Timestamp>,
) -> Result<(), AcmeError> {
    let contact = issuer.settings.contact.clone();
    let account = KeptAccount {
        credentials,
        next: None,
        contact,
        made,
    };
    keep_all(issuer, &account)
}

/// Writes the account's file.
pub(super) fn keep_all(issuer: &AcmeIssuer, account: &KeptAccount) -> Result<(), AcmeError> {
    let text = serde_json::to_string(account)
        .map_err(|error| AcmeError::protocol("the account", error))?;
    let kept = issuer.kept()?;
    kept.replace(&file(issuer), &Zeroizing::new(text))
        .map_err(AcmeError::Kept)
}

fn binding(
    issuer: &AcmeIssuer,
    external: &ExternalAccount,
) -> Result<ExternalAccountKey, AcmeError> {
    let text = issuer
        .secrets
        .read(&external.key)
        .map_err(AcmeError::Secret)?;
    let key = BASE64URL
        .decode(text.trim())
        .map_err(|_| AcmeError::BindingKey(external.key.to_string()))?;
    let key = Zeroizing::new(key);
    Ok(ExternalAccountKey::new(external.key_id.clone(), &key))
}
