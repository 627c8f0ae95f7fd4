//! A fence round the engines' libraries: their panics, which come of damaged files, become errors.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::engine::StoreError;

/// Runs a call into a library that touches its files.
///
/// Whoever calls answers for this: nothing behind the fence is used again in a state that a panic could have broken.
pub(super) fn fenced<T>(doing: &'static str, call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(StoreError::Damaged(format!("{doing} failed: {}", panic_message(&*panic)))))
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
