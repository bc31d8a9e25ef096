//! How each server is configured: alike, as far as each can be.
//!
//! It must never favour one: whatever is set for one of them is set for all, where they have it. Its neighbour is
//! [`super::server`], which starts them.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::server::Kind;
use crate::failure::{Failure, Result};

/// Where a server finds everything.
pub(super) struct Setup<'a> {
    pub(super) directory: &'a Path,
    /// What is published for it.
    pub(super) certificate: &'a Path,
    pub(super) address: SocketAddr,
    /// Of the sample API.
    pub(super) health: SocketAddr,
}

impl Setup<'_> {
    pub(super) fn admin(&self) -> PathBuf {
        self.directory.join("admin.sock")
    }

    /// Writes the configuration and returns the arguments.
    pub(super) fn arguments(&self, kind: Kind) -> Result<Vec<OsString>> {
        let config = self.directory.join("config");
        let text = match kind {
            Kind::SampleApi => self.sample_api()?,
            Kind::Nginx => self.nginx(),
            Kind::HaProxy => self.haproxy(),
            Kind::Minimal => String::new(),
        };
        fs::write(&config, text).map_err(Failure::io("write", &config))?;
        let given: &[&str] = match kind {
            Kind::SampleApi => &["serve", "--config"],
            Kind::Nginx => &["-e", "stderr", "-c"],
            Kind::HaProxy => &["-db", "-f"],
            Kind::Minimal => {
                let pairs = [
                    ("--listen", self.address.to_string().into()),
                    ("--certificate", self.certificate.into()),
                    ("--answer", Kind::answer().into()),
                ];
                return Ok(pairs
                    .into_iter()
                    .flat_map(|(name, value): (_, OsString)| [name.into(), value])
                    .collect());
            }
        };
        let given = given.iter().map(Into::into);
        Ok(given.chain([config.into()]).collect())
    }

    fn sample_api(&self) -> Result<String> {
        let policy = self.directory.join("policy.toml");
        let text = "[[role]]\n\
             name = \"reader\"\n\
             callers = [\"spiffe://bench.internal/*\"]\n\
             methods = [\"GET\"]\n\
             paths = [\"/\", \"/stream\"]\n\n\
             [[role]]\n\
             name = \"operator\"\n\
             callers = [\"spiffe://bench.internal/ops/**\"]\n\
             methods = [\"*\"]\n\
             paths = [\"/**\"]\n";
        fs::write(&policy, text).map_err(Failure::io("write", &policy))?;
        Ok(format!(
            "listen = \"{}\"\n\
             certificate = \"{}\"\n\
             health = \"{}\"\n\
             admin = \"{}\"\n\
             policy = \"{}\"\n\
             audit = false\n\
             next_request = \"1h\"\n",
            self.address,
            self.certificate.display(),
            self.health,
            self.admin().display(),
            policy.display(),
        ))
    }

    fn nginx(&self) -> String {
        let current = self.certificate.join("current");
        let (current, directory) = (current.display(), self.directory.display());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {directory}/{name};\n"))
            .concat();
        format!(
            "daemon off;\n\
             worker_processes 2;\n\
             worker_rlimit_nofile 20000;\n\
             pid {directory}/pid;\n\
             error_log stderr crit;\n\
             events {{ worker_connections 19000; }}\n\
             http {{\n\
             {temporary}\
             access_log off;\n\
             default_type text/plain;\n\
             keepalive_timeout 1h;\n\
             keepalive_requests 1000000000;\n\
             server {{\n\
             listen {address} ssl http2 backlog=4096;\n\
             ssl_protocols TLSv1.3;\n\
             ssl_ecdh_curve X25519;\n\
             ssl_certificate {current}/fullchain.pem;\n\
             ssl_certificate_key {current}/key.pem;\n\
             ssl_client_certificate {current}/ca.pem;\n\
             ssl_verify_client on;\n\
             ssl_session_timeout 1h;\n\
             location = / {{ return 200 \"{answer}\"; }}\n\
             }}\n\
             }}\n",
            address = self.address,
            answer = Kind::answer(),
        )
    }

    fn haproxy(&self) -> String {
        let current = self.certificate.join("current");
        format!(
            "global\n  \
               nbthread 2\n  \
               maxconn 10200\n  \
               no strict-limits\n  \
               stats socket {admin} mode 600 level admin\n\
             defaults\n  \
               mode http\n  \
               timeout client 1h\n  \
               timeout http-keep-alive 1h\n  \
               timeout http-request 10s\n\
             frontend bench\n  \
               bind {address} ssl crt {current}/combined.pem ca-file {current}/ca.pem verify required ssl-min-ver TLSv1.3 curves X25519 alpn h2,http/1.1 backlog 4096\n  \
               http-request return status 200 content-type text/plain string \"{answer}\"\n",
            admin = self.admin().display(),
            address = self.address,
            current = current.display(),
            answer = Kind::answer().replace('\n', "\\n"),
        )
    }
}
