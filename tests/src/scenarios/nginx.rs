//! The machine that most scenarios start from: nginx serving the certificate `api`, proven.

use crate::agent::published;
use crate::failure::Result;
use crate::scenario::Trial;

/// The unit.
pub(super) const NGINX: &str = "nginx.service";
/// Where it listens.
pub(super) const ADDRESS: &str = "127.0.0.1:443";
/// The name on the certificate.
pub(super) const NAME: &str = "api.test";
/// A line for each reload that systemd began, once [`observe_reloads`] was called.
pub(super) const RELOADS: &str = "/run/reloads";
/// The site; breaking it breaks every reload.
pub(super) const SITE: &str = "/etc/nginx/conf.d/api.conf";

/// The certificate's configuration.
pub(super) fn configuration(lifetime: &str) -> String {
    format!(
        r#"names = ["{NAME}"]
lifetime = "{lifetime}"
group = "www-data"

[unit."{NGINX}"]
probe = ["tls://{ADDRESS}"]
"#
    )
}

/// nginx's configuration.
pub(super) fn site() -> String {
    let (chain, key) = (
        published("api", "fullchain.pem"),
        published("api", "key.pem"),
    );
    format!(
        "server {{\n  listen {ADDRESS} ssl;\n  server_name {NAME};\n  ssl_certificate {chain};\n  ssl_certificate_key {key};\n  \
         location / {{ return 200 \"ok\\n\"; }}\n}}\n"
    )
}

/// Configures the certificate, waits for its first generation, starts nginx, and waits for the proof. Returns the serial.
pub(super) fn serve(trial: &Trial, lifetime: &str) -> Result<String> {
    trial.write(SITE, &site())?;
    trial.configure("api", &configuration(lifetime))?;
    trial.reload_renewd()?;
    trial.run(&["renewctl", "wait", "api"])?;
    trial.systemctl(&["start", NGINX])?;
    trial.await_proof("api", NGINX, "served")?;
    let serial = trial.published_serial("api")?;
    trial.expect_in_use("api", ADDRESS, &serial)?;
    Ok(serial)
}

/// Writes down every reload that systemd begins, and does `before` ahead of nginx's own.
pub(super) fn observe_reloads(trial: &Trial, before: &str) -> Result<()> {
    let own = r#"/usr/sbin/nginx -g "daemon on; master_process on;" -s reload"#;
    let text = format!(
        "[Service]\nExecReload=\nExecReload=/bin/sh -c 'echo reload >> {RELOADS}'\n{before}\nExecReload={own}\n"
    );
    trial.drop_in(NGINX, &text)
}
