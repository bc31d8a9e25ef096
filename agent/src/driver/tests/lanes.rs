//! Many certificates and many units: what they share, and what a fault in one does to the others.

use renewd_core::unit::OnChange;
use renewd_store::disk::Disk;

use super::host::Temper;
use super::{Host, Life, Site};
use crate::issuer::fake::Deed;

const NGINX: &str = "[unit.\"nginx.service\"]\nprobe = \"tls://127.0.0.1:443\"\n";

fn one_service(host: Host, certificates: &std::path::Path) -> Host {
    host.install(
        "nginx.service",
        certificates.join("c0"),
        "tls://127.0.0.1:443",
        true,
    )
}

#[test]
fn one_certificate_is_issued_published_told_of_and_proven() {
    let site = Site::new(one_service);
    site.certificate("c0", NGINX);
    site.live(Disk::default(), async |life: &Life<'_>| {
        life.settle().await;
        assert_eq!(life.proof("c0", "nginx.service"), "served");
        assert_eq!(site.read("c0").0, 1);
        assert_eq!(site.host.serves("nginx.service"), Some(site.read("c0").1));
        life.renew(&["c0"]).await;
        assert_eq!(site.read("c0").0, 2);
        assert_eq!(site.issuer.signed(), 2);
    });
}
