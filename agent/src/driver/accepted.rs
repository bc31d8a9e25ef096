//! The accepted texts of the configuration, kept for the next start: it falls back to them where a file
//! has become bad by then. A disk that refuses them is asked again, until a newer configuration comes.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use renewd_core::schedule;
use tokio::task::AbortHandle;

use crate::config::{Settings, Texts};
use crate::driver::world::World;
use crate::journal::{self, Event};

const AGAIN: Duration = Duration::from_secs(30);

/// Keeps the texts that are in force.
#[derive(Default)]
pub(super) struct Accepted {
    retry: RefCell<Option<AbortHandle>>,
}

impl Accepted {
    /// Keeps these from now on.
    pub(super) fn keep(&self, world: &Rc<World>, settings: &Settings) {
        self.give_up();
        let texts = settings.accepted_texts().clone();
        if !kept(world, &texts) {
            let task = tokio::task::spawn_local(keep_later(world.clone(), texts));
            *self.retry.borrow_mut() = Some(task.abort_handle());
        }
    }

    pub(super) fn give_up(&self) {
        if let Some(task) = self.retry.borrow_mut().take() {
            task.abort();
        }
    }
}

async fn keep_later(world: Rc<World>, texts: Texts) {
    loop {
        let again = schedule::after(world.now(), AGAIN);
        world.clock.sleep_until(again).await;
        if kept(&world, &texts) {
            return;
        }
    }
}

fn kept(world: &World, texts: &Texts) -> bool {
    let mut all = true;
    for (file, text) in texts.files() {
        if let Err(error) = world.store.save_accepted(&file, text) {
            all = false;
            told(format!(
                "The accepted configuration could not be kept for the next start: {error}"
            ));
        }
    }
    // Only now: what is gone must not come back under its old settings.
    let names = world.store.accepted_names().unwrap_or_default();
    for file in texts.gone(&names) {
        if let Err(error) = world.store.forget_accepted(file) {
            all = false;
            told(format!(
                "An old accepted configuration could not be forgotten: {error}"
            ));
        }
    }
    all
}

fn told(detail: String) {
    journal::emit(&Event::AcceptedCopyTrouble { detail });
}
