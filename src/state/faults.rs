//! Places at which a test makes a step fail or stop, as a full disk or a kill would. Nothing outside of tests.

use std::io;

/// Steps of what the state does, in the order in which they follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A segment of the write-ahead file is begun.
    Begin,
    /// Records are written to it.
    Write,
    /// They are synced.
    Sync,
    /// Records are read from it, to be brought to their Delta tables.
    Read,
    /// Their data file is written, and no commit names it.
    Commit,
    /// They are committed, and the write-ahead file still has them.
    Forget,
}

#[cfg(test)]
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(std::sync::Arc<std::sync::Mutex<Option<(Step, io::ErrorKind)>>>);

#[cfg(test)]
impl Faults {
    pub(super) fn set(&self, fault: Option<(Step, io::ErrorKind)>) {
        *self.0.lock().unwrap() = fault;
    }

    pub(super) fn pass(&self, step: Step) -> io::Result<()> {
        match *self.0.lock().unwrap() {
            Some((at, kind)) if at == step => Err(kind.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(not(test))]
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(());

#[cfg(not(test))]
impl Faults {
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests have something to say here")]
    pub(super) fn pass(&self, _step: Step) -> io::Result<()> {
        Ok(())
    }
}
