//! Waiting for conditions: the only place of this crate that lets time pass.
//!
//! A condition is a closure that succeeds or says why not yet; so what is waited for and what is asserted are written
//! the same way. Nothing here ever waits for a mere duration.

use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};

/// Between two looks at a condition. Short, because a look costs less than the wait that it saves.
const INTERVAL: Duration = Duration::from_millis(50);

/// Looks at a condition until it succeeds, and returns what it gave.
///
/// # Errors
/// [`Failure::Deadline`] with the last reason why the condition did not hold.
pub fn wait_until<T>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> Result<T>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(last) if start.elapsed() >= within => {
                return Err(Failure::Deadline {
                    what: what.to_owned(),
                    within,
                    last: Box::new(last),
                });
            }
            Err(_) => thread::sleep(INTERVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::expect;

    #[test]
    fn a_condition_that_comes_true_gives_its_value() {
        let mut looks = 0;
        let value = wait_until("three looks", Duration::from_secs(5), || {
            looks += 1;
            expect(looks >= 3, "three looks", looks).map(|()| looks)
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn a_condition_that_stays_false_is_named_with_its_last_reason() {
        let failure = wait_until("the moon", Duration::ZERO, || {
            expect(false, "green", "white")
        })
        .unwrap_err();
        assert_eq!(
            failure.to_string(),
            "not within 0ns: the moon; at last: expected green; found white"
        );
    }
}
