//! How renewd is known to OpenBao: by tokens, JWTs and certificates, and in a namespace.

use super::vault::{NAMES, expect_refused, expect_silent, expect_sound, issuer, set_up};
use crate::agent::{PROOF, RENEWD, published};
use crate::failure::{Result, expect};
use crate::scenario::{Disk, Scenario, Trial};

/// All of this file.
pub(super) const ALL: &[Scenario] = &[KNOWN];

const KNOWN: Scenario = Scenario {
    name: "a_vault_token_is_kept_alive_while_nothing_is_due_and_logins_show_what_is_there_at_that_time",
    disk: Disk::Installed,
    fault: "the token may not be renewed",
    red: "the token that outlived its first life",
    run: known,
};

/// A method for JWTs that are signed by a key of ours, and a role that takes no names from requests.
const METHODS: &str = r#"
cd /srv/bao
openssl genrsa -out jwt.key 2048
openssl rsa -in jwt.key -pubout -out jwt.pub
bao auth enable jwt
bao write auth/jwt/config jwt_validation_pubkeys=@jwt.pub
bao write auth/jwt/role/host role_type=jwt user_claim=sub bound_audiences=bao token_policies=renewd token_ttl=1s
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout clients.key -out clients.pem -subj /CN=clients -days 30
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /etc/renewd/client.key -out client.csr -subj /CN=host
printf 'subjectAltName=DNS:host\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\n' > extensions
openssl x509 -req -in client.csr -CA clients.pem -CAkey clients.key -CAcreateserial -out /etc/renewd/client.pem -days 30 -extfile extensions
chgrp renewd /etc/renewd/client.key && chmod 0640 /etc/renewd/client.key && chmod 0644 /etc/renewd/client.pem
bao auth enable cert
bao write auth/cert/certs/host certificate=@clients.pem allowed_common_names=host token_policies=renewd token_ttl=10m
bao write pki_int/roles/strict allowed_domains=example.internal allow_subdomains=true allow_ip_sans=true \
    'allowed_uri_sans=spiffe://example.internal/*' use_csr_sans=false use_csr_common_name=false key_type=any max_ttl=72h
bao policy write renewd - <<'EOF'
path "pki_int/sign/+" { capabilities = ["update"] }
EOF
"#;

/// A namespace with a mount of its own, in which another CA than the default one may be asked.
const NAMESPACE: &str = r#"
cd /srv/bao
bao namespace create team
export BAO_NAMESPACE=team
bao secrets enable pki
bao write pki/root/generate/internal common_name=team-one issuer_name=one key_type=ec ttl=720h
bao write -field=certificate pki/root/generate/internal common_name=team-two issuer_name=two key_type=ec ttl=720h |
    openssl x509 > two.pem
bao read -field=default pki/config/issuers | grep -qx "$(bao read -field=issuer_id pki/issuer/one)"
bao write pki/roles/host allowed_domains=example.internal allow_subdomains=true key_type=any max_ttl=72h
bao policy write renewd - <<'EOF'
path "pki/issuer/two/sign/host" { capabilities = ["update"] }
EOF
bao token create -policy=renewd -period=1h -field=token > /etc/renewd/team
chgrp renewd /etc/renewd/team && chmod 0640 /etc/renewd/team
"#;

/// A JWT that ends when it is told to, put where the daemon reads it.
const JWT: &str = r#"
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d =; }
cd /srv/bao
said=$(printf '{"alg":"RS256","typ":"JWT"}' | base64url).$(printf '{"sub":"host","aud":"bao","iat":%s,"exp":%s}' $(($1 - 900)) "$1" | base64url)
printf '%s.%s\n' "$said" "$(printf %s "$said" | openssl dgst -sha256 -sign jwt.key | base64url)" > /etc/renewd/jwt
chgrp renewd /etc/renewd/jwt && chmod 0640 /etc/renewd/jwt
"#;

fn known(trial: &mut Trial) -> Result<()> {
    set_up(trial)?;
    trial.write("/srv/methods.sh", METHODS)?;
    trial.run(&["bash", "-eu", "/srv/methods.sh"])?;
    let renewable = trial.choose("-period=6s", "-ttl=6s -explicit-max-ttl=6s");
    trial.shell(&format!(
        "bao token create -policy=renewd {renewable} -field=token > /etc/renewd/token && \
         chgrp renewd /etc/renewd/token && chmod 0640 /etc/renewd/token"
    ))?;
    let token = issuer("strict", "token = \"file:/etc/renewd/token\"");
    trial.write("/etc/renewd/renewd.toml", &token)?;
    trial.configure("api", &format!("names = {NAMES}\nlifetime = \"1h\"\n"))?;
    trial.systemctl(&["restart", RENEWD])?;
    let first = trial.wait_until("api is published", PROOF, || trial.published_serial("api"))?;
    expect_sound(trial)?;
    // The server tells how old a token is.
    trial.wait_until("the token that outlived its first life", PROOF, || {
        let look = "BAO_ADDR=https://localhost:8200 BAO_CACERT=/srv/bao/ca.pem BAO_TOKEN=$(cat /etc/renewd/token) \
             /packages/authorities/openbao token lookup -format=json";
        let told = trial.shell(look)?;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap_or_default();
        let made = told["data"]["creation_time"].as_u64().unwrap_or(u64::MAX);
        let now = trial.run(&["date", "+%s"])?;
        let now: u64 = now.trim().parse().unwrap_or(0);
        expect(now > made.saturating_add(8), "an old token", now)
    })?;
    trial.renew(&["api"])?.success()?;
    let second = trial.published_serial("api")?;
    expect(second != first, "a new serial", &second)?;
    expect_sound(trial)?;
    let token = trial.read("/etc/renewd/token")?;

    trial.write("/srv/jwt.sh", JWT)?;
    trial.shell("bash -eu /srv/jwt.sh $(($(date +%s) - 600))")?;
    let jwt = issuer(
        "host",
        "jwt = \"file:/etc/renewd/jwt\"\nauth_role = \"host\"",
    );
    trial.write("/etc/renewd/renewd.toml", &jwt)?;
    trial.reload_renewd()?;
    expect_refused(trial, &second, &["refused the login at auth/jwt/login"])?;
    let ended = trial.read("/etc/renewd/jwt")?;
    trial.shell("bash -eu /srv/jwt.sh $(($(date +%s) + 600))")?;
    trial.renew(&["api"])?.success()?;
    let third = trial.await_published_after("api", &second)?;
    expect_sound(trial)?;

    let shown = "client_certificate = \"/etc/renewd/client.pem\"\nclient_key = \"file:/etc/renewd/client.key\"";
    trial.write("/etc/renewd/renewd.toml", &issuer("host", shown))?;
    trial.reload_renewd()?;
    trial.renew(&["api"])?.success()?;
    trial.await_published_after("api", &third)?;
    expect_sound(trial)?;

    let team = by_the_team(trial, shown)?;
    let jwt = trial.read("/etc/renewd/jwt")?;
    expect_silent(trial, &[&token, &ended, &jwt, &team])
}

/// One more certificate, of the CA that is named in the namespace; `shown` is how `api` goes on. Returns its token.
fn by_the_team(trial: &Trial, shown: &str) -> Result<String> {
    trial.write("/srv/namespace.sh", NAMESPACE)?;
    trial.run(&["bash", "-eu", "/srv/namespace.sh"])?;
    let both = format!(
        "{}{}",
        issuer("host", shown),
        issuer(
            "host",
            "token = \"file:/etc/renewd/team\"\nnamespace = \"team\"\nissuer_ref = \"two\""
        )
        .replace("[issuer.bao]", "[issuer.team]")
        .replace("\"pki_int\"", "\"pki\"")
    );
    trial.write("/etc/renewd/renewd.toml", &both)?;
    trial.configure("api", &format!("names = {NAMES}\nissuer = \"bao\"\n"))?;
    let name = "web.example.internal";
    trial.configure("web", &format!("names = [\"{name}\"]\nissuer = \"team\"\n"))?;
    trial.reload_renewd()?;
    trial.run(&["renewctl", "wait", "web"])?;
    trial.renew(&["web"])?.success()?;
    let (leaf, trusted) = (published("web", "cert.pem"), published("web", "ca.pem"));
    trial.run(&["cmp", "/srv/bao/two.pem", &trusted])?;
    let verify = [
        "openssl",
        "verify",
        "-x509_strict",
        "-verify_hostname",
        name,
    ];
    let files = ["-CAfile", &trusted, &leaf];
    trial.run(&[&verify[..], &files].concat())?;
    trial.run(&["renewctl", "issuer", "check", "team"])?;
    trial.read("/etc/renewd/team")
}
