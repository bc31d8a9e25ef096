//! A certificate request, held against what was asked for. Of it, only the public key is used.

use std::collections::BTreeSet;

use rcgen::{PublicKeyData, SubjectPublicKeyInfo};
use renewd_core::accept::san_of;
use renewd_core::names::San;
use renewd_core::request::KeyType;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::super::Order;
use super::error::LocalError;

const MAX_BYTES: usize = 64 * 1024;

/// The public key of a request that its owner signed and whose names are exactly those of the order.
/// Whatever else the request wishes for (a subject, other extensions) is ignored.
pub(super) fn public_key(order: &Order<'_>) -> Result<SubjectPublicKeyInfo, LocalError> {
    let refused = |why: String| LocalError::Csr { why };
    if order.csr.len() > MAX_BYTES {
        return Err(refused(format!("{} bytes are too many", order.csr.len())));
    }
    let (rest, csr) = X509CertificationRequest::from_der(order.csr)
        .map_err(|error| refused(format!("it cannot be read: {error}")))?;
    if !rest.is_empty() {
        return Err(refused("bytes follow it".into()));
    }
    csr.verify_signature()
        .map_err(|_| refused("its signature was not made by its key".into()))?;
    check_names(order, &csr)?;
    let spki = &csr.certification_request_info.subject_pki;
    let key = SubjectPublicKeyInfo::from_der(spki.raw)
        .map_err(|error| refused(format!("its key is of no known type: {error}")))?;
    let rsa_bits = match spki.parsed() {
        Ok(PublicKey::RSA(rsa)) => rsa.key_size(),
        _ => 0,
    };
    let algorithm = key.algorithm();
    let as_asked = match order.request.key_type {
        KeyType::EcdsaP256 => algorithm == &rcgen::PKCS_ECDSA_P256_SHA256,
        KeyType::EcdsaP384 => algorithm == &rcgen::PKCS_ECDSA_P384_SHA384,
        KeyType::Ed25519 => algorithm == &rcgen::PKCS_ED25519,
        KeyType::Rsa2048 => rsa_bits == 2048,
        KeyType::Rsa3072 => rsa_bits == 3072,
        KeyType::Rsa4096 => rsa_bits == 4096,
    };
    if !as_asked {
        return Err(refused(format!(
            "its key is not of the type asked for, {:?}",
            order.request.key_type
        )));
    }
    Ok(key)
}

fn check_names(order: &Order<'_>, csr: &X509CertificationRequest<'_>) -> Result<(), LocalError> {
    // Every attribute is looked at: a second one must not hide a name from the comparison.
    let extensions = csr
        .certification_request_info
        .iter_attributes()
        .filter_map(|attribute| match attribute.parsed_attribute() {
            ParsedCriAttribute::ExtensionRequest(requested) => Some(&requested.extensions),
            _ => None,
        })
        .flatten();
    let mut found = BTreeSet::new();
    for extension in extensions {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                for name in &names.general_names {
                    found.insert(typed(name)?);
                }
            }
            ParsedExtension::ParseError { .. } => {
                return Err(LocalError::Csr {
                    why: format!("its extension {} cannot be read", extension.oid),
                });
            }
            _ => {}
        }
    }
    let asked: BTreeSet<San> = order.request.names.iter().cloned().collect();
    if found.is_empty() || found != asked {
        let list = |names: &BTreeSet<San>| {
            let texts: Vec<String> = names.iter().map(San::to_string).collect();
            texts.join(", ")
        };
        return Err(LocalError::Csr {
            why: format!("it names [{}], expected [{}]", list(&found), list(&asked)),
        });
    }
    Ok(())
}

fn typed(name: &GeneralName<'_>) -> Result<San, LocalError> {
    san_of(name).ok_or_else(|| LocalError::Csr {
        why: format!("it names {name}, which was not asked for"),
    })
}
