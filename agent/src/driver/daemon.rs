//! What operators may ask of the driver, and what they see: the control sockets' side of it.

use std::path::Path;

use futures_util::future::{LocalBoxFuture, join_all};
use renewd_core::names::{CertificateName, IssuerName};
use renewd_core::record::GenerationNumber;
use renewd_core::unit::OnChange;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::config::{self, DependentSettings, Settings};
use crate::control::report::{
    CertificateDetail, IssuerFindings, IssuersReport, ReloadReport, Revoked, StatusReport, Step,
};
use crate::control::{ControlError, Daemon};
use crate::driver::lane::Command;
use crate::driver::{ASK_SYSTEMD, Driver, report};
use crate::journal::{self, Event};

impl Daemon for Driver {
    fn status(&self) -> StatusReport {
        let now = self.world.now();
        let lanes = self.lanes.borrow();
        let mut certificates: Vec<_> = lanes
            .values()
            .map(|lane| report::status(&lane.settings, &lane.view, now))
            .collect();
        for (name, why) in self.bad_files.borrow().iter() {
            match certificates
                .iter_mut()
                .find(|known| known.name == name.as_str())
            {
                Some(known) => {
                    known.last_error.get_or_insert_with(|| why.clone());
                }
                None => {
                    let published = self.world.store.current_number(name);
                    certificates.push(report::without_settings(name, published, why));
                }
            }
        }
        certificates.sort_by(|one, other| one.name.cmp(&other.name));
        StatusReport { certificates }
    }

    fn show(&self, name: &CertificateName) -> Option<CertificateDetail> {
        let lanes = self.lanes.borrow();
        let lane = lanes.get(name)?;
        let directory = self.published(name);
        let now = self.world.now();
        Some(report::detail(&lane.settings, &lane.view, &directory, now))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.world.changes.subscribe()
    }

    fn renew(
        &self,
        names: Vec<CertificateName>,
    ) -> Result<mpsc::UnboundedReceiver<Step>, ControlError> {
        if self.world.stopping.get() {
            return Err(ControlError::Stopping);
        }
        let lanes = self.lanes.borrow();
        let (watcher, steps) = mpsc::unbounded_channel();
        let unknown = |name: &CertificateName| ControlError::NoSuchCertificate(name.to_string());
        let chosen = names
            .iter()
            .map(|name| lanes.get(name).ok_or_else(|| unknown(name)))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some((lane, why)) = chosen
            .iter()
            .find_map(|lane| Some((lane, lane.view.held()?)))
        {
            let name = &lane.settings.name;
            return Err(ControlError::Failed(format!("{name} is held: {why}")));
        }
        for lane in chosen {
            lane.tell(Command::Renew(watcher.clone()));
        }
        Ok(steps)
    }

    fn reload(&self) -> LocalBoxFuture<'_, Result<ReloadReport, Vec<String>>> {
        Box::pin(async {
            // One after the other: the text that was read last is the one in force.
            let _turn = self.reloading.lock().await;
            // The host may have got its name since the start.
            let environment = (self.setup.environment)();
            let loaded = config::load(&self.setup.configuration, &environment);
            let mut errors: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
            if errors.is_empty() {
                errors = self.unit_errors(&loaded.settings).await;
            }
            if !errors.is_empty() {
                journal::emit(&Event::ConfigurationRefused {
                    errors: errors.clone(),
                });
                return Err(errors);
            }
            self.bad_files.borrow_mut().clear();
            let mut report = self.put_in_force(loaded.settings);
            report
                .warnings
                .extend(loaded.warnings.iter().map(ToString::to_string));
            report.warnings.extend(self.stale_rule());
            journal::emit(&Event::ConfigurationReloaded {
                certificates: self.lanes.borrow().len(),
            });
            Ok(report)
        })
    }

    fn forget(&self, name: CertificateName) -> LocalBoxFuture<'_, Result<(), ControlError>> {
        Box::pin(async move {
            // A file that cannot be used is a file, too.
            let file = self
                .setup
                .configuration
                .join("certs.d")
                .join(format!("{name}.toml"));
            if self.lanes.borrow().contains_key(&name) || file.exists() {
                return Err(ControlError::StillConfigured(name.to_string()));
            }
            let store = &self.world.store;
            let failed = |error: renewd_store::StoreError| ControlError::Failed(error.to_string());
            let known = store.record_names().map_err(failed)?.contains(&name);
            if !known && !self.published(&name).exists() {
                return Err(ControlError::NoSuchCertificate(name.to_string()));
            }
            store.forget(&name).map_err(failed)
        })
    }

    fn revoke(
        &self,
        name: CertificateName,
        generation: Option<GenerationNumber>,
        reason: &str,
    ) -> LocalBoxFuture<'_, Result<Revoked, ControlError>> {
        let reason = reason.to_owned();
        Box::pin(async move { self.have_revoked(&name, generation, &reason).await })
    }

    fn issuers(&self) -> IssuersReport {
        self.issuers_in_brief()
    }

    fn check_issuer(
        &self,
        name: &IssuerName,
    ) -> LocalBoxFuture<'static, Result<IssuerFindings, ControlError>> {
        self.look_at_issuer(name)
    }

    fn rollover_issuer(
        &self,
        name: &IssuerName,
    ) -> LocalBoxFuture<'static, Result<(), ControlError>> {
        self.give_another_key(name)
    }

    fn ca_root(&self, issuer: Option<&IssuerName>) -> Result<String, ControlError> {
        let settings = self.settings.borrow();
        let issuers = &settings.issuers;
        let chosen = match issuer {
            Some(name) => issuers
                .get(name)
                .ok_or_else(|| format!("there is no issuer named {name}")),
            None if issuers.len() > 1 => {
                let names: Vec<_> = issuers.keys().map(IssuerName::as_str).collect();
                Err(format!("say which issuer: {}", names.join(", ")))
            }
            None => issuers
                .values()
                .next()
                .ok_or_else(|| "no issuer is configured".to_owned()),
        };
        chosen
            .and_then(|settings| self.setup.issuers.root_pem(settings))
            .map_err(ControlError::NoSuchIssuer)
    }
}

impl Driver {
    fn published(&self, name: &CertificateName) -> std::path::PathBuf {
        Path::new(&self.world.store.certificates()).join(name.as_str())
    }

    /// What only systemd can tell about a configuration: units that cannot do what is asked. Reads, and
    /// waits for no job.
    async fn unit_errors(&self, settings: &Settings) -> Vec<String> {
        let reloaded = settings
            .units()
            .map(|(_, own)| own)
            .filter(|own| own.dependent.on_change == OnChange::Reload);
        let errors = join_all(reloaded.map(|own| self.reload_in_vain(own))).await;
        errors.into_iter().flatten().collect()
    }

    async fn reload_in_vain(&self, own: &DependentSettings) -> Option<String> {
        let unit = &own.dependent.unit;
        // Where systemd does not answer, the first reload will tell.
        let facts = timeout(ASK_SYSTEMD, self.world.units.facts(unit)).await;
        let facts = facts.ok()?.ok()?;
        let error = if facts.load_state != "loaded" {
            return None;
        } else if !facts.can_reload {
            own.error(
                "on_change",
                "\"reload\", and the unit has no ExecReload=",
                "something that the unit can do",
                "set on_change = \"restart\", or give the unit a reload",
            )
        } else if own.credential.is_some() && !facts.refreshes_credentials {
            own.error(
                "on_change",
                "\"reload\", and the unit is given its credentials only when it starts",
                "something that brings the unit the new certificate",
                "set on_change = \"restart\"; or, where systemd knows it, RefreshOnReload=credentials in the unit",
            )
        } else {
            return None;
        };
        Some(error.to_string())
    }
}
