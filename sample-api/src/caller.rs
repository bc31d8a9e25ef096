//! What a handler may know of the request that it answers.
//!
//! Owns: the one extension that [`crate::access`] gives each request, and the ways to ask for it.
//! Never does: decide.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};

use crate::access::Access;
use crate::identity::{Identity, Peer};
use crate::problem::Problem;
use crate::registry::Role;
use crate::trace::{Trace, TraceId};

/// Who asks, and by what right.
///
/// A handler takes it as an argument, or an [`Identity`] alone, or asks the request's extensions for it.
#[derive(Clone)]
pub struct Caller {
    access: Arc<Access>,
    role: Role,
    trace: Trace,
}

impl Caller {
    /// Of a client that has an identity, and was allowed in by that role.
    pub(crate) fn new(access: Arc<Access>, role: Role, trace: Trace) -> Self {
        Self {
            access,
            role,
            trace,
        }
    }

    /// Its identity. None only for those that [`crate::access`] keeps away from every handler.
    fn known(&self) -> Option<&Identity> {
        self.peer().identity.as_ref().ok()
    }

    /// Its one name.
    pub fn name(&self) -> &str {
        self.known().map_or("", |identity| &identity.name)
    }

    /// Its certificate.
    pub fn peer(&self) -> &Arc<Peer> {
        self.access.seat.peer()
    }

    /// The role that allowed the request.
    pub fn role(&self) -> &str {
        self.role.name()
    }

    /// The generation of the server's certificate that the connection began with.
    pub fn generation(&self) -> u64 {
        self.access.generation
    }

    /// Where the connection came from.
    pub fn address(&self) -> SocketAddr {
        self.access.client
    }

    /// The trace that the request belongs to.
    pub fn trace(&self) -> TraceId {
        self.trace.id()
    }

    /// What to send as `traceparent` with requests that are made for this one.
    pub fn traceparent(&self) -> HeaderValue {
        self.trace.parent()
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("peer", self.peer())
            .field("role", &self.role())
            .finish_non_exhaustive()
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(unknown)
    }
}

impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>();
        caller.and_then(Caller::known).cloned().ok_or_else(unknown)
    }
}

/// The request did not come by way of [`crate::MutualTls`].
fn unknown() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "no client certificate")
}
