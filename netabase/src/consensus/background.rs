//! Work that takes long and that no caller waits for, such as copying a whole state: it leaves a busy processor to the others.

use std::thread::{self, Builder};

use crate::error::{Error, Result};

/// Added to the nice value: such a thread gets about a third of what any other does, so it comes to its end on a busy machine, too.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;
#[cfg(target_os = "linux")]
const NICE_MAX: i32 = 19;

/// Does the work on a thread of its own, and waits for it. A thread whose priority was lowered does not get it back without a
/// privilege, so it cannot be one that goes on to other work.
///
/// # Errors
/// [`Error::Storage`] when the system has no thread for it.
pub(super) fn run<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let worker = Builder::new().name("netabase-copy".to_owned()).spawn_scoped(scope, || {
            give_way();
            work()
        });
        let worker =
            worker.map_err(|error| Error::storage("the system gives no thread to copy a state with", error))?;
        Ok(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn give_way() {
    // Elsewhere this would be about the whole process.
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};

        let lowered = getpriority_process(None).and_then(|nice| setpriority_process(None, (nice + NICE).min(NICE_MAX)));
        if let Err(error) = lowered {
            tracing::debug!(%error, "a state is copied with the priority of everything else");
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn it_does_the_work_with_less_priority_and_leaves_the_callers_alone() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        let during = super::run(priority).unwrap();
        assert_eq!(during, (before + super::NICE).min(super::NICE_MAX));
        assert_eq!(priority(), before);
    }

    #[test]
    #[should_panic(expected = "as it was")]
    fn a_panic_is_passed_on() {
        let _ = super::run(|| panic!("as it was"));
    }
}
