//! `[issuer.NAME]` with `type = "est"`.

use std::rc::Rc;
use std::sync::Arc;

use hyper::Uri;

use crate::secret::Secret;
use crate::table::values::parse;
use crate::table::{ErrorKind, Mismatch, Report, Schema, Section, clipped, key};

use super::super::https::Trust;
use super::super::kind::{Configured, Home, Kind};
use super::super::{Issuer, places};
use super::{Bootstrap, EstIssuer, EstSettings, Login};

/// CAs that speak EST.
pub const KIND: Kind = Kind {
    name: "est",
    schema: &SCHEMA,
    told_by: "server",
    for_clients: true,
    sockets: &[],
    read,
};

const SCHEMA: Schema = Schema {
    title: "[issuer.NAME] with type = \"est\"",
    in_main_file: true,
    placing: "write it below an [issuer.NAME] with type = \"est\" in renewd.toml",
    keys: &[
        key("type", "an issuer's type in quotes", "\"est\""),
        key(
            "server",
            "an address in quotes",
            "\"https://est.example.internal\"",
        ),
        key("label", "a label in quotes", "\"servers\""),
        key("ca", "a path in quotes", "\"/etc/renewd/ca.pem\""),
        key(
            "trust",
            "\"cacerts\", \"system\" or a path in quotes",
            "\"cacerts\"",
        ),
        key(
            "proxy",
            "an address in quotes",
            "\"http://proxy.example.internal:3128\"",
        ),
        key("username", "a name in quotes", "\"renewd\""),
        key(
            "password",
            "the place of a password in quotes",
            "\"credential:est-password\"",
        ),
        key(
            "bootstrap_certificate",
            "a path in quotes",
            "\"/etc/renewd/bootstrap.pem\"",
        ),
        key(
            "bootstrap_key",
            "the place of a key in quotes",
            "\"credential:bootstrap.key\"",
        ),
    ],
    aliases: &[
        ("url", "server"),
        ("host", "server"),
        ("ca_file", "ca"),
        ("implicit_trust", "ca"),
        ("roots", "trust"),
        ("explicit_trust", "trust"),
        ("user", "username"),
        ("ca_label", "label"),
    ],
};

impl Configured for EstSettings {
    fn make(&self, home: Home) -> Rc<dyn Issuer> {
        Rc::new(EstIssuer::new(home.directory, self.clone(), home.secrets))
    }

    fn address(&self) -> Option<&str> {
        Some(&self.base)
    }

    fn secrets(&self) -> Vec<&Secret> {
        let login = self.login.as_ref().map(|login| &login.password);
        let bootstrap = self.bootstrap.as_ref().map(|bootstrap| &bootstrap.key);
        login.into_iter().chain(bootstrap).collect()
    }
}

fn read(section: &Section<'_>, report: &mut Report) -> Option<Arc<dyn Configured>> {
    const SERVER: &str = "server = \"https://est.example.internal\"";
    section.need("server", "the EST server's address", SERVER, report);
    let server = parse(&section.text("server", report), report, |text| {
        server(text, SERVER)
    });
    let label = parse(&section.text("label", report), report, |text| label(text));
    let ca = parse(&section.text("ca", report), report, |text| {
        places::path(text, "ca = \"/etc/renewd/ca.pem\"")
    });
    let trust = parse(&section.text("trust", report), report, |text| trust(text));
    let proxy = parse(&section.text("proxy", report), report, |text| {
        places::proxy(text)
    });
    let login = login(section, report);
    let bootstrap = bootstrap(section, report);
    let ways = [
        "username",
        "password",
        "bootstrap_certificate",
        "bootstrap_key",
    ];
    if !ways.iter().any(|key| section.has(key)) {
        let mismatch = Mismatch::of(
            ErrorKind::MissingKey,
            "is missing, and there is no bootstrap_certificate either",
            "how the server is to know this host before it has a certificate",
            "write username and password, or bootstrap_certificate and bootstrap_key",
        );
        report.error(section.location(), section.field("username"), mismatch);
    }
    if !section.has("ca") && !section.has("trust") {
        report.warning(
            section.location(),
            section.field("ca"),
            "is missing, and so is trust: whoever has a certificate of any CA that this host trusts for the server's name says \
             which roots are to be trusted",
            "write ca = \"/etc/renewd/est-server-ca.pem\", the CA of the server's certificate, or trust = \"system\" if its \
             certificates are a public CA's",
        );
    }
    let base = format!("{}/.well-known/est", server?.value.trim_end_matches('/'));
    Some(Arc::new(EstSettings {
        base: match label {
            Some(label) => format!("{base}/{}", label.value),
            None => base,
        },
        ca: ca.map_or(Trust::System, |at| Trust::File(at.value)),
        trust: trust.and_then(|at| at.value),
        proxy: proxy.map(|at| at.value),
        login,
        bootstrap,
    }))
}

/// The path is given by RFC 7030, section 3.2.2.
fn server(text: &str, example: &str) -> Result<String, Mismatch> {
    let address = places::https(text, "an EST server", example)?;
    let uri = address.parse::<Uri>().ok();
    if uri.is_some_and(|uri| uri.path() == "/" && uri.query().is_none()) {
        return Ok(address);
    }
    Err(Mismatch::new(
        format!("{:?} has a path", clipped(text)),
        "https://, a host, and a port if it is not 443",
        "remove what follows the host: /.well-known/est is added, and a label has a key of its own",
    ))
}

fn label(text: &str) -> Result<String, Mismatch> {
    const LONGEST: usize = 100;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if (1..=LONGEST).contains(&text.len())
        && text.bytes().all(plain)
        && text.bytes().any(|byte| byte != b'.')
    {
        return Ok(text.to_owned());
    }
    Err(Mismatch::new(
        format!("{:?} is no label", clipped(text)),
        format!("1 to {LONGEST} of a-z A-Z 0-9 - . _ ~"),
        "write the part of the path that the CA's administrator names, without slashes",
    ))
}

/// `None` stands for what the CA tells of itself.
fn trust(text: &str) -> Result<Option<Trust>, Mismatch> {
    if text == "cacerts" {
        return Ok(None);
    }
    places::trust(text).map(Some).map_err(|_| {
        Mismatch::new(
            format!("{:?} says nothing of what to trust", clipped(text)),
            "\"cacerts\", \"system\", or the absolute path of the CA's roots",
            "remove the key to trust what the CA tells of itself",
        )
    })
}

fn login(section: &Section<'_>, report: &mut Report) -> Option<Login> {
    both(section, "username", "password", report);
    let username = parse(&section.text("username", report), report, |text| {
        username(text)
    });
    let password = parse(&section.text("password", report), report, |text| {
        places::secret(text, "password", "credential:est-password")
    });
    Some(Login {
        username: username?.value,
        password: password?.value,
    })
}

/// RFC 7617, section 2: a colon would end it, and nobody knows in which encoding the server reads what is not ASCII.
fn username(text: &str) -> Result<String, Mismatch> {
    let fits = !text.is_empty() && text.len() <= places::LONGEST;
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b':';
    if fits && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(Mismatch::new(
        format!("{:?} cannot be one", clipped(text)),
        "visible ASCII characters and blanks, without colons",
        "write it as the CA does, for example username = \"renewd\"",
    ))
}

fn bootstrap(section: &Section<'_>, report: &mut Report) -> Option<Bootstrap> {
    let (file, secret) = ("bootstrap_certificate", "bootstrap_key");
    both(section, file, secret, report);
    let certificate = parse(&section.text(file, report), report, |text| {
        places::path(
            text,
            "bootstrap_certificate = \"/etc/renewd/bootstrap.pem\"",
        )
    });
    let key = parse(&section.text(secret, report), report, |text| {
        places::secret(text, "bootstrap_key", "credential:bootstrap.key")
    });
    Some(Bootstrap {
        certificate: certificate?.value,
        key: key?.value,
    })
}

/// Notes that one key stands without the other.
fn both(section: &Section<'_>, one: &str, other: &str, report: &mut Report) {
    let (there, missing) = match (section.has(one), section.has(other)) {
        (true, false) => (one, other),
        (false, true) => (other, one),
        _ => return,
    };
    let mismatch = Mismatch::of(
        ErrorKind::MissingKey,
        format!("is missing beside {there}"),
        "both, or neither",
        format!("write {missing}, too"),
    );
    report.error(section.location(), section.field(missing), mismatch);
}
