//! The lines of the log that an operator may have to act on: each has a `MESSAGE_ID`.
//!
//! Owns: the ids, which are never changed and never given to something else, and the levels. What they mean stands in
//! `docs/sample-api-journal.md`, of which the journal's catalogue is made; a test holds the two together.
//! Neighbour: [`crate::log`], which sends them to the journal.

use tracing::Level;

/// An event's part that is always the same.
pub(crate) struct Event {
    pub(crate) id: &'static str,
    pub(crate) level: Level,
}

/// Declares the events, and for the test a list of them.
macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $level:ident;)*) => {
        $($(#[$doc])* pub(crate) const $name: Event = Event { id: $id, level: Level::$level };)*

        #[cfg(test)]
        const ALL: &[(&str, Event)] = &[$((stringify!($name), $name)),*];
    };
}

/// Logs an event, with fields and a text as for `tracing::info!`.
macro_rules! tell {
    ($event:ident, $($line:tt)+) => {
        tracing::event!(
            $crate::events::$event.level,
            MESSAGE_ID = $crate::events::$event.id,
            $($line)+
        )
    };
}

pub(crate) use tell;

events! {
    /// It is ready.
    READY = "17bb849b21484c16972243173479876c", INFO;
    /// It cannot start.
    CANNOT_START = "f438a1aed1dc46a8ad4e6218a02e6aa5", ERROR;
    /// It was told to stop.
    STOPPING = "3c44bdf02e8f4b7d9c16183a0dd874a6", INFO;
    /// It has stopped.
    STOPPED = "792a719977f44baf825d6017d8fedb1e", INFO;
    /// A part of it has failed, so it ends.
    PART_FAILED = "4f327880ff994b79a98bb3f92327a4b8", ERROR;
    /// A connection ended in a panic.
    CONNECTION_FAILED = "6fd9e128b07a443180d22556dac92089", ERROR;
    /// A connection did not get to its worker.
    CONNECTION_LOST = "7b3294812b0e4bbf92e842c9e0825754", WARN;
    /// The kernel refuses to give it connections.
    CANNOT_ACCEPT = "c0a2ee4523be4be494d227fab04bd48a", ERROR;
    /// An administrator's request failed.
    ADMIN_FAILED = "a71c5c66a64e490db73fc2668d1eca8d", WARN;
    /// A socket that systemd kept is in use again.
    SOCKET_TAKEN_OVER = "631adc3299b2427cb6eaa2427623bf15", INFO;
    /// A socket was passed that nobody asked for.
    SOCKET_UNKNOWN = "4434aae3701e4562a41aede62bbf8eb0", WARN;
    /// What it begins with.
    SERVING = "d7cd004df90741f5aa814a92be2c0e42", INFO;
    /// A new generation is in use.
    SWAPPED = "ebaf3f7496c14a5d8fb7df15953cc629", INFO;
    /// What is published is refused.
    RELOAD_REFUSED = "66bcc6dbf0054936b900e2286d741f6e", ERROR;
    /// What is published is what is in use again.
    REFUSAL_ENDED = "f892ff6e4e78456abf510ed1ef79ae99", INFO;
    /// Bundle or lists have changed.
    TRUST_CHANGED = "4d4d635342c548c4ad99ce56f985228e", INFO;
    /// The OCSP response is of no use.
    STAPLE_REFUSED = "e195c74dca70406f80c1b6b9590ef262", WARN;
    /// The OCSP response has ended.
    STAPLE_ENDED = "677be672ceda44c08ea5d929861f37e7", WARN;
    /// Nobody can name a face.
    FACE_HIDDEN = "da57de35fc2c45b8b79363bf07fe8c1c", WARN;
    /// A face that nobody could name has a name.
    FACE_REACHED = "d9f92e8e67f140a190be9dd28885594c", INFO;
    /// A watched directory is gone.
    WATCH_LOST = "8cb68b2f2086498e959ca1b63fedc4a9", WARN;
    /// It is there again.
    WATCH_AGAIN = "885b1ec5379746bb821b0b104d4d86b5", INFO;
    /// A policy counts from now on.
    POLICY_IN_FORCE = "8c98edd6b5474a6d9608b6deae2895ba", INFO;
    /// The policy has no roles.
    POLICY_EMPTY = "c32e8cfd9ebc4967936290929abe9f96", WARN;
    /// There is no policy.
    POLICY_OPEN = "6f18e2e8f1d34084a8cce6082b281877", WARN;
    /// The policy is refused.
    POLICY_REFUSED = "2d0d2ca577784f208d5bbe7e38f5a09d", ERROR;
    /// The file says what is in force again.
    POLICY_REFUSAL_ENDED = "5e66c9ccbbd44a21a557642e85012948", INFO;
    /// A handshake failed.
    HANDSHAKE_REFUSED = "7c13ee1b3ab646729693fdb1071c1810", INFO;
    /// A certificate gives no identity.
    NO_IDENTITY = "8a14acfe58b1434bbab1f78864170fc4", WARN;
    /// A connection did not end in time.
    CONNECTION_CUT = "2228e0badfbc4547b81030ecdb2817cc", INFO;
    /// The application did not answer.
    UPSTREAM_FAILED = "148fcb4ea15f441b9fca2b713c903b66", WARN;
    /// One request (`audit`).
    REQUEST = "5a72f9eba23f4efd8a9587898c0d4305", INFO;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_documented_with_its_id_and_level_and_no_other() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sample-api-journal.md");
        let text = std::fs::read_to_string(path).unwrap();
        for (name, Event { id, level }) in ALL {
            let level = match *level {
                Level::ERROR => "error",
                Level::WARN => "warning",
                _ => "info",
            };
            let words = name.split('_').map(|word| {
                let (first, rest) = word.split_at(1);
                first.to_owned() + &rest.to_ascii_lowercase()
            });
            let name: String = words.collect();
            let section = format!("\n### {name}\n\n`{id}` · {level}\n\n");
            assert!(text.contains(&section), "the document lacks{section}");
        }
        let headings = text.lines().filter(|line| line.starts_with("### "));
        assert_eq!(headings.count(), ALL.len());
    }
}
