//! Another key for the account (RFC 8555, section 7.3.5): on disk before the CA hears of it, and both kept until the CA
//! has answered. An answer that was lost is settled by asking the CA for the account of the new key.
//!
//! The library makes the new key itself and shows it only after the answer, so what is signed here is signed by hand.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::AccountCredentials;
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde::Deserialize;
use serde_json::{Value, json};

use super::account::{KeptAccount, id, is_known, keep_all, known, parsed};
use super::error::AcmeError;
use super::transport::Transport;
use super::{AcmeIssuer, is};

/// A nonce may be refused for no fault of ours.
const TRIES: usize = 3;

/// What of a directory is needed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    new_nonce: String,
    key_change: Option<String>,
}

/// Gives the account another key.
pub(super) async fn rollover(issuer: &AcmeIssuer) -> Result<(), AcmeError> {
    let transport = issuer.transport()?;
    // Made where there is none, and settled where another change was interrupted.
    issuer.accounts.open(issuer, &transport).await?;
    let _held = issuer.accounts.one_at_a_time.lock().await;
    let text = known(issuer)?.ok_or(AcmeError::NoRollover)?;
    let address = &issuer.settings.directory;
    let directory: Directory = transport.get("its directory", address).await?;
    let address = directory.key_change.ok_or(AcmeError::NoRollover)?;
    let account = id(&text).ok_or(AcmeError::NoRollover)?;
    let failed = |_| AcmeError::protocol("the account", "no key can be made");
    let new = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let new = new.map_err(failed)?;
    let next = |text: &str| -> Result<KeptAccount, AcmeError> {
        let credentials = json!({
            "id": account,
            "key_pkcs8": BASE64_URL_SAFE_NO_PAD.encode(new.as_ref()),
            "directory": issuer.settings.directory,
        });
        let next: AccountCredentials = serde_json::from_value(credentials)
            .map_err(|error| AcmeError::protocol("the account", error))?;
        let mut known = parsed(issuer, text)?;
        known.next = Some(next);
        Ok(known)
    };
    let both = next(&text)?;
    let change = Change {
        account: &account,
        address: &address,
        old: Signer::new(both.credentials.private_key())?,
        new: Signer::new(&PrivatePkcs8KeyDer::from(new.as_ref()))?,
    };
    keep_all(issuer, &both)?;
    match change.send(&transport, &directory.new_nonce).await {
        Ok(()) => promote(issuer, both),
        Err(error) => {
            // A refusal is an answer; without one, the next order finds out.
            let unknown = |status: u16| status == 404 || status == 405 || status == 501;
            if transport.status().is_some_and(unknown) {
                drop_next(issuer, both)?;
                return Err(AcmeError::NoRollover);
            }
            if let AcmeError::Refused { .. } = &error
                && transport.status().is_some_and(|status| status < 500)
            {
                drop_next(issuer, both)?;
            }
            Err(error)
        }
    }
}

/// Finds out which key the CA goes by, after a change whose answer was lost.
pub(super) async fn settle(
    issuer: &AcmeIssuer,
    transport: &Transport,
    known: KeptAccount,
) -> Result<(), AcmeError> {
    let Some(next) = &known.next else {
        return Ok(());
    };
    match is_known(issuer, transport, next).await? {
        true => promote(issuer, known),
        false => drop_next(issuer, known),
    }
}

fn promote(issuer: &AcmeIssuer, mut known: KeptAccount) -> Result<(), AcmeError> {
    if let Some(next) = known.next.take() {
        known.credentials = next;
    }
    keep_all(issuer, &known)
}

fn drop_next(issuer: &AcmeIssuer, mut known: KeptAccount) -> Result<(), AcmeError> {
    known.next = None;
    keep_all(issuer, &known)
}

/// A change of keys, which both sign.
struct Change<'a> {
    account: &'a str,
    address: &'a str,
    old: Signer,
    new: Signer,
}

impl Change<'_> {
    async fn send(&self, transport: &Transport, new_nonce: &str) -> Result<(), AcmeError> {
        let protected = json!({"alg": "ES256", "jwk": self.new.public(), "url": self.address});
        let payload = json!({"account": self.account, "oldKey": self.old.public()});
        let inner = self.new.sign(&protected, &payload)?;
        let mut tries = 1;
        loop {
            let nonce = transport.nonce(new_nonce).await?;
            let protected =
                json!({"alg": "ES256", "kid": self.account, "nonce": nonce, "url": self.address});
            let outer = self.old.sign(&protected, &inner)?;
            match transport.post("the account", self.address, &outer).await {
                Err(AcmeError::Refused { problem, .. })
                    if is(&problem, "badNonce") && tries < TRIES =>
                {
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }
}

/// A key that signs (RFC 7515, with ES256).
struct Signer(EcdsaKeyPair);

impl Signer {
    fn new(key: &PrivatePkcs8KeyDer<'_>) -> Result<Self, AcmeError> {
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der());
        key.map(Self)
            .map_err(|_| AcmeError::protocol("the account", "its key is none of P-256"))
    }

    fn public(&self) -> Value {
        // Uncompressed: a byte before both coordinates.
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let text = |part| BASE64_URL_SAFE_NO_PAD.encode(part);
        json!({"kty": "EC", "crv": "P-256", "x": text(x), "y": text(y)})
    }

    fn sign(&self, protected: &Value, payload: &Value) -> Result<Value, AcmeError> {
        let text = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let (protected, payload) = (text(protected), text(payload));
        let signed = format!("{protected}.{payload}");
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes());
        let signature =
            signature.map_err(|_| AcmeError::protocol("the account", "nothing can be signed"))?;
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
        Ok(json!({"protected": protected, "payload": payload, "signature": signature}))
    }
}
