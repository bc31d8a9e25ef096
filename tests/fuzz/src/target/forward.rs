//! What the application behind the sidecar is told: each header about the caller once and true, whatever the client
//! wrote, in any spelling; one host; nothing of the client's own connection.

use std::net::IpAddr;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use renewd_sample_api::Identity;
use renewd_sample_api::fingerprint::Fingerprint;
use renewd_sample_api::identity::Kind;
use renewd_sample_api::proxy::{self, Told};
use renewd_sample_api::trace::{Maker, Trace};

use crate::split;

pub(crate) fn run(data: &[u8]) {
    let [caller, text] = split::texts(data);
    let Some((mut request, kind)) = request(&text) else {
        return;
    };
    // What an identity is made of: see the target `identity`.
    let printable = |byte: u8| byte.is_ascii_graphic() || (kind == Kind::Cn && byte == b' ');
    if caller.is_empty() || caller.trim() != caller || !caller.bytes().all(printable) {
        return;
    }
    let identity = Identity { name: caller, kind };
    let fingerprint = Fingerprint::of(b"client");
    let client: IpAddr = match kind {
        Kind::Uri => [127, 0, 0, 1].into(),
        _ => [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(),
    };
    let trace = Trace::of(request.headers_mut(), &Maker::default(), 0);
    let id = trace.id();
    let told = Told {
        identity: &identity,
        fingerprint,
        address: (client, 4711).into(),
        traceparent: trace.parent(),
    };
    let asked = request.uri().clone();
    let hosts: Vec<String> = request
        .headers()
        .get_all(header::HOST)
        .iter()
        .map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned())
        .collect();
    let Ok(passed) = proxy::outgoing(request, told) else {
        return;
    };
    let headers = passed.headers();
    assert_eq!(once(headers, "x-client-identity"), identity.name);
    let key = match kind {
        Kind::Uri => ("URI", identity.name.clone()),
        Kind::Dns => ("DNS", identity.name.clone()),
        Kind::Cn => ("Subject", format!("CN={}", identity.name)),
    };
    let told = pairs(&once(headers, "x-forwarded-client-cert"));
    assert_eq!(
        told,
        [("Hash", fingerprint.to_string()), key].map(|(key, text)| (key.to_owned(), text))
    );
    let host = asked
        .authority()
        .map_or_else(|| hosts[0].clone(), |host| host.to_string());
    assert_eq!(once(headers, "host"), host);
    let address = match client {
        IpAddr::V4(client) => client.to_string(),
        IpAddr::V6(client) => format!("[{client}]"),
    };
    let expected = [
        ("for", address),
        ("proto", "https".to_owned()),
        ("host", host),
    ];
    let told = pairs(&once(headers, "forwarded"));
    assert_eq!(told, expected.map(|(key, text)| (key.to_owned(), text)));
    assert_eq!(
        once(headers, "traceparent").get(3..35),
        Some(id.to_string().as_str())
    );
    for name in headers.keys() {
        let ours = ["x-client-identity", "x-forwarded-client-cert", "forwarded"];
        let spelt: String = name
            .as_str()
            .chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() {
                    letter
                } else {
                    '-'
                }
            })
            .collect();
        let of_caller = ours.contains(&spelt.as_str()) || spelt.starts_with("x-forwarded-");
        assert!(
            !of_caller || ours.contains(&name.as_str()),
            "{name} is passed on"
        );
        let hop = [
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "proxy-connection",
        ];
        assert!(!hop.contains(&name.as_str()), "{name} is passed on");
    }
    if let Some(connection) = headers.get(header::CONNECTION) {
        assert!(connection == "upgrade" && headers.contains_key(header::UPGRADE));
    }
    assert_eq!(passed.version(), Version::HTTP_11);
    // What was decided about is what is asked for.
    let path = asked.path_and_query().map_or("/", |path| path.as_str());
    assert_eq!(
        passed.uri().path_and_query().map(|path| path.as_str()),
        Some(path)
    );
}

/// The head of a request as HTTP/1.1 writes it, read with the rules of the library that reads them in the server. The
/// first letter says which kind of name the caller has.
fn request(text: &str) -> Option<(Request, Kind)> {
    let mut lines = text.lines();
    let mut words = lines.next()?.split(' ');
    let kind = match words.next()? {
        "uri" => Kind::Uri,
        "dns" => Kind::Dns,
        _ => Kind::Cn,
    };
    let mut request = Request::builder().method(words.next()?).uri(words.next()?);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let name: HeaderName = name.parse().ok()?;
        request = request.header(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    Some((request.body(Body::empty()).ok()?, kind))
}

fn once(headers: &HeaderMap, name: &str) -> String {
    let all: Vec<_> = headers.get_all(name).iter().collect();
    let [one] = all.as_slice() else {
        panic!("{name} is there {} times", all.len());
    };
    String::from_utf8_lossy(one.as_bytes()).into_owned()
}

/// `key=value;key="quoted"`, as applications read `Forwarded` (RFC 7239, section 4) and Envoy's header: one element only.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = text;
    loop {
        let (key, value) = rest.split_once('=').expect("a key");
        let mut read = String::new();
        let end = if let Some(quoted) = value.strip_prefix('"') {
            let mut letters = quoted.char_indices();
            loop {
                match letters.next().expect("an end of the quotes") {
                    (_, '\\') => read.push(letters.next().expect("what is escaped").1),
                    (at, '"') => break at + 2,
                    (_, letter) => read.push(letter),
                }
            }
        } else {
            let end = value.find([';', ',']).unwrap_or(value.len());
            read.push_str(&value[..end]);
            assert!(!read.is_empty() && !read.contains([' ', '"']), "{text}");
            end
        };
        pairs.push((key.to_owned(), read));
        match value[end..].strip_prefix(';') {
            Some(next) => rest = next,
            None => {
                assert!(value[end..].is_empty(), "more than one element: {text}");
                return pairs;
            }
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let heads = [
        (
            "spiffe://a/web",
            "uri GET /x?y=z\nHost: a.example\nX-Client-Identity: root\nX_Forwarded_For: 1.1.1.1\nForwarded: for=1",
        ),
        (
            "web.example",
            "dns POST https://b.example:8443/\nConnection: x-secret, host, traceparent\nX-Secret: 1\nTE: trailers",
        ),
        (
            "Old \"Client\";CN=root, x",
            "cn GET /chat\nHost: \"a,b;c\nUpgrade: websocket\nConnection: Upgrade\nX-Forwarded.Client-Cert: x",
        ),
        (
            "a",
            "uri OPTIONS *\nHost: a\nHost: b\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ];
    heads
        .map(|(caller, head)| split::text(&[caller, head]))
        .into()
}
