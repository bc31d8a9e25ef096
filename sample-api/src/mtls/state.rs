//! What a server with mutual TLS says of itself.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use super::MutualTls;
use crate::leaf::rfc3339;
use crate::metrics::Gauges;
use crate::serve::Phase;

impl MutualTls {
    /// One line on what is being served, and what was refused since.
    pub async fn status(&self) -> String {
        let served = self.keys.served();
        let mut line = format!(
            "serving generation {}, serial {}, valid until {}",
            served.generation,
            served.leaf.serial,
            rfc3339(served.leaf.not_after)
        );
        for refusal in [self.keys.refusal().await, self.rules.refusal().await]
            .into_iter()
            .flatten()
        {
            line.push_str("; last reload: ");
            line.push_str(&refusal);
        }
        line
    }

    /// Whether new clients can be served, or why not: [`MutualTls::healthy`], and no revocation list has ended.
    ///
    /// # Errors
    ///
    /// In a few words, for a health check.
    pub fn ready(&self, now: SystemTime) -> Result<(), &'static str> {
        self.healthy(now)?;
        match self.keys.served().trust.lists_until() {
            Some(until) if now > until => Err("revocation list expired"),
            _ => Ok(()),
        }
    }

    /// Whether the server is at work, with a certificate of today, or why not.
    ///
    /// # Errors
    ///
    /// In a few words, for a health check.
    pub fn healthy(&self, now: SystemTime) -> Result<(), &'static str> {
        let served = self.keys.served();
        if self.phase() != Phase::Serving {
            Err("stopping")
        } else if now > served.leaf.not_after {
            Err("certificate expired")
        } else if now < served.leaf.not_before {
            Err("certificate not valid yet")
        } else {
            Ok(())
        }
    }

    /// How many open connections over HTTP/1.1 have had nothing to do for a while.
    pub fn resting(&self) -> usize {
        self.registry.resting()
    }

    /// What only shows at the moment of asking.
    pub async fn gauges(&self) -> Gauges {
        let served = self.keys.served();
        let seconds = |time: SystemTime| {
            time.duration_since(UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64())
        };
        let (open, draining) = self.registry.count();
        Gauges {
            generation: served.generation,
            serial: served.leaf.serial.clone(),
            not_after: seconds(served.leaf.not_after),
            lists_until: served.trust.lists_until().map(seconds),
            staple_until: served.stapled_until(SystemTime::now()).map(seconds),
            ready: self.ready(SystemTime::now()).is_ok(),
            policy: !self.rules.policy().is_open(),
            refused: self.keys.refusal().await.is_some() || self.rules.refusal().await.is_some(),
            open: open - draining,
            draining,
            resting: self.resting(),
            handshaking: self.shaking.load(Relaxed),
            upstream: None,
        }
    }
}
