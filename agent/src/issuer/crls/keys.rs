//! Where an issuer's revocation lists are had from, as its key `crl` has it.

use crate::table::{Mismatch, Report, Section, clipped, twice, values};

use super::super::places::LONGEST_PATH;
use super::CrlSources;

/// The key.
pub(in crate::issuer) const KEY: &str = "crl";

/// Reads the path of a CA at its server.
type OtherCa = fn(&str) -> Result<String, Mismatch>;

/// Reads the key; `other` reads a CA's path at the server, where it has any.
pub(in crate::issuer) fn read(
    section: &Section<'_>,
    report: &mut Report,
    other: Option<OtherCa>,
) -> CrlSources {
    let mut sources = CrlSources::default();
    let Some(raw) = section.texts(KEY, report) else {
        return sources;
    };
    if let Some(at) = raw.value.get(values::MOST_ENTRIES) {
        at.refuse(report, values::too_many());
        return sources;
    }
    for (index, at) in raw.value.iter().enumerate() {
        let text = &at.value;
        if raw.value[..index]
            .iter()
            .any(|before| before.value == *text)
        {
            at.refuse(report, twice(text));
            continue;
        }
        match (text.as_str(), other) {
            ("issuer", _) => sources.issuer = true,
            (path, _)
                if path.starts_with('/') && path.len() <= LONGEST_PATH && !path.contains('\0') =>
            {
                sources.files.push(path.into());
            }
            (_, Some(other)) => {
                sources
                    .others
                    .extend(at.parse(report, |text| other(text)).map(|at| at.value));
            }
            (_, None) => at.refuse(
                report,
                Mismatch::new(
                    format!("{:?} is no place of revocation lists", clipped(text)),
                    "\"issuer\", or the absolute path of a file",
                    "write for example crl = [\"issuer\", \"/etc/renewd/root-crl.pem\"]",
                ),
            ),
        }
    }
    sources
}
