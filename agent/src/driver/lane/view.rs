//! A lane as others see it: its record, and what is wrong with it beyond the record.

use std::cell::RefCell;

use renewd_core::record::Record;

/// What operators are shown of a lane. One thread, so no locks.
pub(crate) struct View {
    record: RefCell<Record>,
    held: RefCell<Option<String>>,
    trouble: RefCell<Option<String>>,
}

impl View {
    /// Of a record; with a reason, of a certificate that is left alone.
    pub(crate) fn new(record: Record, held: Option<String>) -> Self {
        Self {
            record: RefCell::new(record),
            held: RefCell::new(held),
            trouble: RefCell::default(),
        }
    }

    /// The record as it is now.
    pub(crate) fn record(&self) -> Record {
        self.record.borrow().clone()
    }

    /// Reads the record without copying it.
    pub(crate) fn with_record<T>(&self, read: impl FnOnce(&Record) -> T) -> T {
        read(&self.record.borrow())
    }

    pub(super) fn show(&self, record: &Record) {
        self.record.borrow_mut().clone_from(record);
    }

    /// Why the certificate is left alone, if it is.
    pub(crate) fn held(&self) -> Option<String> {
        self.held.borrow().clone()
    }

    pub(crate) fn hold(&self, why: String) {
        *self.held.borrow_mut() = Some(why);
    }

    /// What stands against keeping anything on disk: the record cannot tell, for it cannot be saved.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.borrow_mut() = trouble;
    }
}
