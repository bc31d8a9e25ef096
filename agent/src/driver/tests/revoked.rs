//! What the operator has revoked, and what a CA is shown of what is held.

use futures_util::future::join;
use renewd_store::disk::Disk;

use super::host::{NGINX, nginx};
use super::{Life, Site};
use crate::control::{ControlError, Daemon};
use crate::issuer::Sent;
use crate::issuer::fake::Deed;

const UNIT: &str = "nginx.service";

async fn revoke(
    life: &Life<'_>,
    generation: Option<u64>,
) -> Result<crate::control::report::Revoked, ControlError> {
    let name = "c0".parse().unwrap();
    let order = life.driver.revoke(name, generation, "key-compromise");
    join(order, life.work()).await.0
}

fn leaf(site: &Site) -> Vec<u8> {
    let text = std::fs::read(site.published("c0").join("cert.pem")).unwrap();
    use rustls_pki_types::pem::PemObject;
    rustls_pki_types::CertificateDer::from_pem_slice(&text)
        .unwrap()
        .to_vec()
}

#[test]
fn a_leaf_in_use_is_revoked_by_its_issuer_and_replaced_at_once() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let first = leaf(&site);
        let revoked = revoke(life, None).await.unwrap();
        assert_eq!((revoked.generation, revoked.in_use), (1, true));
        assert_eq!(site.issuer.revoked(), std::slice::from_ref(&first));
        life.settle().await;
        assert_eq!(site.read("c0").0, 2);
        assert_eq!(life.proof("c0", UNIT), "served");
        assert!(life.record("c0").generations[&1].revoked);
        // The CA was shown what was held, and not at first, when nothing was.
        assert_eq!(site.issuer.shown(), [None, Some(first)]);
    });
    // A restart knows it, too.
    assert!(site.record("c0").unwrap().generations[&1].revoked);
}

#[test]
fn a_key_that_lay_beside_a_compromised_one_is_brought_to_no_issuer() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.issuer.sign_later();
    let kept = site.state().join("store/identities/c0/asked-fake");
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.issuer.next_deed(Deed::Leave(Sent::Open));
        let watcher = life.driver.renew(vec!["c0".parse().unwrap()]);
        life.until("left open", |_| site.issuer.asked() == 2 && kept.exists())
            .await;
        drop(watcher);
        revoke(life, None).await.unwrap();
        life.settle().await;
        let requests = site.issuer.requests();
        assert_eq!(requests.len(), 3);
        assert_ne!(requests[1], requests[2]);
        assert!(!kept.exists());
    });
}

#[test]
fn an_order_that_is_under_way_when_a_key_is_compromised_is_followed_by_another() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.issuer.next_deed(Deed::Silence);
        let watcher = life.driver.renew(vec!["c0".parse().unwrap()]);
        life.until("asked", |_| site.issuer.asked() == 2).await;
        revoke(life, None).await.unwrap();
        assert!(
            life.record("c0").renew_requested,
            "when that has its answer"
        );
        drop(watcher);
    });
}

#[test]
fn what_the_issuer_did_not_revoke_is_not_held_for_revoked() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        site.issuer.refuses_to_revoke();
        let refused = revoke(life, None).await.unwrap_err();
        assert_eq!(refused.to_string(), "the CA refused; ask it");
        let unknown = revoke(life, Some(7)).await.unwrap_err();
        assert!(unknown.to_string().contains("known are 1"), "{unknown}");
        let name = "c0".parse().unwrap();
        let reason = life.driver.revoke(name, None, "boredom").await.unwrap_err();
        assert!(reason.to_string().contains("superseded"), "{reason}");
        life.work_for(20).await;
        assert_eq!(site.read("c0").0, 1);
        assert!(!life.record("c0").generations[&1].revoked);
    });
}

#[test]
fn issuers_are_told_with_their_certificates_and_looked_at_without_an_issuance() {
    let site = Site::new(nginx);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        let issuers = life.driver.issuers().issuers;
        assert_eq!(issuers.len(), 1);
        assert_eq!(issuers[0].certificates, ["c0"]);
        assert!(issuers[0].last_issued.is_some());
        let name = issuers[0].name.parse().unwrap();
        let found = life.driver.check_issuer(&name).await.unwrap().findings;
        assert_eq!(found[0].is, "yes", "{found:?}");
        let asked: Vec<_> = found.iter().map(|one| one.question.as_str()).collect();
        assert_eq!(asked, ["reachable", "authenticated", "clock", "may-issue"]);
        assert_eq!(site.issuer.asked(), 1);
        let stranger = "stranger".parse().unwrap();
        assert!(life.driver.check_issuer(&stranger).await.is_err());
    });
}
