//! The roots that the operator wrote down.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use renewd_core::pem;
use rustls_pki_types::CertificateDer;

use super::super::program::closed;
use super::error::ExecError;

/// More roots than anybody has.
const MAX_BYTES: u64 = 1024 * 1024;

/// Reads them.
pub(super) fn read(path: &Path, owner: u32) -> Result<Vec<CertificateDer<'static>>, ExecError> {
    let failed = |source| ExecError::TrustIo {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    closed(path, &file.metadata().map_err(failed)?, owner)?;
    let mut text = String::new();
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    match pem::parse_certificates(&text) {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err(ExecError::Trust {
            path: path.to_owned(),
        }),
    }
}
