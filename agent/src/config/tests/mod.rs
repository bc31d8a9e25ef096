//! Tests of the configuration as a whole.

mod acme;
mod credentials;
mod errors;
mod examples;
mod issuers;
mod loading;
mod ownership;
mod property;
mod step;

use std::path::Path;

use super::accounts::ListedAccounts;
use super::{ConfigError, Environment, Loaded, Texts, load_texts};
use crate::kinds::KINDS;

/// A host with the accounts that the examples name.
fn environment() -> Environment {
    let accounts = ListedAccounts(vec![
        ("root", 0),
        ("www-data", 33),
        ("postgres", 113),
        ("renewd-sample-api", 990),
        ("far", 1_234_567),
    ]);
    Environment::new(
        "web1.example.internal",
        "2f1c9e0a7d3b4c5e8f60718293a4b5c6",
        accounts,
        KINDS,
    )
}

const MAIN: &str = "[issuer.internal]\ntype = \"local\"\n";

/// Loads one certificate named `api` beside a main file.
fn load_pair(main: &str, certificate: &str) -> Loaded {
    let texts = Texts {
        main: Some(main.to_owned()),
        certificates: [("api".parse().unwrap(), certificate.to_owned())].into(),
    };
    load_texts(Path::new("/etc/renewd"), &texts, &environment())
}

fn load_certificate(certificate: &str) -> Loaded {
    load_pair(MAIN, certificate)
}

fn load_main(main: &str) -> Loaded {
    let texts = Texts {
        main: Some(main.to_owned()),
        ..Texts::default()
    };
    load_texts(Path::new("/etc/renewd"), &texts, &environment())
}

fn lines(errors: &[ConfigError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}
