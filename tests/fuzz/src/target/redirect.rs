//! The face without TLS: it redirects to the same host and path over HTTPS, and to nowhere else.

use std::cell::RefCell;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderValue, StatusCode, header};
use renewd_sample_api::routes;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

use crate::split;

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().build().expect("a runtime");
    static FACES: RefCell<[(u16, Router); 2]> =
        RefCell::new([443, 8443].map(|port| (port, routes::redirect(port))));
}

pub(crate) fn run(data: &[u8]) {
    let [target, host] = split::texts(data);
    let (Ok(uri), Ok(value)) = (target.parse::<Uri>(), HeaderValue::from_str(&host)) else {
        return;
    };
    FACES.with_borrow(|faces| {
        for (port, face) in faces {
            let request = Request::builder()
                .uri(uri.clone())
                .header(header::HOST, &value);
            let request = request.body(Body::empty()).expect("a request");
            let answer = RUNTIME.with(|runtime| runtime.block_on(face.clone().oneshot(request)));
            let answer = answer.unwrap_or_else(|never| match never {});
            let location = answer.headers().get(header::LOCATION);
            let Some(location) = location else {
                assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
                continue;
            };
            assert_eq!(answer.status(), StatusCode::PERMANENT_REDIRECT);
            // A browser reads it as RFC 3986 says: scheme, authority up to the first of `/?#`, the rest.
            let location = std::str::from_utf8(location.as_bytes()).expect("it is text");
            let rest = location.strip_prefix("https://").expect("HTTPS");
            let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            let asked: Authority = host.parse().expect("it was accepted");
            let expected = match port {
                443 => asked.host().to_owned(),
                port => format!("{}:{port}", asked.host()),
            };
            assert_eq!(authority, expected, "{location}");
            assert!(!authority.is_empty() && !authority.contains('@'));
            let asked = uri.path_and_query().map_or("", |path| path.as_str());
            let expected = match asked.as_bytes().first() {
                Some(b'/') => asked.to_owned(),
                Some(b'?') => format!("/{asked}"),
                _ => "/".to_owned(),
            };
            assert_eq!(path, expected, "{location}");
        }
    });
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let pairs = [
        ("/a?b=c", "web.example"),
        ("/", "web.example:8080"),
        ("http://other.example/x", "[::1]:80"),
        ("//evil.example/x", "127.0.0.1"),
        ("*", "user@web.example"),
        ("/\\evil", "web.example:"),
    ];
    pairs
        .map(|(target, host)| split::text(&[target, host]))
        .into()
}
