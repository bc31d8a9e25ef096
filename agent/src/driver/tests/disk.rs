//! Disks that refuse, and stores that are not what they were.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use renewd_store::disk::{Disk, Fault, Faults, Operation};
use renewd_store::{Store, StoreError};

use super::host::{NGINX, nginx};
use super::{Life, Site};
use crate::control::Daemon;

const UNIT: &str = "nginx.service";
const HOUR: Duration = Duration::from_secs(3600);

/// A disk that refuses everything while it is told to.
#[derive(Default)]
struct Refusing {
    now: AtomicBool,
    errno: Option<Errno>,
    below: Option<PathBuf>,
}

impl Refusing {
    fn with(errno: Errno, below: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Self {
            now: AtomicBool::new(false),
            errno: Some(errno),
            below,
        })
    }

    fn refuse(&self, now: bool) {
        self.now.store(now, Ordering::Relaxed);
    }
}

impl Faults for Refusing {
    fn before(&self, operation: Operation, path: &Path) -> Fault {
        let concerned = self
            .below
            .as_ref()
            .is_none_or(|below| path.starts_with(below));
        // A full disk still lets go.
        let writes = operation != Operation::Remove || self.errno != Some(Errno::ENOSPC);
        if !(self.now.load(Ordering::Relaxed) && concerned && writes) {
            return Fault::None;
        }
        let error = io::Error::from(self.errno.unwrap());
        match operation {
            Operation::Write if self.errno == Some(Errno::ENOSPC) => Fault::Short(5, error),
            _ => Fault::Error(error),
        }
    }
}

const ERRORS: [Errno; 3] = [Errno::ENOSPC, Errno::EROFS, Errno::EMFILE];

#[test]
fn a_disk_that_takes_nothing_is_said_costs_no_issuance_and_changes_nothing_that_is_published() {
    for errno in ERRORS {
        let site = Site::new(nginx);
        site.certificate("c0", NGINX);
        let faults = Refusing::with(errno, None);
        site.live(
            Disk::with_faults(faults.clone()),
            async |life: &Life<'_>| {
                life.settle().await;
                let before = site.read("c0");
                faults.refuse(true);
                let mut steps = life.driver.renew(vec!["c0".parse().unwrap()]).unwrap();
                life.work().await;
                let told = steps.try_recv().unwrap();
                assert_eq!(told.step, "waiting");
                assert!(
                    told.detail.contains(&io::Error::from(errno).to_string()),
                    "{told:?}"
                );
                drop(steps);
                site.clock.pass(Duration::from_secs(300));
                life.work().await;
                let error = life.status("c0").last_error.unwrap();
                let text = io::Error::from(errno).to_string();
                assert!(error.contains(&text), "{error}");
                assert_eq!(site.read("c0"), before);
                assert_eq!(
                    site.issuer.asked(),
                    1,
                    "{errno}: the CA is not asked for what cannot be kept"
                );
                life.driver.progress().await;

                faults.refuse(false);
                life.until("renewed", |life| {
                    life.status("c0").generation == Some(2) && life.is_settled()
                })
                .await;
                assert_eq!(site.issuer.signed(), 2);
                assert_eq!(life.status("c0").last_error, None);
                assert_eq!(life.proof("c0", UNIT), "served");
            },
        );
    }
}

#[test]
fn a_disk_that_fills_up_while_the_ca_answers_costs_no_second_issuance() {
    for errno in ERRORS {
        let site = Site::new(nginx);
        site.certificate("c0", NGINX);
        let faults = Refusing::with(errno, Some(site.state().join("store/identities")));
        site.live(
            Disk::with_faults(faults.clone()),
            async |life: &Life<'_>| {
                life.settle().await;
                let before = site.read("c0");
                faults.refuse(true);
                drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
                life.until("refused", |life| life.status("c0").last_error.is_some())
                    .await;
                for _ in 0..20 {
                    site.clock.pass(Duration::from_secs(60));
                    life.work().await;
                }
                assert_eq!(site.read("c0"), before);
                assert_eq!(site.issuer.signed(), 2);
                faults.refuse(false);
                life.until("healed", |life| life.status("c0").generation == Some(2))
                    .await;
                life.settle().await;
                assert_eq!(
                    site.issuer.signed(),
                    2,
                    "{errno}: what was paid for is kept"
                );
            },
        );
    }
}

#[test]
fn a_disk_that_fills_up_while_publishing_leaves_the_old_generation_and_is_made_up_for() {
    for errno in ERRORS {
        let site = Site::new(nginx);
        site.certificate("c0", NGINX);
        let faults = Refusing::with(errno, Some(site.state().join("certs")));
        site.live(
            Disk::with_faults(faults.clone()),
            async |life: &Life<'_>| {
                life.settle().await;
                let before = site.read("c0");
                faults.refuse(true);
                drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
                life.until("refused", |life| life.status("c0").last_error.is_some())
                    .await;
                for _ in 0..20 {
                    site.clock.pass(Duration::from_secs(60));
                    life.work().await;
                }
                assert_eq!(site.read("c0"), before);
                assert_eq!(site.host.serves(UNIT), Some(before.1));
                assert_eq!(life.status("c0").state, "activating");
                faults.refuse(false);
                life.until("published", |life| life.status("c0").generation == Some(2))
                    .await;
                life.settle().await;
                assert_eq!(life.proof("c0", UNIT), "served");
                assert_eq!(site.issuer.signed(), 2, "{errno}");
            },
        );
    }
}

#[test]
fn a_daemon_that_starts_on_a_full_disk_goes_on_when_there_is_space_again() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| life.settle().await);
    let faults = Refusing::with(Errno::ENOSPC, None);
    faults.refuse(true);
    site.live(
        Disk::with_faults(faults.clone()),
        async |life: &Life<'_>| {
            life.work().await;
            assert!(
                life.status("c0")
                    .last_error
                    .unwrap()
                    .contains("No space left")
            );
            assert_eq!(site.issuer.asked(), 1);
            faults.refuse(false);
            life.renew(&["c0"]).await;
            assert_eq!(site.read("c0").0, 2);
            assert_eq!(site.issuer.signed(), 2);
        },
    );
}

/// A site with one generation that is served.
fn settled() -> (Site, (u64, String)) {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| life.settle().await);
    let read = site.read("c0");
    (site, read)
}

#[test]
fn a_second_daemon_is_refused_and_harms_nobody() {
    let (site, _) = settled();
    site.live(Disk::default(), async |life: &Life<'_>| {
        let second = Store::open(&site.state(), Disk::default());
        assert!(matches!(second, Err(StoreError::Locked { .. })));
        life.renew(&["c0"]).await;
        assert_eq!(site.read("c0").0, 2);
    });
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let (site, before) = settled();
    fs::write(site.state().join("store/form"), "2\n").unwrap();
    let refused = site.try_live(Disk::default(), async |_: &Life<'_>| ());
    assert!(matches!(refused, Err(StoreError::Newer { .. })));
    assert_eq!(site.read("c0"), before);
}

#[test]
fn a_record_of_a_newer_version_holds_its_certificate_alone() {
    let (site, before) = settled();
    site.certificate("c1", "");
    let path = site.state().join("store/records/c0.json");
    let text = fs::read_to_string(&path).unwrap();
    let newer = text.replacen("\"schema\": 1", "\"schema\": 2", 1);
    assert_ne!(newer, text);
    fs::write(&path, &newer).unwrap();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.until("the other", |life| life.status("c1").state == "fresh")
            .await;
        let status = life.status("c0");
        assert_eq!(status.state, "held");
        assert!(status.last_error.unwrap().contains("newer renewd"));
        life.driver.progress().await;
    });
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    assert_eq!(site.read("c0"), before);
}

#[test]
fn a_record_that_is_garbage_is_set_aside_and_a_new_certificate_is_asked_for() {
    for garbage in ["", "{\"schema\": 1", "null", "{}", "\u{0}\u{0}\u{0}"] {
        let (site, before) = settled();
        fs::write(site.state().join("store/records/c0.json"), garbage).unwrap();
        let ready = site.live_until_ready(Disk::default(), async |life: &Life<'_>| {
            assert_eq!(site.read("c0"), before, "published stays");
            life.driver.run();
            life.settle().await;
            assert_eq!(life.proof("c0", UNIT), "served");
            assert_eq!(site.read("c0").0, 2, "numbers only rise");
        });
        ready.unwrap();
        let aside = site.state().join("store/records/c0.damaged");
        assert_eq!(fs::read_to_string(aside).unwrap(), garbage);
        assert_eq!(site.issuer.signed(), 2);
    }
}

#[test]
fn a_record_of_another_owner_holds_its_certificate_and_says_what_helps() {
    if !nix::unistd::geteuid().is_root() {
        // Nobody else can give a file away; the scenarios run as root.
        return;
    }
    let (site, before) = settled();
    let path = site.state().join("store/records/c0.json");
    std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.work().await;
        let status = life.status("c0");
        assert_eq!(status.state, "held");
        let error = status.last_error.unwrap();
        assert!(
            error.contains("user 12345") && error.contains("run it as that user"),
            "{error}"
        );
        assert_eq!(site.read("c0"), before);
        // Given back, a reload is enough.
        std::os::unix::fs::chown(&path, Some(0), None).unwrap();
        life.driver.reload().await.unwrap();
        life.settle().await;
        assert_eq!(life.proof("c0", UNIT), "served");
        assert_eq!(site.read("c0"), before);
    });
}

#[test]
fn a_current_that_points_nowhere_is_published_again_under_a_new_number() {
    let (site, before) = settled();
    let current = site.published("c0").join("current");
    fs::remove_file(&current).unwrap();
    symlink(".77", &current).unwrap();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        assert_eq!(life.proof("c0", UNIT), "served");
    });
    let after = site.read("c0");
    assert!(after.0 > before.0);
    assert_eq!(after.1, before.1, "the same identity");
    assert_eq!(site.issuer.signed(), 1);
}

#[test]
fn a_generation_that_was_tampered_with_is_published_again_under_a_new_number() {
    type Tamper = fn(&Path);
    let tampers: [Tamper; 5] = [
        |directory| fs::write(directory.join("cert.pem"), "garbage").unwrap(),
        |directory| fs::write(directory.join("key.pem"), "").unwrap(),
        |directory| fs::remove_file(directory.join("combined.pem")).unwrap(),
        |directory| fs::write(directory.join("manifest.json"), "{").unwrap(),
        |directory| fs::remove_dir_all(directory).unwrap(),
    ];
    for (number, tamper) in tampers.iter().enumerate() {
        let (site, before) = settled();
        tamper(&site.published("c0").join(".1"));
        site.live(Disk::default(), async |life: &Life<'_>| {
            life.settle().await;
            assert_eq!(life.proof("c0", UNIT), "served", "{number}");
        });
        assert_eq!(
            site.read("c0"),
            (2, before.1),
            "{number}: the same identity"
        );
        assert_eq!(site.issuer.signed(), 1, "{number}");
    }
}

#[test]
fn an_identity_that_is_lost_is_not_published_again_and_another_one_is_asked_for() {
    type Lose = fn(&Path);
    let losses: [Lose; 5] = [
        |directory| fs::remove_dir_all(directory).unwrap(),
        |directory| fs::write(directory.join("key.pem"), "garbage").unwrap(),
        |directory| fs::write(directory.join("cert.pem"), "").unwrap(),
        |directory| fs::remove_file(directory.join("chain.pem")).unwrap(),
        |directory| {
            let other = crate::keys::PrivateKey::generate(renewd_core::request::KeyType::EcdsaP256);
            fs::write(directory.join("key.pem"), other.unwrap().pem().as_bytes()).unwrap();
        },
    ];
    for (number, lose) in losses.iter().enumerate() {
        let (site, before) = settled();
        lose(&site.state().join("store/identities/c0/1"));
        site.live(Disk::default(), async |life: &Life<'_>| {
            life.work().await;
            assert_eq!(site.read("c0"), before, "{number}: published stays");
            // Not sooner than a tenth of the life after the last one.
            life.until_within(3 * HOUR, "another", |life| life.site.issuer.signed() == 2)
                .await;
            life.settle().await;
            assert_eq!(life.proof("c0", UNIT), "served", "{number}");
        });
        assert_eq!(site.read("c0").0, 2, "{number}");
    }
}

#[test]
fn an_identity_that_is_lost_while_the_daemon_runs_is_not_published() {
    let (site, _) = settled();
    let faults = Refusing::with(Errno::ENOSPC, Some(site.state().join("certs")));
    site.live(
        Disk::with_faults(faults.clone()),
        async |life: &Life<'_>| {
            life.settle().await;
            faults.refuse(true);
            drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
            life.until("refused", |life| life.status("c0").last_error.is_some())
                .await;
            fs::write(
                site.state().join("store/identities/c0/2/key.pem"),
                "garbage",
            )
            .unwrap();
            faults.refuse(false);
            // What is published is valid, and replaced when it is due.
            life.until_within(24 * HOUR, "another", |life| {
                life.site.issuer.signed() == 3 && life.is_settled()
            })
            .await;
            assert_eq!(life.proof("c0", UNIT), "served");
            assert_eq!(Some(site.read("c0").1), life.status("c0").serial);
        },
    );
}

#[test]
fn a_failure_of_ours_to_read_is_not_taken_for_one_of_the_units() {
    let (site, _) = settled();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.host.temper(UNIT, super::host::Temper::Stale);
        drop(life.driver.renew(vec!["c0".parse().unwrap()]).unwrap());
        life.until("stale", |life| life.proof("c0", UNIT) == "failed")
            .await;
        // The leaf can be read nowhere.
        let kept = site.state().join("store/identities/c0/2/cert.pem");
        let published = site.published("c0").join(".2/cert.pem");
        let leaf = fs::read(&kept).unwrap();
        fs::write(&kept, "").unwrap();
        fs::write(&published, "").unwrap();
        site.host.temper(UNIT, super::host::Temper::Well);
        for _ in 0..10 {
            site.clock.pass(Duration::from_secs(60));
            life.work().await;
        }
        assert_eq!(site.read_generation("c0"), 2, "no verdict of it");
        fs::write(&kept, leaf).unwrap();
        life.settle().await;
        assert_eq!(life.proof("c0", UNIT), "served");
        assert_eq!(site.issuer.signed(), 2);
    });
}

#[test]
fn a_record_from_a_backup_is_brought_to_agree_with_what_is_published() {
    let (site, before) = settled();
    let path = site.state().join("store/records/c0.json");
    let backup = fs::read(&path).unwrap();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.renew(&["c0"]).await;
    });
    assert_eq!(site.read("c0").0, 2);
    fs::write(&path, backup).unwrap();
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let status = life.status("c0");
        assert_eq!(status.generation, Some(site.read("c0").0));
        assert_eq!(status.serial, Some(site.read("c0").1));
        assert_eq!(life.proof("c0", UNIT), "served");
    });
    // The second generation is none of which the record knows: its number is not used again.
    assert_eq!(site.read("c0"), (3, before.1));
}
