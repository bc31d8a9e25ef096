//! What kind of thing each event is: its `MESSAGE_ID` (journald's catalogue key; never reused, never
//! changed), its level, and the step of a rotation or of the daemon's life that it belongs to.

use tracing::Level;

use super::Event;

/// The constant part of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) message_id: &'static str,
    pub(super) level: Level,
    pub(super) step: &'static str,
}

impl Event {
    /// An error needs somebody; a warning may mend itself.
    pub(super) fn kind(&self) -> Kind {
        let kind = |level| {
            move |message_id, step| Kind {
                message_id,
                level,
                step,
            }
        };
        let (error, warn, info) = (kind(Level::ERROR), kind(Level::WARN), kind(Level::INFO));
        // A failed try is the next one's business, as long as that comes in time.
        let tried = |in_time| if in_time { warn } else { error };
        match self {
            Self::Started { .. } => info("e703595fb5f2478eb0bb2a226728a9bc", "start"),
            Self::Ready { .. } => info("7a08b32499734b5cb7b969b7b9f35c70", "start"),
            Self::CannotStart { .. } => error("0bc60a7954da445aab21d7ffeda0a28d", "start"),
            Self::LogFilterRefused { .. } => warn("16045f14cc5b4185b1d2248867252cf2", "start"),
            Self::CoreDumpsPossible { .. } => warn("7e499883cf0e431184c913985de817dc", "start"),
            Self::Stopping => info("d1ac921b2c3c4685b1baa3466f1e709f", "stop"),
            Self::CertificateHeld { .. } => error("8e53791bcad64804b3a81bfd8601081f", "hold"),
            Self::ControlNotShared { .. } => warn("32aeaef311b9410f874840beee81f9f8", "control"),
            Self::CallerLost { .. } => warn("115e2af6f1e14bce86257cf6f35c2eee", "control"),
            Self::ClockStepped { .. } => warn("022f73d173614eb18af29c783e19db62", "clock"),
            Self::ClockInDoubt { .. } => warn("8f6db30e7f424c42bc0a3da93f388d4c", "clock"),
            Self::TimerRefused { .. } => error("27a1e1bb56b24096b60a252146b3ccdc", "clock"),
            Self::ConfigurationReloaded { .. } => {
                info("2757f53d0a934e9e9957c46c377d0e07", "configure")
            }
            Self::ConfigurationRefused { .. } => {
                error("b7924996cec54e298f96f480f419754f", "configure")
            }
            Self::ConfigurationHeld { .. } => {
                error("90f7dd54bd084293b22f33ac792fb571", "configure")
            }
            Self::MainFileHeld { .. } => error("846bea538c024a5aaac773977cf13776", "configure"),
            Self::FilesPassedOver { .. } => error("9ad4ed9121334095877c3ed9d6e4625f", "configure"),
            Self::ConfigurationWarning { .. } => {
                warn("8098cbb5a5ca45aaa28825bab280b7c7", "configure")
            }
            Self::AcceptedCopyTrouble { .. } => {
                warn("17230f3f2ed042138b75a689e44f180e", "configure")
            }
            Self::PolkitStale => error("e1f1497baa214db69ffd5edbbaa22afc", "configure"),
            Self::AuthorityMade { .. } => info("d7fa9107efc4441c8292a3f83a4e6552", "issue"),
            Self::IssuanceStarted { .. } => info("099b213aaae64808ab6ee37adb2a9206", "issue"),
            Self::IssuerSaid { .. } => info("05490d42c57b42bab09773ac453205c0", "issue"),
            Self::IssuerWarning { .. } => warn("9f5c7ccd9cbd4d7f8c7a60238d27f62c", "issue"),
            Self::IssuanceFailed { next, .. } => {
                tried(next.in_time)("4709f7b28ac9454ead324a072af2665d", "issue")
            }
            Self::Issued { .. } => info("5eaea4b54ccd49e9979490b9be5ab3a7", "issue"),
            Self::AnswerRefused { next, .. } => {
                tried(next.in_time)("d32e063b034e4c62abaf0c536035d900", "accept")
            }
            Self::AcceptedWithWarning { .. } => warn("3cda2ce364644d1ba8ebce4fef34f625", "accept"),
            Self::TrustChanged { .. } => info("c7d19070fb2e41619c26baff40734c02", "issue"),
            Self::CrlsChanged { .. } => info("8744f3095cbc49d6a031081ccdcd22c2", "issue"),
            Self::CrlNotHad { .. } => warn("3830ccaf0a904677bb21ccbaa0030455", "issue"),
            Self::RenewalAdvised { .. } => info("d0ef8f56927640a6816323b3128b0d53", "issue"),
            Self::FallenBack { .. } => warn("d2b774e79b274511a19358b5d1f901bf", "issue"),
            Self::Revoked { .. } => warn("60ee73ffb4e44440b7e359db966b5322", "issue"),
            Self::RecordDamaged { .. } => error("a860afcbbf3642a7b059ed7f3ac56f06", "store"),
            Self::IdentityLost { .. } => error("5a6325a456fc4f02a31fec30e429ddbf", "store"),
            Self::DiskRefuses { .. } => error("325723dd5ab645e8a451f623617811b4", "store"),
            Self::DiskTakes { .. } => info("d5e4bf58139e4dc197b21136e72fcc44", "store"),
            Self::NotTidied { .. } => warn("7d211d12691246c6a38d853302a35db7", "store"),
            Self::Published { .. } => info("a17021d7f63c4755b7a7cf3127e2144c", "publish"),
            Self::NotPublished { .. } => error("e164424302974ebbac8f71d211b86e44", "publish"),
            Self::PublishedDamaged { .. } => error("1c3b573852c341f5b5c16feeda00402b", "publish"),
            Self::CredentialGiven { .. } => info("06136c9bfb234bdfa54bf7c871ed85d9", "credential"),
            Self::CredentialRefused { .. } => {
                warn("72d69833fefa4aae8731a4b2a3f68660", "credential")
            }
            Self::CredentialNotHeld { .. } => {
                error("fee6e2a1d4d94ae7adbc0ef7ea2c1312", "credential")
            }
            Self::CredentialsUnserved => error("5f70497c75c44d44880d88f51a8340e5", "credential"),
            Self::Expiring { .. } => error("da4b89f038564871b6a6fc0428b4765c", "expire"),
            Self::Expired { .. } => error("6fbfcf134d4942db93e770066e781f76", "expire"),
            Self::NothingPublished { .. } => error("bfc7d36ffb93447db35d691ee8d17fb8", "expire"),
            Self::PublishedUnreadable { .. } => error("ecc85c6cbb1a4f73a63fb02e1a192499", "expire"),
            Self::ReloadStarted { .. } => info("ad6301b72ed3449ea708d7c8b1e84227", "reload"),
            Self::ReloadDone { .. } => info("e94405a4c46948df858dbc4c12b43dbe", "reload"),
            Self::ReloadFailed { .. } => warn("88b2bde15db94d6ca51b3a9183831db1", "reload"),
            Self::Proven { .. } => info("ade1725629c54f4f900b8a2b07298d56", "probe"),
            Self::NotProven { .. } => error("c8b722621f4c49909c21df286691044b", "probe"),
            Self::StaleInMemory { .. } => error("954debfc030446278957c256bb845549", "probe"),
            Self::ProbeImpossible { .. } => error("37811451a7ea4636b9c547dbbf88807c", "probe"),
            Self::Reverted { .. } => warn("9a540654b1b74207ac5f780f93b231f6", "revert"),
            Self::Blamed { .. } => error("ec5fe790fe454b96967a922a14a5a89c", "verdict"),
            Self::NotTheCertificate { .. } => error("91c0d095a4a74effbdaf9476d2032f42", "verdict"),
            Self::HeldForward { .. } => error("80429ac01e70456c94bcf78037077e33", "verdict"),
        }
    }
}
