//! The names that a server certificate is for.
//!
//! Owns: which names count, and what a wildcard stands for.
//! Never does: choose a face; [`crate::shared`] does, by what is said here. Neighbour: [`crate::tls`] reads them.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

/// The DNS names of a certificate, in lower case. A common name is none (RFC 9525, section 2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    whole: Vec<String>,
    /// Without the `*.` in front.
    wildcards: Vec<String>,
}

/// How well a name fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// A wildcard stands for it.
    Wildcard,
    /// It is in the certificate as it is.
    Whole,
}

impl Names {
    /// Reads them from a parsed certificate. What cannot be read names nobody.
    pub fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self::default();
        let Ok(Some(extension)) = certificate.subject_alternative_name() else {
            return names;
        };
        for name in &extension.value.general_names {
            let GeneralName::DNSName(name) = name else {
                continue;
            };
            let name = name.to_ascii_lowercase();
            match name.strip_prefix("*.") {
                Some(rest) => names.wildcards.push(rest.to_owned()),
                None => names.whole.push(name),
            }
        }
        names
    }

    /// How a name fits, in any case, with or without the dot of the root. The star is the whole first label and stands for
    /// one label (RFC 9525, section 6.3).
    pub fn fit(&self, name: &str) -> Option<Fit> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let is = |own: &String| own.eq_ignore_ascii_case(name);
        if self.whole.iter().any(is) {
            return Some(Fit::Whole);
        }
        let (first, rest) = name.split_once('.')?;
        let is = |own: &String| own.eq_ignore_ascii_case(rest);
        (!first.is_empty() && self.wildcards.iter().any(is)).then_some(Fit::Wildcard)
    }

    /// One name for each that is in the certificate; for a wildcard, one that it stands for.
    pub fn examples(&self) -> impl Iterator<Item = String> {
        let wildcards = self.wildcards.iter().map(|rest| format!("*.{rest}"));
        self.whole.iter().cloned().chain(wildcards)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};
    use x509_parser::prelude::FromDer;

    fn names(names: &[&str]) -> Names {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "common.example");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Names::of(&X509Certificate::from_der(certificate.der()).unwrap().1)
    }

    #[test]
    fn a_name_fits_in_any_case_and_with_the_dot_of_the_root() {
        let names = names(&["Api.Example", "127.0.0.1"]);
        for name in ["api.example", "API.EXAMPLE", "api.example."] {
            assert_eq!(names.fit(name), Some(Fit::Whole), "{name}");
        }
        for name in [
            "example",
            "a.api.example",
            "127.0.0.1",
            "common.example",
            "",
        ] {
            assert_eq!(names.fit(name), None, "{name}");
        }
    }

    #[test]
    fn a_star_is_one_whole_label_and_a_name_as_it_is_fits_better() {
        let names = names(&["*.example", "api.example", "f*.other.example"]);
        assert_eq!(names.fit("web.example"), Some(Fit::Wildcard));
        assert_eq!(names.fit("api.example"), Some(Fit::Whole));
        assert!(Fit::Whole > Fit::Wildcard);
        for name in ["example", ".example", "a.b.example", "foo.other.example"] {
            assert_eq!(names.fit(name), None, "{name}");
        }
    }
}
