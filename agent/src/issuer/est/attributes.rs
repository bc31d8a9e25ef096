//! What a CA wants of certificate requests (RFC 7030, section 4.5.2): judged before one is sent, since the CA's own refusal
//! would say less. What asks for nothing that renewd could change is let be, and named.

use cms::cert::x509::attr::Attribute;
use cms::cert::x509::der::asn1::{Any, ObjectIdentifier};
use cms::cert::x509::der::{Decode, Result, Tag, Tagged};
use cms::cert::x509::ext::Extension;
use cms::cert::x509::ext::pkix::ExtendedKeyUsage;
use renewd_core::request::{KeyType, Request};

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

const CHALLENGE_PASSWORD: ObjectIdentifier = oid("1.2.840.113549.1.9.7");
const EXTENSION_REQUEST: ObjectIdentifier = oid("1.2.840.113549.1.9.14");
const RSA: ObjectIdentifier = oid("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = oid("1.2.840.10045.2.1");
const P256: ObjectIdentifier = oid("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = oid("1.3.132.0.34");
/// The key's algorithm, and the signature's (RFC 8410, section 3): here the key's.
const ED25519: ObjectIdentifier = oid("1.3.101.112");
const ECDSA_SHA256: ObjectIdentifier = oid("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = oid("1.2.840.10045.4.3.3");
const ECDSA_SHA512: ObjectIdentifier = oid("1.2.840.10045.4.3.4");
const RSA_SHA256: ObjectIdentifier = oid("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = oid("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = oid("1.2.840.113549.1.1.13");
const SIGNATURES: [ObjectIdentifier; 6] = [
    ECDSA_SHA256,
    ECDSA_SHA384,
    ECDSA_SHA512,
    RSA_SHA256,
    RSA_SHA384,
    RSA_SHA512,
];

const SUBJECT_ALT_NAME: ObjectIdentifier = oid("2.5.29.17");
const KEY_USAGE: ObjectIdentifier = oid("2.5.29.15");
const EXTENDED_KEY_USAGE: ObjectIdentifier = oid("2.5.29.37");
const SERVER_AUTH: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.1");
const CLIENT_AUTH: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.2");

/// Every type of key, with its name in the configuration.
const KEYS: [(KeyType, &str); 6] = [
    (KeyType::EcdsaP256, "ecdsa-p256"),
    (KeyType::EcdsaP384, "ecdsa-p384"),
    (KeyType::Ed25519, "ed25519"),
    (KeyType::Rsa2048, "rsa-2048"),
    (KeyType::Rsa3072, "rsa-3072"),
    (KeyType::Rsa4096, "rsa-4096"),
];

/// Why a request would not be what the CA wants, where another configuration makes it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unwanted {
    /// The CA wants another key, or another signature.
    Key {
        /// What it wants.
        wanted: String,
        /// The type of key that does it, as in the configuration.
        remedy: &'static str,
    },
    /// The CA wants a usage that is not asked for.
    Usage(&'static str),
}

/// A key's algorithm, with what the CA says of its curve or size.
struct Key {
    algorithm: ObjectIdentifier,
    curves: Vec<ObjectIdentifier>,
    bits: Vec<u64>,
}

/// What it wants.
#[derive(Default)]
pub(super) struct Wanted {
    keys: Vec<Key>,
    signatures: Vec<ObjectIdentifier>,
    usages: Vec<ObjectIdentifier>,
    /// What is let be.
    ignored: Vec<String>,
}

impl Wanted {
    /// Reads the answer; nothing is wanted where it is empty.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn of(der: &[u8]) -> std::result::Result<Self, String> {
        match der.is_empty() {
            true => Ok(Self::default()),
            false => Self::read(der).map_err(|error| error.to_string()),
        }
    }

    /// Judges a request; returns what of the CA's wishes is not looked after.
    pub(super) fn judge(&self, request: &Request) -> std::result::Result<Vec<String>, Unwanted> {
        let mut ignored = self.ignored.clone();
        if !self.suits(request.key_type) {
            let wanted = self.in_words();
            match KEYS.iter().find(|(key, _)| self.suits(*key)) {
                Some((_, remedy)) => return Err(Unwanted::Key { wanted, remedy }),
                // Nobody could write what it wants: let the CA decide.
                None => ignored.push(format!(
                    "a key or signature that it does not make ({wanted})"
                )),
            }
        }
        for (usage, asked, name) in [
            (SERVER_AUTH, request.usages.server, "server"),
            (CLIENT_AUTH, request.usages.client, "client"),
        ] {
            if self.usages.contains(&usage) && !asked {
                return Err(Unwanted::Usage(name));
            }
        }
        Ok(ignored)
    }

    fn read(der: &[u8]) -> Result<Self> {
        let mut wanted = Self::default();
        for entry in Vec::<Any>::from_der(der)? {
            if entry.tag() == Tag::ObjectIdentifier {
                wanted.note(entry.decode_as()?, &[])?;
            } else {
                let attribute: Attribute = entry.decode_as()?;
                let values: Vec<Any> = attribute.values.iter().cloned().collect();
                wanted.note(attribute.oid, &values)?;
            }
        }
        Ok(wanted)
    }

    fn note(&mut self, oid: ObjectIdentifier, values: &[Any]) -> Result<()> {
        let with = |tag| values.iter().filter(move |value| value.tag() == tag);
        match oid {
            CHALLENGE_PASSWORD => self.ignored.push("challengePassword".into()),
            EXTENSION_REQUEST => {
                for value in values {
                    self.note_extensions(value)?;
                }
            }
            RSA | EC | ED25519 => self.keys.push(Key {
                algorithm: oid,
                curves: with(Tag::ObjectIdentifier)
                    .map(Any::decode_as)
                    .collect::<Result<_>>()?,
                bits: with(Tag::Integer)
                    .map(Any::decode_as)
                    .collect::<Result<_>>()?,
            }),
            _ if SIGNATURES.contains(&oid) => self.signatures.push(oid),
            _ => self.ignored.push(oid.to_string()),
        }
        Ok(())
    }

    /// Extensions with their values (RFC 2985, section 5.4.2), or the mere identifier of one (the example of RFC 7030).
    fn note_extensions(&mut self, value: &Any) -> Result<()> {
        if value.tag() == Tag::ObjectIdentifier {
            self.note_extension(value.decode_as()?);
            return Ok(());
        }
        for extension in value.decode_as::<Vec<Extension>>()? {
            if extension.extn_id == EXTENDED_KEY_USAGE {
                let usages = ExtendedKeyUsage::from_der(extension.extn_value.as_bytes())?;
                self.usages.extend(usages.0);
            } else {
                self.note_extension(extension.extn_id);
            }
        }
        Ok(())
    }

    /// Every request has the names and both kinds of usages.
    fn note_extension(&mut self, id: ObjectIdentifier) {
        if ![SUBJECT_ALT_NAME, KEY_USAGE, EXTENDED_KEY_USAGE].contains(&id) {
            self.ignored.push(format!("the extension {id}"));
        }
    }

    /// Whether one of the keys and one of the signatures that are wanted is that of such a key.
    fn suits(&self, key: KeyType) -> bool {
        let (algorithm, curve, bits, signature) = match key {
            KeyType::EcdsaP256 => (EC, Some(P256), None, Some(ECDSA_SHA256)),
            KeyType::EcdsaP384 => (EC, Some(P384), None, Some(ECDSA_SHA384)),
            KeyType::Ed25519 => (ED25519, None, None, None),
            KeyType::Rsa2048 => (RSA, None, Some(2048), Some(RSA_SHA256)),
            KeyType::Rsa3072 => (RSA, None, Some(3072), Some(RSA_SHA256)),
            KeyType::Rsa4096 => (RSA, None, Some(4096), Some(RSA_SHA256)),
        };
        let of_key = |wanted: &Key| {
            wanted.algorithm == algorithm
                && (wanted.curves.is_empty()
                    || curve.is_some_and(|curve| wanted.curves.contains(&curve)))
                && (wanted.bits.is_empty() || bits.is_some_and(|bits| wanted.bits.contains(&bits)))
        };
        (self.keys.is_empty() || self.keys.iter().any(of_key))
            && (self.signatures.is_empty()
                || signature.is_none_or(|signature| self.signatures.contains(&signature)))
    }

    fn in_words(&self) -> String {
        let keys = self.keys.iter().flat_map(|key| {
            let curves = key
                .curves
                .iter()
                .map(|curve| format!("ECDSA on {}", name(curve)));
            let sizes = key.bits.iter().map(|bits| format!("RSA with {bits} bits"));
            let mut each: Vec<String> = curves.chain(sizes).collect();
            if each.is_empty() {
                each.push(name(&key.algorithm));
            }
            each
        });
        let signatures = self.signatures.iter().map(name);
        keys.chain(signatures).collect::<Vec<_>>().join(", ")
    }
}

fn name(oid: &ObjectIdentifier) -> String {
    let known = match *oid {
        RSA => "RSA",
        EC => "ECDSA",
        ED25519 => "Ed25519",
        P256 => "P-256",
        P384 => "P-384",
        ECDSA_SHA256 => "ECDSA with SHA-256",
        ECDSA_SHA384 => "ECDSA with SHA-384",
        ECDSA_SHA512 => "ECDSA with SHA-512",
        RSA_SHA256 => "RSA with SHA-256",
        RSA_SHA384 => "RSA with SHA-384",
        RSA_SHA512 => "RSA with SHA-512",
        _ => return oid.to_string(),
    };
    known.to_owned()
}
