//! The account at the CA: made once, kept, and used again.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::error::AcmeError;
use super::transport::Transport;
use super::{AcmeIssuer, ExternalAccount};

/// base64url as CAs hand keys out: with padding or without.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is kept of an account.
#[derive(Serialize, Deserialize)]
struct KeptAccount {
    credentials: AccountCredentials,
    /// What the CA was told last.
    contact: Vec<String>,
}

/// Opens accounts, one at a time: certificates that are asked for together share one.
#[derive(Default)]
pub(super) struct Accounts {
    one_at_a_time: Mutex<()>,
}

impl Accounts {
    /// The account, made if there is none yet.
    pub(super) async fn open(
        &self,
        issuer: &AcmeIssuer,
        transport: &Transport,
    ) -> Result<Account, AcmeError> {
        let _held = self.one_at_a_time.lock().await;
        let (kept, file) = (issuer.kept()?, file(issuer));
        let contact = &issuer.settings.contact;
        let told: Vec<&str> = contact.iter().map(String::as_str).collect();
        let builder = Account::builder_with_http(Box::new(transport.clone()));
        let failed = |error| AcmeError::of("the account", error, transport);
        let Some(text) = kept.read(&file).map_err(AcmeError::Kept)? else {
            let binding = match &issuer.settings.external_account {
                Some(external) => Some(binding(issuer, external)?),
                None => None,
            };
            let new = NewAccount {
                contact: &told,
                terms_of_service_agreed: issuer.settings.terms_agreed,
                only_return_existing: false,
            };
            let directory = issuer.settings.directory.clone();
            let made = builder.create(&new, directory, binding.as_ref()).await;
            let (account, credentials) = made.map_err(failed)?;
            keep(issuer, credentials, contact)?;
            return Ok(account);
        };
        let parsed: Result<KeptAccount, _> = serde_json::from_str(&text);
        let known = parsed.map_err(|_| AcmeError::Damaged(kept.file(&file)))?;
        let account = builder
            .from_credentials(known.credentials)
            .await
            .map_err(failed)?;
        if known.contact != *contact {
            account.update_contacts(&told).await.map_err(failed)?;
            // The credentials are used up by the account that was made of them.
            let again: KeptAccount =
                serde_json::from_str(&text).map_err(|_| AcmeError::Damaged(kept.file(&file)))?;
            keep(issuer, again.credentials, contact)?;
        }
        Ok(account)
    }

    /// The CA does not know the account: it is put aside, and another one is made next.
    pub(super) async fn forget(&self, issuer: &AcmeIssuer) -> Result<(), AcmeError> {
        let _held = self.one_at_a_time.lock().await;
        let (kept, file) = (issuer.kept()?, file(issuer));
        if let Some(text) = kept.read(&file).map_err(AcmeError::Kept)? {
            let aside = format!("{file}.unknown");
            kept.replace(&aside, &text).map_err(AcmeError::Kept)?;
            kept.remove(&file).map_err(AcmeError::Kept)?;
        }
        Ok(())
    }
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
    contact: &[String],
) -> Result<(), AcmeError> {
    let contact = contact.to_vec();
    let account = KeptAccount {
        credentials,
        contact,
    };
    let text = serde_json::to_string(&account)
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
