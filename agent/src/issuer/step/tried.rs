//! One-time tokens that were brought, by their digests: one that is of no use any more is not brought again.

use std::sync::{Arc, Mutex, PoisonError};

use renewd_core::leaf::Fingerprint;

use super::super::https::HttpsError;
use super::error::StepError;

/// A file has one token for each certificate.
const MOST: usize = 256;

/// A token that no certificate came of.
struct Tried {
    digest: Fingerprint,
    /// What went wrong first, and may have used it up.
    trouble: Option<String>,
    /// What ended it.
    refusal: Option<Arc<StepError>>,
}

/// Those that were brought since the issuer was made.
#[derive(Default)]
pub(super) struct TriedTokens(Mutex<Vec<Tried>>);

impl TriedTokens {
    /// What a token of `place` was refused with, if it was.
    pub(super) fn refusal(&self, token: &str, place: &str) -> Option<StepError> {
        let digest = Fingerprint::of(token.as_bytes());
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tried = all.iter().find(|tried| tried.digest == digest)?;
        Some(StepError::TokenRefused {
            place: place.to_owned(),
            refusal: Arc::clone(tried.refusal.as_ref()?),
            before: tried.trouble.clone(),
        })
    }

    /// Notes what came of a token of `place`; returns how it is to be told.
    pub(super) fn note(&self, token: &str, place: &str, error: StepError) -> StepError {
        let digest = Fingerprint::of(token.as_bytes());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|tried| tried.digest == digest);
        let at = at.unwrap_or_else(|| {
            if all.len() >= MOST {
                all.remove(0);
            }
            all.push(Tried {
                digest,
                trouble: None,
                refusal: None,
            });
            all.len() - 1
        });
        let tried = &mut all[at];
        match error {
            // It counts as an issuance once: what is remembered of it does not.
            StepError::Spent(why) => {
                tried.refusal = Some(Arc::new(StepError::Spent(Arc::clone(&why))));
                StepError::Spent(why)
            }
            error if error.ends_a_token() => {
                let refusal = Arc::new(error);
                tried.refusal = Some(Arc::clone(&refusal));
                StepError::TokenRefused {
                    place: place.to_owned(),
                    refusal,
                    before: tried.trouble.clone(),
                }
            }
            error => {
                if !matches!(error, StepError::Https(HttpsError::Unreachable { .. })) {
                    tried.trouble.get_or_insert_with(|| error.to_string());
                }
                error
            }
        }
    }
}
