//! Who talks to the sample API in practice: clients of other makers, and a scanner that looks for what is weak.

use super::authority::by_openssl;
use super::sample_api::{self, ADDRESS, NAME, SAMPLE_API};
use crate::agent::published;
use crate::failure::{Failure, Result, expect, expect_equal};
use crate::rootfs::target_directory;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[CLIENTS, SCAN];

const CLIENTS: Scenario = Scenario {
    name: "clients_of_other_makers_are_known_before_and_after_a_rotation",
    disk: Disk::Installed,
    fault: "their certificate is of another authority",
    red: "curl over HTTP/1.1: known by its certificate",
    run: clients,
};

/// A client that asks who it is. `$trust` is the file of the authorities, `$identity` that of the certificate and its
/// key, and empty for a client without one.
struct Client {
    name: &'static str,
    /// For a shell.
    command: &'static str,
    /// What it prints if it was answered.
    known: &'static [&'static str],
}

const CALLER: &str = "\"spiffe://example.internal/client\"";

const MAKERS: &[Client] = &[
    Client {
        name: "curl over HTTP/1.1",
        command: r#"curl --silent --show-error --http1.1 --cacert "$trust" ${identity:+--cert "$identity"} \
            https://127.0.0.1:8443/whoami"#,
        known: &[CALLER],
    },
    Client {
        name: "curl over HTTP/2",
        command: r#"curl --silent --show-error --http2 --write-out 'over HTTP/%{http_version}' --cacert "$trust" \
            ${identity:+--cert "$identity"} https://127.0.0.1:8443/whoami"#,
        known: &[CALLER, "over HTTP/2"],
    },
    Client {
        name: "openssl s_client",
        command: r#"printf 'GET /whoami HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n' | openssl s_client -ign_eof \
            -connect 127.0.0.1:8443 -CAfile "$trust" -verify_return_error ${identity:+-cert "$identity" -cert_chain "$identity" -key "$identity"}"#,
        known: &[CALLER, "Verify return code: 0 (ok)"],
    },
    Client {
        name: "Python",
        command: r#"python3 /srv/client.py "$trust" ${identity:+"$identity"}"#,
        known: &["200 hello", "200 {", CALLER],
    },
    Client {
        name: "a Go program",
        command: r#"module=anonymous; [ -z "$identity" ] || module=known
            curl --silent --show-error --retry 9 --retry-connrefused --retry-delay 1 \
                "http://127.0.0.1:9115/probe?debug=true&module=$module&target=https://127.0.0.1:8443/whoami""#,
        known: &["\nprobe_success 1\n", "\nprobe_http_version 2\n"],
    },
];

/// Two requests on one connection.
const PYTHON: &str = r#"
import http.client, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
if len(sys.argv) > 2:
    context.load_cert_chain(sys.argv[2])
connection = http.client.HTTPSConnection("127.0.0.1", 8443, context=context, timeout=10)
for path in ["/", "/whoami"]:
    connection.request("GET", path)
    answer = connection.getresponse()
    print(answer.status, answer.read().decode())
"#;

/// The Go program: Prometheus's exporter of probes, which asks when it is asked.
const EXPORTER: &str = r#"
module() {
    printf '  %s:\n    prober: http\n    http:\n      preferred_ip_protocol: ip4\n' "$1"
    printf '      fail_if_body_not_matches_regexp: ["spiffe://example.internal/client"]\n'
    printf '      tls_config:\n        ca_file: %s\n' "$trust"
}
{
    echo modules:
    module known; printf '        cert_file: %s\n        key_file: %s\n' "$identity" "$identity"
    module anonymous
} >/srv/exporter.yml
systemd-run --quiet --unit=exporter prometheus-blackbox-exporter --config.file=/srv/exporter.yml \
    --web.listen-address=127.0.0.1:9115
"#;

fn clients(trial: &mut Trial) -> Result<()> {
    sample_api::serve(trial)?;
    trial.sabotage(|machine| {
        let stranger = "authority other; pair stranger other URI:spiffe://example.internal/client";
        by_openssl(
            machine,
            &format!("{stranger}; cat stranger.key >>stranger.pem"),
        )
        .map(drop)
    })?;
    let trust = published("client", "ca.pem");
    let identity = published("client", "combined.pem");
    let identity = trial.choose(identity.as_str(), "/srv/stranger.pem");
    let with = |identity: &str| format!("trust={trust} identity={identity}\n");
    trial.write("/srv/client.py", PYTHON)?;
    trial.shell(&format!("{}{EXPORTER}", with(identity)))?;
    for when in ["at first", "after a rotation"] {
        for Client {
            name,
            command,
            known,
        } in MAKERS
        {
            let ask = |identity| trial.attempt(&["sh", "-c", &(with(identity) + command)]);
            let said = ask(identity)?.output();
            expect(
                known.iter().all(|mark| said.contains(mark)),
                format_args!("{name}: known by its certificate {when}"),
                &said,
            )?;
            let said = ask("")?.output();
            expect(
                said.contains("certificate required") && !said.contains(CALLER),
                format_args!("{name}: told that a certificate is required"),
                &said,
            )?;
        }
        trial.renew(&["api", "client"])?.success()?;
        trial.await_proof("api", SAMPLE_API, "served")?;
    }
    let health = "http://127.0.0.1:8081/healthz";
    trial.run(&["curl", "--silent", "--fail", health]).map(drop)
}

const SCAN: Scenario = Scenario {
    name: "a_scan_of_the_sample_api_finds_nothing_weak",
    disk: Disk::Installed,
    fault: "TLS 1.2 is allowed where it should not be",
    red: "in accordance with Mozilla's modern configuration",
    run: scan,
};

/// The cipher suites of TLS 1.2 that the server takes: all that OpenSSL has are offered, then all but the one that was
/// taken, and so on. The scanner misses some: it offers them without extended master secrets, which the server demands.
const SUITES: &str = r#"
offered=ALL:COMPLEMENTOFALL
while
    taken=$(openssl s_client -connect 127.0.0.1:8443 -tls1_2 -cipher "$offered:@SECLEVEL=0" -cert "$identity" \
        -cert_chain "$identity" -key "$identity" </dev/null 2>/dev/null | sed -n 's/^New, TLSv1.2, Cipher is //p')
    [ -n "$taken" ]
do
    echo "$taken"
    offered="$offered:!$taken"
done | sort
"#;

fn scan(trial: &mut Trial) -> Result<()> {
    const CONFIGURATION: &str = "/etc/renewd-sample-api/config.toml";
    sample_api::serve(trial)?;
    let allow_tls12 = || {
        trial.shell(&format!("echo 'tls12 = true' >>{CONFIGURATION}"))?;
        trial.systemctl(&["restart", SAMPLE_API])
    };
    trial.sabotage(|_| allow_tls12().map(drop))?;
    expect_accordance(trial, "modern")?;
    allow_tls12()?;
    expect_accordance(trial, "intermediate")?;
    let identity = published("client", "combined.pem");
    let suites = trial.shell(&format!("identity={identity}\n{SUITES}"))?;
    expect_equal(
        "suites of TLS 1.2",
        &"ECDHE-ECDSA-AES128-GCM-SHA256\nECDHE-ECDSA-AES256-GCM-SHA384\nECDHE-ECDSA-CHACHA20-POLY1305\n".to_owned(),
        &suites,
    )
}

/// What the scanner says of protocol versions, cipher suites, curves, signatures, the certificate and known
/// vulnerabilities, held against one of Mozilla's recommended configurations.
fn expect_accordance(trial: &Trial, with: &str) -> Result<()> {
    let program = target_directory()?.join("sslyze/bin/sslyze");
    if !program.exists() {
        return Err(Failure::Missing {
            what: program.display().to_string(),
            remedy: "tests/prepare.sh".to_owned(),
        });
    }
    let trust = trial.on_disk(&published("client", "ca.pem"));
    let trust = trust.display().to_string();
    let (program, port) = (
        program.display().to_string(),
        &ADDRESS["127.0.0.1:".len()..],
    );
    let told = trial.from_outside(&[
        &program,
        "--mozilla_config",
        with,
        "--certinfo_ca_file",
        &trust,
        &format!("{NAME}:{port}{{127.0.0.1}}"),
    ])?;
    expect(
        told.succeeded() && told.stdout.contains("OK - Compliant"),
        format_args!("in accordance with Mozilla's {with} configuration"),
        told.output(),
    )
}
