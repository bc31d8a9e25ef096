//! What the issuer gave last, which after going back is another one than what is in use.

use jiff::Timestamp;

use crate::record::{Generation, GenerationNumber, Record};

impl Record {
    /// What the issuer gave last. After going back that is another one than what shall be published: it was blamed, and
    /// yet is the one that the CA knows for the newest. `None` also when it is lost.
    pub fn newest_issued(&self) -> Option<&Generation> {
        let (_, newest) = self.newest()?;
        (!newest.lost).then_some(newest)
    }

    pub(super) fn newest(&self) -> Option<(&GenerationNumber, &Generation)> {
        let generations = self.generations.iter();
        generations.max_by_key(|(_, generation)| generation.identity)
    }

    /// What a CA that renews over mutual TLS is shown: what shall be published, for it works; when that has ended or was
    /// revoked, the newest one, though a dependent did not take it.
    pub fn identity_to_show(&self, now: Timestamp) -> Option<&Generation> {
        let target = self.target_generation();
        let mut held = target.into_iter().chain(self.newest_issued());
        let valid = held.find(|held| held.leaf.not_after > now && !held.revoked);
        valid.or(target)
    }
}
