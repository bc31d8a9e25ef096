//! JSON Web Signatures (RFC 7515) in their compact form, by the keys that step-ca takes.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use renewd_core::leaf::Fingerprint;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::{Zeroize, Zeroizing};

/// A key that signs. AWS-LC wipes what it holds.
pub(super) enum Signer {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// The members of a private JWK (RFC 7517) that are used.
#[derive(Deserialize)]
struct Jwk<'a> {
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    /// Stays in the text, which is wiped by who read it: there is no other copy, whatever else is wrong. Base64url has no
    /// character that JSON escapes.
    d: &'a str,
    kid: Option<String>,
}

impl Signer {
    /// From a JWK with its private part, or from PEM; with the identifier that a JWK has. The error says nothing of
    /// the text.
    pub(super) fn read(text: &str) -> Result<(Self, Option<String>), &'static str> {
        if text.trim_start().starts_with('{') {
            return from_jwk(text);
        }
        Ok((Self::from_pem(text)?, None))
    }

    /// From PEM, without a password.
    pub(super) fn from_pem(text: &str) -> Result<Self, &'static str> {
        let mut der = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| "it is neither a private JWK nor an unencrypted private key in PEM")?;
        let ecdsa = |algorithm| EcdsaKeyPair::from_private_key_der(algorithm, der.secret_der());
        let signer = ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map(Self::P256)
            .or_else(|_| ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING).map(Self::P384))
            .or_else(|_| Ed25519KeyPair::from_pkcs8(der.secret_der()).map(Self::Ed25519))
            .or_else(|_| RsaKeyPair::from_pkcs8(der.secret_der()).map(Self::Rsa))
            .map_err(|_| "it is no ECDSA key on P-256 or P-384, no Ed25519 key and no RSA key");
        der.zeroize();
        signer
    }

    /// Its public part's identifier (RFC 7638): what step-ca calls a key by that was given no other name. Of RSA keys
    /// nobody makes provisioners.
    pub(super) fn thumbprint(&self) -> Option<String> {
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let point = |pair: &EcdsaKeyPair, curve: &str| {
            // Uncompressed: a mark, and both coordinates.
            let point = pair.public_key().as_ref().get(1..)?;
            let (x, y) = point.split_at(point.len() / 2);
            // With their members in the order of their names, as here, JSON is what is digested.
            Some(json!({ "crv": curve, "kty": "EC", "x": encoded(x), "y": encoded(y) }))
        };
        let public = match self {
            Self::P256(pair) => point(pair, "P-256")?,
            Self::P384(pair) => point(pair, "P-384")?,
            Self::Ed25519(pair) => {
                json!({ "crv": "Ed25519", "kty": "OKP", "x": encoded(pair.public_key().as_ref()) })
            }
            Self::Rsa(_) => return None,
        };
        let digest = Fingerprint::of(public.to_string().as_bytes());
        Some(encoded(digest.as_bytes()))
    }

    /// The whole, signed. To be treated as a secret: who has it can use it.
    pub(super) fn sign(
        &self,
        mut header: Value,
        claims: &Value,
    ) -> Result<Zeroizing<String>, aws_lc_rs::error::Unspecified> {
        header["alg"] = self.algorithm().into();
        header["typ"] = "JWT".into();
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut text = Zeroizing::new(format!("{}.{}", part(&header), part(claims)));
        let signature = self.signature(text.as_bytes())?;
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(text)
    }

    /// Its name (RFC 7518, section 3.1; RFC 8037, section 3.1).
    fn algorithm(&self) -> &'static str {
        match self {
            Self::P256(_) => "ES256",
            Self::P384(_) => "ES384",
            Self::Ed25519(_) => "EdDSA",
            Self::Rsa(_) => "RS256",
        }
    }

    fn signature(&self, text: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
        let random = SystemRandom::new();
        match self {
            Self::P256(pair) | Self::P384(pair) => Ok(pair.sign(&random, text)?.as_ref().to_vec()),
            Self::Ed25519(pair) => Ok(pair.sign(text).as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature)?;
                Ok(signature)
            }
        }
    }
}

/// More than the private number of any key that is known here, and as many as a decoder may want to see beside it.
const LONGEST_PRIVATE: usize = 64;

fn from_jwk(text: &str) -> Result<(Signer, Option<String>), &'static str> {
    // The parser's error may quote the key.
    let jwk: Jwk<'_> = serde_json::from_str(text)
        .map_err(|_| "it is no JWK with a private part (\"d\"); is it still encrypted?")?;
    let Jwk {
        kty,
        crv,
        x,
        y,
        d,
        kid,
    } = jwk;
    const NO_TEXT: &str = "one of its members is no base64url text of the right length";
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| NO_TEXT);
    let (x, y) = (bytes(&x)?, bytes(&y)?);
    // Of a fixed size, in its place from the start, and wiped also where what it is decoded from is wrong half-way.
    let mut private = Zeroizing::new([0; LONGEST_PRIVATE]);
    let length = URL_SAFE_NO_PAD.decode_slice(d, private.as_mut());
    let private = &private[..length.map_err(|_| NO_TEXT)?];
    let ecdsa = |algorithm: &'static EcdsaSigningAlgorithm| {
        let point = [&[4][..], &x, &y].concat();
        EcdsaKeyPair::from_private_key_and_public_key(algorithm, private, &point)
            .map_err(|_| "its members do not belong together")
    };
    let signer = match (kty.as_str(), crv.as_str()) {
        ("EC", "P-256") => Signer::P256(ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)?),
        ("EC", "P-384") => Signer::P384(ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING)?),
        ("OKP", "Ed25519") => Ed25519KeyPair::from_seed_and_public_key(private, &x)
            .map(Signer::Ed25519)
            .map_err(|_| "its members do not belong together")?,
        _ => return Err("it is of no type that is known here: EC on P-256 or P-384, or Ed25519"),
    };
    Ok((signer, kid))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};

    use super::*;

    #[test]
    fn of_the_private_number_in_a_jwk_no_copy_is_made() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let private: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let member = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (x, y, d) = (member(x), member(y), member(private.as_ref()));
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "d": d, "kid": "k", "use": "sig" });
        let text = jwk.to_string();
        let jwk: Jwk = serde_json::from_str(&text).unwrap();
        assert_eq!(jwk.d[..], d);
        // It is where it was read, in what is wiped as a whole.
        assert!(text.as_bytes().as_ptr_range().contains(&jwk.d.as_ptr()));
        let (signer, kid) = Signer::read(&text).unwrap();
        assert_eq!(kid.as_deref(), Some("k"));
        assert!(matches!(signer, Signer::P256(_)));
        for (wrong, why) in [
            (text.replace(&d, "AA"), "do not belong together"),
            (text.replace(&d, "A"), "no base64url"),
            (text.replace(&d, &"A".repeat(4000)), "no base64url"),
            (text.replace("\"d\"", "\"e\""), "no JWK with a private part"),
        ] {
            let error = Signer::read(&wrong).err().unwrap();
            assert!(error.contains(why), "{error}");
        }
    }
}
