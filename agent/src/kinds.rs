//! The kinds of issuers that there are: what `renewd` and `renewctl` are both composed with.
//!
//! To add one: its module in [`crate::issuer`], and its line here. `docs/architecture.md` shows a whole one.

use crate::issuer;
use crate::issuer::kind::Kinds;

/// The embedded CA first: it is what a table without a type is taken for.
pub const KINDS: Kinds = Kinds::of(&[
    &issuer::local::KIND,
    &issuer::acme::KIND,
    &issuer::est::KIND,
    &issuer::exec::KIND,
    &issuer::step::KIND,
    &issuer::vault::KIND,
    &issuer::spiffe::KIND,
]);
