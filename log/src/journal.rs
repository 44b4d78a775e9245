//! The journal: bindings, and the rows that became visible with them.

use tidegate_model::binding::BINDING_VERSION;
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{Binding, Epoch, Generation, Op};

/// A row of a topic on its way into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowRecord {
    /// The topic.
    pub topic: std::sync::Arc<str>,
    /// The message's key; rows of one key lie in one partition, in order.
    pub key: Vec<u8>,
    /// The row as JSON; for `dropped_events` the record as it came.
    pub value: Vec<u8>,
    /// The epoch that made it (header `epoch`).
    pub epoch: Epoch,
    /// What it does to the table (header `op`).
    pub op: Op,
    /// Further headers: `job` of a provisional row; `reason`, `job`, `partition`, `offset` of a dropped
    /// record.
    pub headers: Vec<(&'static str, String)>,
}

/// Everything that one commit makes visible: complete epochs in order, and their rows in order.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// The bindings, oldest first.
    pub bindings: Vec<Binding>,
    /// The rows, oldest epoch first.
    pub rows: Vec<RowRecord>,
}

/// What [`Journal::recover`] found.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The generation of this process: greater than every one before it.
    pub generation: Generation,
    /// The newest binding; `None` before the first commit.
    pub last: Option<Binding>,
}

/// Why the journal cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It was written by a later version.
    #[error(
        "{what} has format version {found}; this version of tidegate reads up to {supported}: use the version that wrote it, or a later one"
    )]
    NewerFormat {
        /// The file or record.
        what: String,
        /// Its version.
        found: u32,
        /// The newest one that is understood.
        supported: u32,
    },
    /// What lies there is not what was written.
    #[error("{what} is damaged: {reason}")]
    Damaged {
        /// The file or record.
        what: String,
        /// What does not fit.
        reason: String,
    },
    /// The storage failed.
    #[error("cannot read the journal {what}: {reason}")]
    Storage {
        /// The file.
        what: String,
        /// What the storage said.
        reason: String,
    },
}

/// Reads a binding. Its version is looked at first, because the rest of a newer one may look different.
pub(crate) fn parse_binding(body: &str, what: &dyn Fn() -> String) -> Result<Binding, JournalError> {
    match serde_json::from_str::<Binding>(body) {
        Ok(binding) if binding.version <= BINDING_VERSION => Ok(binding),
        parsed => {
            let version = serde_json::from_str::<serde_json::Value>(body).ok();
            let version = version.and_then(|body| body.get("version")?.as_u64());
            let found = version.and_then(|version| u32::try_from(version).ok()).unwrap_or(0);
            if found > BINDING_VERSION {
                return Err(JournalError::NewerFormat { what: what(), found, supported: BINDING_VERSION });
            }
            let reason = parsed.err().map_or_else(String::new, |error| error.to_string());
            Err(JournalError::Damaged { what: what(), reason })
        }
    }
}

/// Epochs increase, from `last` on, and rows belong to the epochs that are bound, in the same order; otherwise a
/// sentence that says where they do not.
pub(crate) fn check_order(commit: &Commit, mut last: Option<Epoch>) -> Result<(), String> {
    for binding in &commit.bindings {
        if let Some(last) = last.filter(|last| *last >= binding.epoch) {
            return Err(format!("epoch {} follows epoch {last}", binding.epoch));
        }
        last = Some(binding.epoch);
    }
    let mut bound = commit.bindings.iter().map(|binding| binding.epoch).peekable();
    for row in &commit.rows {
        while bound.next_if(|bound| *bound < row.epoch).is_some() {}
        if bound.peek() != Some(&row.epoch) {
            let (epoch, topic) = (row.epoch, &row.topic);
            return Err(format!(
                "a row of {topic} is of epoch {epoch}, which is not bound here, or not in order"
            ));
        }
    }
    Ok(())
}

/// Why a commit did not, or may not have, taken place.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Surely not committed: no space. The same commit may be sent again; it heals when there is room.
    #[error("no space is left for the journal {path}; free some, commits go on by themselves then")]
    DiskFull {
        /// The file.
        path: String,
    },
    /// Surely not committed; the same commit may be sent again.
    #[error("cannot commit to {path}: {reason}")]
    Storage {
        /// The file.
        path: String,
        /// What the storage said.
        reason: String,
    },
    /// May have been committed. The process must end; recovery finds the truth.
    #[error("the commit to {path} may or may not have been stored: {reason}; a restart finds out")]
    Indefinite {
        /// The file.
        path: String,
        /// What the storage said.
        reason: String,
    },
    /// Surely not committed, and sending it again is useless: it breaks a rule of the journal, such as
    /// that epochs increase. The caller is wrong, and must end.
    #[error("the commit is not valid: {reason}")]
    Invalid {
        /// The rule, and what breaks it.
        reason: String,
    },
    /// Another process has taken over; this one must end, and not come back at once.
    #[error("generation {other} has taken over from generation {own}")]
    Fenced {
        /// Ours.
        own: Generation,
        /// The one that took over.
        other: Generation,
    },
}

impl CommitError {
    /// Whether the commit surely did not take place, so that it may be sent again.
    pub fn is_definite(&self) -> bool {
        let unknown_too = is_planted(Bug::UnknownCommitRetried) && matches!(self, Self::Indefinite { .. });
        matches!(self, Self::DiskFull { .. } | Self::Storage { .. }) || unknown_too
    }
}

/// The journal of a deployment. One process writes it; the next one to recover takes it over.
pub trait Journal: Send {
    /// Fences every earlier generation, then finds the newest binding.
    ///
    /// # Errors
    /// When the journal cannot be read, or is of a newer format.
    fn recover(&mut self) -> Result<Recovered, JournalError>;

    /// Shows the bindings of the epochs after `after`, oldest first; with `None` every one kept. They are
    /// shown one by one because there is one for every tick of the deployment's life: whoever reads them
    /// keeps what it needs.
    ///
    /// # Errors
    /// When the journal cannot be read, or is of a newer format. What was shown before is right.
    fn read_bindings(
        &mut self,
        after: Option<Epoch>,
        visit: &mut dyn FnMut(Binding),
    ) -> Result<(), JournalError>;

    /// Makes bindings and rows visible, all of them at once or none. Epochs increase over all commits,
    /// and every row belongs to an epoch that is bound in the same commit.
    ///
    /// # Errors
    /// See [`CommitError`]: some may be retried, the others end the process.
    fn commit(&mut self, commit: &Commit) -> Result<(), CommitError>;

    /// Removes some of the bindings that come before the newest one of epoch `before` or an earlier one, the
    /// oldest first, and says whether there are more. Whoever goes on after `before` thus finds all that
    /// follows: the first binding left is not of a later epoch, unless none was of that one or an earlier one to
    /// begin with. Rows stay.
    ///
    /// # Errors
    /// [`CommitError::Fenced`] when another process has taken over, and what the storage says. Nothing
    /// hangs on it: a binding too many is only replayed by nobody.
    fn prune(&mut self, before: Epoch) -> Result<bool, CommitError>;
}

impl<J: Journal + ?Sized> Journal for Box<J> {
    fn recover(&mut self) -> Result<Recovered, JournalError> {
        (**self).recover()
    }

    fn read_bindings(
        &mut self,
        after: Option<Epoch>,
        visit: &mut dyn FnMut(Binding),
    ) -> Result<(), JournalError> {
        (**self).read_bindings(after, visit)
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), CommitError> {
        (**self).commit(commit)
    }

    fn prune(&mut self, before: Epoch) -> Result<bool, CommitError> {
        (**self).prune(before)
    }
}
