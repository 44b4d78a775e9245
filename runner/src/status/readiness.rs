//! Whether a run is ready: recovered, committing, with room on the disk. Decided from its progress alone.

use super::Progress;
use crate::pace::Stop;

/// One reason why a run is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// The member of the status document that shows it, as a JSON pointer.
    pub pointer: &'static str,
    /// What is wrong, and what to do.
    pub detail: String,
}

/// Every reason why the run is not ready; none when it is.
pub fn not_ready(progress: &Progress) -> Vec<NotReady> {
    let mut reasons = Vec::new();
    let mut because = |pointer, detail| reasons.push(NotReady { pointer, detail });
    if let Some(failure) = &progress.failure {
        because("/failure", format!("the run has ended: {failure}"));
    }
    if progress.stop != Stop::No {
        because("/state", "the process is shutting down".to_owned());
    }
    if !progress.recovered {
        let (done, all) = (progress.replayed_events, progress.replay_events);
        because("/replay", format!("recovering: {done} of {all} committed events are replayed"));
    }
    if let Some(waits) = &progress.waits {
        let (since, reason) = (waits.since, &waits.reason);
        let what = if waits.disk_full { "the disk is full" } else { "commits wait" };
        because("/commit/waiting", format!("{what} since {since}: {reason}"));
    }
    let (waiting, limit) = (progress.uncommitted_epochs, progress.limits.uncommitted_epochs_max);
    if waiting >= limit {
        because(
            "/commit/waiting_epochs",
            format!("commits are behind: {waiting} epochs wait, of {limit} allowed"),
        );
    }
    reasons
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidegate_model::EventTime;

    use super::*;
    use crate::clock::Clock;
    use crate::config::RunnerConfig;
    use crate::recovery::tests::fresh;
    use crate::status::{State, Status, Waits};

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> EventTime {
            EventTime::from_millis(1_600_000_200_000)
        }
    }

    fn ready() -> Progress {
        Status::new(&RunnerConfig::default(), &fresh(), Arc::new(Noon)).progress()
    }

    #[test]
    fn every_reason_is_named_and_none_without_one() {
        assert_eq!(not_ready(&ready()), []);
        assert_eq!(ready().state(), State::Live);
        let waits = |disk_full| {
            let reason = "no space is left for the journal j".to_owned();
            Some(Waits { since: EventTime::from_millis(0), reason, disk_full })
        };
        for (progress, state, pointer, said) in [
            (
                Progress { recovered: false, replay_events: 9, replayed_events: 4, ..ready() },
                State::Recovering,
                "/replay",
                "4 of 9",
            ),
            (
                Progress { waits: waits(true), ..ready() },
                State::Waiting,
                "/commit/waiting",
                "disk is full since",
            ),
            (
                Progress { waits: waits(false), ..ready() },
                State::Waiting,
                "/commit/waiting",
                "commits wait since",
            ),
            (Progress { stop: Stop::Drained, ..ready() }, State::Stopping, "/state", "shutting down"),
            (Progress { stop: Stop::Now, ..ready() }, State::Stopping, "/state", "shutting down"),
            (
                Progress { failure: Some("fenced".to_owned()), ..ready() },
                State::Failed,
                "/failure",
                "has ended: fenced",
            ),
            (
                Progress { uncommitted_epochs: 64, ..ready() },
                State::Live,
                "/commit/waiting_epochs",
                "64 epochs wait, of 64",
            ),
        ] {
            let reasons = not_ready(&progress);
            assert_eq!(reasons.len(), 1, "{reasons:?}");
            assert_eq!((progress.state(), reasons[0].pointer), (state, pointer));
            assert!(reasons[0].detail.contains(said), "{reasons:?}");
        }
    }

    #[test]
    fn all_reasons_are_given_at_once() {
        let waits = Waits { since: EventTime::MIN, reason: "full".to_owned(), disk_full: true };
        let progress = Progress {
            recovered: false,
            stop: Stop::Now,
            waits: Some(waits),
            failure: Some("x".to_owned()),
            ..ready()
        };
        assert_eq!(not_ready(&progress).len(), 4);
        assert_eq!(progress.state(), State::Failed);
    }
}
