//! Its revocation lists.

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams};

use super::*;

impl FakeIssuer {
    /// From now on it signs, lists too, by a CA below its root.
    pub(crate) fn signs_below_its_root(&self) {
        let mut state = self.lock();
        let (params, key) = authority(None);
        let issuing = CertifiedIssuer::signed_by(params, key, &state.root).unwrap();
        state.issuing = Some(Arc::new(issuing));
    }

    /// From now on it brings a list that begins now, lasts for so long, and names so many certificates.
    pub(crate) fn publishes_crl(&self, life: Duration, revoked: u64) {
        let mut state = self.lock();
        let now = (self.now)();
        state.crls_made += 1;
        let from = date_time_ymd(1970, 1, 1) + seconds(now);
        let revoked = (0..revoked).map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: from,
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: from,
            next_update: from + life,
            crl_number: SerialNumber::from(state.crls_made),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params
            .signed_by(state.issuing.as_ref().unwrap_or(&state.root))
            .unwrap();
        state.crls = Some(Ok(list.der().clone()));
    }

    /// From now on it is to bring lists, and cannot.
    pub(crate) fn loses_its_crl(&self) {
        self.lock().crls = Some(Err(()));
    }

    /// From now on it is to bring none.
    pub(crate) fn publishes_no_crl(&self) {
        self.lock().crls = None;
    }
}
