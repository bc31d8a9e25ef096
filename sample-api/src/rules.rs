//! The policy in force, and its replacement.
//!
//! Owns: the one swap, and the log of it. A refused policy leaves the old one in force.
//! Never does: decide. Neighbours: [`crate::policy`] decides, [`crate::mtls`] asks for reloads.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Release},
};

use tokio::sync::{Mutex, watch};

use crate::events::tell;
use crate::explain;
use crate::file::FileError;
use crate::policy::Policy;

/// The policy in force, and where the next comes from.
#[derive(Debug)]
pub struct Rules {
    file: Option<PathBuf>,
    policy: watch::Sender<Arc<Policy>>,
    /// The address of the one in force: asked for each request, by every worker, and so without a lock.
    current: AtomicUsize,
    /// Reloads take turns. Holds the last refusal, so that one fault is complained of once.
    turn: Mutex<Option<String>>,
}

impl Rules {
    /// Loads the policy. Without a file everybody with an identity may do everything, which is said aloud.
    ///
    /// # Errors
    ///
    /// When the file is not a policy.
    pub fn open(file: Option<PathBuf>) -> Result<Self, FileError> {
        let policy = match &file {
            Some(file) => Policy::load(file)?,
            None => {
                tell!(
                    POLICY_OPEN,
                    "no `policy` is set: every client with an identity may do everything"
                );
                Policy::open()
            }
        };
        log_policy("policy in force", &policy);
        let policy = Arc::new(policy);
        Ok(Self {
            file,
            current: AtomicUsize::new(address(&policy)),
            policy: watch::channel(policy).0,
            turn: Mutex::new(None),
        })
    }

    /// What the next decision is made by.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.borrow().clone()
    }

    /// Whether that one is still in force.
    pub(crate) fn is(&self, policy: &Arc<Policy>) -> bool {
        // Whoever asks holds it, so no other can have its address.
        self.current.load(Acquire) == address(policy)
    }

    /// Tells of each swap.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Policy>> {
        self.policy.subscribe()
    }

    /// Takes up the file as it is now. Returns whether that changed anything.
    ///
    /// # Errors
    ///
    /// When it was refused. What was in force still is.
    pub async fn reload(&self) -> Result<bool, FileError> {
        let Some(file) = self.file.clone() else {
            return Ok(false);
        };
        let mut last_refusal = self.turn.lock().await;
        // Small and local: not worth another thread.
        match Policy::load(&file) {
            Ok(policy) => {
                let told = last_refusal.take().is_some();
                if policy == *self.policy() {
                    if told {
                        tell!(POLICY_REFUSAL_ENDED, "the refused policy was withdrawn");
                    }
                    return Ok(false);
                }
                log_policy("new policy in force", &policy);
                let policy = Arc::new(policy);
                let address = address(&policy);
                self.policy.send_replace(policy);
                self.current.store(address, Release);
                Ok(true)
            }
            Err(refusal) => {
                let reason = explain(&refusal);
                if last_refusal.as_ref() != Some(&reason) {
                    tell!(
                        POLICY_REFUSED,
                        "policy refused, the old one stays in force: {reason}"
                    );
                    *last_refusal = Some(reason);
                }
                Err(refusal)
            }
        }
    }

    /// Why the file was refused last, if it still is.
    pub async fn refusal(&self) -> Option<String> {
        self.turn.lock().await.clone()
    }
}

fn address(policy: &Arc<Policy>) -> usize {
    Arc::as_ptr(policy).addr()
}

fn log_policy(event: &str, policy: &Policy) {
    let roles = policy.names().collect::<Vec<_>>().join(", ");
    if roles.is_empty() {
        tell!(
            POLICY_EMPTY,
            "{event}: it has no roles, so everything is denied"
        );
    } else {
        tell!(POLICY_IN_FORCE, roles, "{event}");
    }
}
