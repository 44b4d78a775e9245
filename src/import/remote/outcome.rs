//! Why sending ended in the middle, and how to go on: in words.

use std::fmt;

use super::order::Standing;
use crate::exit::Exit;
use crate::print::grouped;

/// Why nothing more was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// An event may have been taken or not.
    Unknown(String),
    /// The instance takes no events there.
    Wrong(String),
    /// An event was turned away for too long.
    Patience(String),
    /// An event was refused, and the import is strict.
    Strict(String),
    /// Somebody ended it.
    Interrupted,
    /// The system did not do what it had to.
    System(String),
}

/// How far it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(super) why: Why,
    /// The line of the event that it was about.
    pub(super) at: Option<String>,
    /// The first line that is not settled.
    pub(super) from: Option<String>,
    /// Events that are durable.
    pub(super) acknowledged: u64,
    pub(super) standing: Standing,
}

impl Stopped {
    /// What it is to scripts.
    pub(crate) fn exit(&self) -> Exit {
        if matches!(self.why, Why::Strict(_)) { Exit::Malformed } else { Exit::Failure }
    }
}

impl std::error::Error for Stopped {}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        match &self.why {
            Why::Unknown(why) => write!(f, "{why}; the instance may have counted this event or not")?,
            Why::Wrong(why) => {
                write!(f, "{why}; give the URL of an instance, or of its tracking endpoint, with --url")?;
            }
            Why::Patience(why) => write!(f, "{why}, again and again, for ten minutes")?,
            Why::Strict(why) | Why::System(why) => f.write_str(why)?,
            Why::Interrupted => f.write_str("told to end")?,
        }
        let Standing { acknowledged: ahead, unknown, .. } = self.standing;
        write!(f, "\n{} events were acknowledged", grouped(self.acknowledged))?;
        let Some(from) = &self.from else { return f.write_str(", and none is left open") };
        write!(f, "; every one before {from} is settled. To go on, send the lines from {from} on")?;
        if ahead + unknown > 0 {
            write!(
                f,
                "; of those, {} were acknowledged already and {} more may have been: they would count twice",
                grouped(ahead),
                grouped(unknown)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_from_where_to_go_on_and_what_would_count_twice() {
        let stopped = |why, ahead, unknown| Stopped {
            why,
            at: Some("a.log:7".to_owned()),
            from: Some("a.log:5".to_owned()),
            acknowledged: 1_004,
            standing: Standing { from: None, acknowledged: ahead, unknown },
        };
        let lost = stopped(Why::Unknown("no answer within 10s".to_owned()), 2, 1);
        assert_eq!(
            lost.to_string(),
            "a.log:7: no answer within 10s; the instance may have counted this event or not\n\
             1,004 events were acknowledged; every one before a.log:5 is settled. To go on, send the lines from \
             a.log:5 on; of those, 2 were acknowledged already and 1 more may have been: they would count twice"
        );
        let strict = stopped(Why::Strict("it answered 422".to_owned()), 0, 0);
        assert!(strict.to_string().ends_with("To go on, send the lines from a.log:5 on"));
        assert_eq!((lost.exit(), strict.exit()), (Exit::Failure, Exit::Malformed));
        let done = Stopped { from: None, at: None, ..stopped(Why::Interrupted, 0, 0) };
        assert_eq!(done.to_string(), "told to end\n1,004 events were acknowledged, and none is left open");
    }
}
