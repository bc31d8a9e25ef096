//! What is asked of an issuer.

use std::time::Duration;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::leaf::Fingerprint;
use crate::names::{IssuerName, San};

/// The type of a certificate's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum KeyType {
    /// ECDSA on P-256: the default.
    #[default]
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
}

/// The extended key usages asked for (RFC 5280, section 4.2.1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Usages {
    /// `serverAuth`.
    pub server: bool,
    /// `clientAuth`.
    pub client: bool,
}

impl Default for Usages {
    fn default() -> Self {
        Self {
            server: true,
            client: true,
        }
    }
}

/// One certificate, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who is asked.
    pub issuer: IssuerName,
    /// Which CA goes by that name, where it can be another one tomorrow: the address of an ACME directory.
    pub directory: Option<String>,
    /// At least one; exactly these must be in the leaf.
    pub names: Vec<San>,
    /// The life asked for; an issuer may give less.
    pub lifetime: Duration,
    /// The key's type.
    pub key_type: KeyType,
    /// The usages asked for; a leaf may have more.
    pub usages: Usages,
}

impl Request {
    /// A digest over everything whose change makes a certificate due at once: issuer, directory, names (as a
    /// set), key type and usages. The life is not part of it: a changed life holds from the next
    /// renewal on.
    pub fn digest(&self) -> Fingerprint {
        let mut names: Vec<String> = self.names.iter().map(San::to_string).collect();
        names.sort();
        names.dedup();
        let mut context = digest::Context::new(&digest::SHA256);
        let mut part = |text: &str| {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        };
        part(self.issuer.as_str());
        // Without one, the digest is as it was before there were any: nothing becomes due by an upgrade.
        if let Some(directory) = &self.directory {
            part("acme");
            part(directory);
        }
        part(&format!("{:?} {:?}", self.key_type, self.usages));
        for name in &names {
            part(name);
        }
        Fingerprint::from_digest(&context.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            issuer: "internal".parse().unwrap(),
            directory: None,
            names: vec!["a.test".parse().unwrap(), "b.test".parse().unwrap()],
            lifetime: Duration::from_secs(3600),
            key_type: KeyType::default(),
            usages: Usages::default(),
        }
    }

    #[test]
    fn the_digest_follows_what_makes_a_certificate_due_and_nothing_else() {
        let base = request().digest();
        let mut same = request();
        same.names.reverse();
        same.lifetime = Duration::from_secs(60);
        assert_eq!(same.digest(), base);
        for change in [
            |request: &mut Request| request.issuer = "other".parse().unwrap(),
            |request: &mut Request| request.directory = Some("https://a.test/".into()),
            |request: &mut Request| request.key_type = KeyType::Ed25519,
            |request: &mut Request| request.usages.client = false,
            |request: &mut Request| request.names.truncate(1),
        ] {
            let mut other = request();
            change(&mut other);
            assert_ne!(other.digest(), base);
        }
    }
}
