//! systemd's specifiers in names, so that one file serves a fleet (`systemd.unit(5)`, "Specifiers").

use super::environment::Environment;

/// Why a text with specifiers has no meaning here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SpecifierError {
    /// Not one that names may have.
    #[error("%{0} is no specifier that names may have")]
    Unknown(char),
    /// A `%` at the end.
    #[error("a single % stands at the end")]
    Dangling,
    /// This host has no such thing.
    #[error("this host has no {what} for %{specifier}")]
    Absent {
        /// The specifier.
        specifier: char,
        /// What it stands for.
        what: &'static str,
    },
}

/// What may stand after a `%`, for error texts.
pub(super) const KNOWN: &str =
    "%H (host name), %l (host name up to its first dot), %m (machine ID) or %% (a percent sign)";

/// Replaces the specifiers in `text`.
pub(super) fn expand(text: &str, environment: &Environment) -> Result<String, SpecifierError> {
    let mut expanded = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            expanded.push(letter);
            continue;
        }
        let specifier = letters.next().ok_or(SpecifierError::Dangling)?;
        let host = || present(environment.host_name.as_deref(), specifier, "host name");
        match specifier {
            '%' => expanded.push('%'),
            'H' => expanded.push_str(host()?),
            'l' => expanded.push_str(host()?.split('.').next().unwrap_or_default()),
            'm' => {
                let id = environment.machine_id.as_deref();
                expanded.push_str(present(id, specifier, "machine ID")?);
            }
            other => return Err(SpecifierError::Unknown(other)),
        }
    }
    Ok(expanded)
}

fn present<'a>(
    value: Option<&'a str>,
    specifier: char,
    what: &'static str,
) -> Result<&'a str, SpecifierError> {
    value
        .filter(|value| !value.is_empty())
        .ok_or(SpecifierError::Absent { specifier, what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AnyAccounts;
    use crate::kinds::KINDS;

    fn environment() -> Environment {
        Environment::new("web1.example.org", "0123abcd", AnyAccounts, KINDS)
    }

    #[test]
    fn specifiers_become_what_the_host_is_called() {
        for (text, expanded) in [
            ("%H", "web1.example.org"),
            ("%l.internal", "web1.internal"),
            ("spiffe://td/%m/%%H", "spiffe://td/0123abcd/%H"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(expand(text, &environment()), Ok(expanded.to_owned()));
        }
    }

    #[test]
    fn unknown_dangling_and_absent_specifiers_are_errors() {
        assert_eq!(
            expand("%b", &environment()),
            Err(SpecifierError::Unknown('b'))
        );
        assert_eq!(expand("a%", &environment()), Err(SpecifierError::Dangling));
        let nameless = Environment::new("", "", AnyAccounts, KINDS);
        for (text, specifier) in [("%H", 'H'), ("%l", 'l'), ("%m", 'm')] {
            assert!(matches!(
                expand(text, &nameless),
                Err(SpecifierError::Absent { specifier: found, .. }) if found == specifier
            ));
        }
    }
}
