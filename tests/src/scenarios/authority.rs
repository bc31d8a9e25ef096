//! Certificate authorities of a scenario's own, by OpenSSL: for what the local issuer of renewd does not do, which is to
//! revoke, and to give way to another authority.

use super::sample_api::SAMPLE_API;
use crate::failure::Result;
use crate::load::Files;
use crate::machine::Machine;

/// Shell functions, all of them in `/srv`.
const FUNCTIONS: &str = r#"
cd /srv
key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
# An authority. Argument: its name.
authority() {
    openssl req -x509 $key -subj "/CN=$1" -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$1.key" -out "$1.pem"
    printf '[ca]\ndefault_ca=d\n[d]\ndatabase=/srv/%s.db\ndefault_md=sha256\ncrlnumber=/srv/%s.number\n' "$1" "$1" >"$1.cnf"
    : >"$1.db"; echo 01 >"$1.number"
}
# A certificate. Arguments: its name, the authority, the names on it.
pair() {
    openssl req -x509 -CA "$2.pem" -CAkey "$2.key" $key -subj "/CN=$1" -addext "subjectAltName=$3" \
        -addext basicConstraints=CA:FALSE -keyout "$1.key" -out "$1.pem"
}
# Arguments: the authority, the certificate.
revoke() { openssl ca -config "$1.cnf" -cert "$1.pem" -keyfile "$1.key" -revoke "$2.pem"; }
# The authority's list, to be published with a generation. Arguments: the authority, the generation.
list() {
    mkdir -p "pair/.$2"
    openssl ca -config "$1.cnf" -cert "$1.pem" -keyfile "$1.key" -gencrl -crldays 1 -out "pair/.$2/crl.pem"
}
# Publishes a generation as renewd would. Arguments: its number, the certificate, the one whose key goes with it, the
# authorities that are trusted.
publish() {
    generation=pair/.$1 certificate=$2 with=$3; shift 3
    mkdir -p "$generation"
    cp "$certificate.pem" "$generation/fullchain.pem"; cp "$with.key" "$generation/key.pem"
    for trusted; do cat "$trusted.pem"; done >"$generation/ca.pem"
    chown -R :renewd-sample-api pair; chmod -R u=rwX,g=rX,o= pair
    ln -s "${generation#pair/}" pair/next; mv -T pair/next pair/current
}
# A request by a client. Arguments: its name, the authority of the server, and of `s_client`, what to do with sessions.
ask() {
    client=$1 trusted=$2; shift 2
    printf 'GET / HTTP/1.1\r\nhost: api.test\r\nconnection: close\r\n\r\n' | openssl s_client -connect 127.0.0.1:8443 \
        -CAfile "$trusted.pem" -cert "$client.pem" -key "$client.key" -ign_eof "$@" 2>&1 || true
}
"#;

/// Runs a script with the functions of this module.
pub(super) fn by_openssl(machine: &Machine, script: &str) -> Result<String> {
    machine.shell(&format!("{FUNCTIONS}\n{script}"))
}

/// Starts the sample API on what [`by_openssl`] has published; `settings` are further lines of its configuration.
pub(super) fn serve_published(machine: &Machine, settings: &str) -> Result<()> {
    machine.shell(&format!(
        "cd /etc/renewd-sample-api; sed -i 's|^certificate = .*|certificate = \"/srv/pair\"|' config.toml
         cat >>config.toml <<'END'\n{settings}\nEND"
    ))?;
    machine.drop_in(SAMPLE_API, "[Unit]\nConditionPathExists=\n")?;
    machine.systemctl(&["start", SAMPLE_API]).map(drop)
}

/// The files of a client made by [`by_openssl`], and of the authority that it trusts.
pub(super) fn files_of(machine: &Machine, client: &str, trusted: &str) -> Files {
    let at = |file: String| machine.on_disk(&format!("/srv/{file}"));
    Files {
        ca: at(format!("{trusted}.pem")),
        certificate: at(format!("{client}.pem")),
        key: at(format!("{client}.key")),
    }
}

/// How a client is received that comes back with the session of its last visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Return {
    /// Answered, without showing its certificate again.
    Resumed,
    /// Answered, after it has shown its certificate again.
    Anew,
    /// Not answered.
    Refused,
}

/// Has a client visit and keep its session.
pub(super) fn visit(machine: &Machine, client: &str, trusted: &str) -> Result<Return> {
    ask(machine, client, trusted, "-sess_out")
}

/// Has it come back with the session of its last visit.
pub(super) fn come_back(machine: &Machine, client: &str, trusted: &str) -> Result<Return> {
    ask(machine, client, trusted, "-sess_in")
}

fn ask(machine: &Machine, client: &str, trusted: &str, how: &str) -> Result<Return> {
    let said = by_openssl(
        machine,
        &format!("ask {client} {trusted} {how} {client}.session"),
    )?;
    Ok(match said.contains("HTTP/1.1 200") {
        true if said.contains("\nReused, ") => Return::Resumed,
        true => Return::Anew,
        false => Return::Refused,
    })
}
