//! New configurations in a running daemon: all of one, or nothing of it.

use renewd_core::unit::OnChange;
use renewd_store::disk::Disk;
use renewd_store::reader;

use super::host::{NGINX, Temper, nginx};
use super::{Life, Site};
use crate::control::{ControlError, Daemon};

const UNIT: &str = "nginx.service";

#[test]
fn one_error_refuses_all_of_it_and_what_worked_keeps_working() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.certificate("c0", "key_type = \"ecdsa-p384\"\n");
        site.certificate("c1", "nonsense = 1\n");
        let errors = life.driver.reload().await.unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(
            errors[0].contains("c1.toml") && errors[0].contains("nonsense"),
            "{errors:?}"
        );
        life.settle().await;
        assert_eq!(site.issuer.asked(), 1);
        assert_eq!(life.driver.status().certificates.len(), 1);
        assert_eq!(life.status("c0").units.len(), 1);
    });
}

#[test]
fn a_reload_without_a_change_changes_nothing() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let (told, record) = (site.host.told().len(), life.record("c0"));
        let report = life.driver.reload().await.unwrap();
        life.settle().await;
        assert_eq!(
            (
                report.added.len(),
                report.changed.len(),
                report.removed.len()
            ),
            (0, 0, 0)
        );
        assert_eq!(site.host.told().len(), told);
        assert_eq!(life.record("c0"), record);
    });
}

#[test]
fn changed_names_are_issued_at_once() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        // The gap between two issuances holds here, too.
        site.clock.pass(std::time::Duration::from_secs(120));
        let text = format!("names = [\"new.example.internal\"]\nlifetime = \"24h\"\n{NGINX}");
        site.write("certs.d/c0.toml", &text);
        let report = life.driver.reload().await.unwrap();
        assert_eq!(report.changed, ["c0"]);
        life.until("issued", |life| life.site.issuer.signed() == 2)
            .await;
        life.settle().await;
        let record = life.record("c0");
        let leaf = &record.published_generation().unwrap().leaf;
        assert_eq!(leaf.names, ["new.example.internal"]);
        assert_eq!(life.proof("c0", UNIT), "served");
    });
}

#[test]
fn a_unit_that_is_added_is_looked_at_and_told_only_if_need_be() {
    let site = Site::new(nginx);
    site.certificate("c0", "");
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.host.start(UNIT);
        site.certificate("c0", NGINX);
        life.driver.reload().await.unwrap();
        life.settle().await;
        assert_eq!(life.proof("c0", UNIT), "served");
        assert!(site.host.told().is_empty(), "it serves the new one already");

        site.certificate("c0", "");
        life.driver.reload().await.unwrap();
        life.settle().await;
        assert!(life.status("c0").units.is_empty());
        assert!(life.record("c0").units.is_empty());
        life.renew(&["c0"]).await;
        assert!(site.host.told().is_empty(), "it is no dependent any more");

        site.certificate("c0", NGINX);
        life.driver.reload().await.unwrap();
        life.settle().await;
        assert_eq!(life.proof("c0", UNIT), "served");
        assert_eq!(site.host.told(), [(UNIT.to_owned(), OnChange::Reload)]);
    });
}

#[test]
fn a_certificate_that_is_added_is_issued_and_one_that_left_stays_published_until_it_is_forgotten() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.certificate("c1", "");
        let report = life.driver.reload().await.unwrap();
        assert_eq!(report.added, ["c1"]);
        life.settle().await;
        assert_eq!(site.read("c1").0, 1);

        let c1 = || "c1".parse().unwrap();
        let refused = life.driver.forget(c1()).await;
        assert_eq!(refused, Err(ControlError::StillConfigured("c1".into())));
        std::fs::remove_file(site.configuration().join("certs.d/c1.toml")).unwrap();
        let report = life.driver.reload().await.unwrap();
        assert_eq!(report.removed, ["c1"]);
        life.work().await;
        assert_eq!(site.read("c1").0, 1, "it stays published");
        assert!(life.driver.show(&c1()).is_none());

        life.driver.forget(c1()).await.unwrap();
        assert!(reader::read(site.published("c1")).is_err());
        let refused = life.driver.forget(c1()).await;
        assert_eq!(refused, Err(ControlError::NoSuchCertificate("c1".into())));
        assert_eq!(site.read("c0").0, 1);
    });
}

#[test]
fn another_owner_is_published_as_a_new_generation_without_an_issuance() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let serial = site.read("c0").1;
        let mode = |number| {
            use std::os::unix::fs::PermissionsExt;
            let key = site.published("c0").join(format!(".{number}/key.pem"));
            key.metadata().unwrap().permissions().mode() & 0o777
        };
        site.certificate("c0", &format!("mode = \"0400\"\n{NGINX}"));
        life.driver.reload().await.unwrap();
        life.work().await;
        life.settle().await;
        assert_eq!(site.read("c0"), (2, serial));
        assert_eq!((mode(1), mode(2)), (0o640, 0o400));
        assert_eq!(life.proof("c0", UNIT), "served");
        assert_eq!(site.issuer.asked(), 1);
    });
}

#[test]
fn a_unit_that_cannot_reload_is_an_error_at_its_line() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.host.units().forbid_reload(&UNIT.parse().unwrap());
        let errors = life.driver.reload().await.unwrap_err();
        assert_eq!(errors.len(), 1);
        assert!(
            errors[0].contains("c0.toml:3") && errors[0].contains("restart"),
            "{errors:?}"
        );
    });
}

#[test]
fn a_stale_polkit_rule_is_a_warning_of_the_reload() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    *site.stale_rule.borrow_mut() = Some("the polkit rule is stale".to_owned());
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let report = life.driver.reload().await.unwrap();
        assert_eq!(report.warnings.len(), 1);
        assert!(report.warnings[0].contains("renewctl apply"), "{report:?}");
        site.stale_rule.take();
        assert!(life.driver.reload().await.unwrap().warnings.is_empty());
    });
}

#[test]
fn a_file_that_has_become_bad_holds_that_certificate_on_its_last_settings_at_start() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| life.settle().await);
    for file in ["renewd.toml", "c0.certificate.toml"] {
        let kept = site.state().join("store/config").join(file);
        assert!(kept.exists(), "{file}");
    }
}

#[test]
fn a_file_that_was_bad_at_the_start_is_told_in_status_until_it_is_mended() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    for (name, why) in [("c0", "c0.toml:1: bad"), ("c1", "c1.toml:1: bad")] {
        let bad = &mut *site.bad_files.borrow_mut();
        bad.insert(name.parse().unwrap(), why.to_owned());
    }
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        // Goes on as it was last accepted.
        assert_eq!(life.status("c0").state, "fresh");
        assert_eq!(life.status("c0").last_error.unwrap(), "c0.toml:1: bad");
        // Never was accepted.
        assert_eq!(life.status("c1").state, "held");
        assert_eq!(life.status("c1").last_error.unwrap(), "c1.toml:1: bad");
        life.driver.reload().await.unwrap();
        assert_eq!(life.status("c0").last_error, None);
        assert_eq!(life.driver.status().certificates.len(), 1);
    });
}

#[test]
fn another_owner_helps_a_service_that_could_not_read_its_key() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.host.temper(UNIT, Temper::Broken);
        drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
        life.until("it is not the certificate", |life| {
            life.status("c0").state == "unproven" && life.status("c0").generation == Some(4)
        })
        .await;
        site.certificate("c0", &format!("mode = \"0400\"\n{NGINX}"));
        life.driver.reload().await.unwrap();
        life.until("published anew", |life| {
            life.status("c0").generation == Some(5)
        })
        .await;
        site.host.temper(UNIT, Temper::Well);
        life.settle().await;
        assert_eq!(life.proof("c0", UNIT), "served");
        assert_eq!(site.issuer.signed(), 2);
    });
}
