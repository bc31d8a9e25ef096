//! The configuration file: what is accepted can work, and what is refused is named by file and line.

use std::path::Path;

use renewd_sample_api::config::{Config, MAIN};

use crate::split;

pub(crate) fn run(data: &[u8]) {
    let [text] = split::texts(data);
    let config = match Config::parse(Path::new("config.toml"), &text) {
        Ok(config) => config,
        Err(error) => return super::names_its_place(&error, &text),
    };
    assert!(config.health.ip().is_loopback());
    assert!(config.admin.is_absolute());
    let faces = config.faces.iter().map(|face| &face.mtls);
    for mtls in [&config.mtls].into_iter().chain(faces) {
        assert!(mtls.certificate.is_absolute());
        for path in [&mtls.crl, &mtls.policy].into_iter().flatten() {
            assert!(path.is_absolute());
        }
        assert!(mtls.max_connections > 0 && mtls.max_per_identity != Some(0));
        for period in [mtls.drain, mtls.handshake, mtls.next_request] {
            assert!(!period.is_zero() && period.as_secs() <= 366 * 86_400);
        }
    }
    let mut names: Vec<_> = config.faces.iter().map(|face| face.name.as_str()).collect();
    for name in &names {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        assert!(name.bytes().all(word) && *name != MAIN, "{name}");
    }
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    const SHIPPED: [&str; 2] = [
        include_str!("../../../../packaging/renewd-sample-api/config.toml"),
        include_str!("../../../../docs/examples/sample-api.toml"),
    ];
    let mut seeds: Vec<Vec<u8>> = SHIPPED.map(|text| text.as_bytes().to_vec()).into();
    let all = r#"
listen = "[::]:8443"
certificate = "/c"
health = "127.0.0.1:1"
admin = "/a"
redirect = "0.0.0.0:80"
upstream = "http://127.0.0.1:3000"
crl = "/l"
unknown_revocation = "accept"
policy = "/p"
common_name = true
tls12 = true
audit = false
drain = "1h 30min"
max_age = "1day"
handshake = "10s"
next_request = "500ms"
max_connections = 10
max_connections_per_identity = 2
max_streams = 100
max_head = 16384
max_body = 1048576
[[face]]
name = "inside"
listen = "10.0.0.1:1"
certificate = "/d"
crl = "/m"
policy = "/q"
"#;
    seeds.push(all.into());
    seeds.push(b"certificate = '''/c'''\nupstream = \"unix:/s\"\n[[face]]\nname=\"x\"\n".to_vec());
    seeds
}
