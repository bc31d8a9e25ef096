//! Refusals as RFC 9457 problem details.
//!
//! Owns: the shape of every error that a caller sees.
//! Never does: tell a caller what only the operator should know. Neighbour: [`crate::routes`].

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A refusal: status and one sentence for the caller.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    /// A refusal with that status; `detail` goes to the caller.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
        }
    }
}

/// RFC 9457, section 3.1. `type` is left out, which means `about:blank`: the title is the status' own.
#[derive(Serialize)]
struct Body<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
        };
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}
