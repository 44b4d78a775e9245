//! Why events are not welcome: in full on the dataflow's port, and without what only an operator may know on
//! the port that faces those who send.

use tidegate_log::AppendError;
use tidegate_runner::status::{NotReady, Progress, not_ready};

/// Why the log takes no events, in full.
pub(super) fn of_log(refusing: Option<AppendError>) -> Option<NotReady> {
    refusing.map(|error| NotReady { pointer: "/log", detail: format!("the log takes no events: {error}") })
}

/// The first reason, for whoever sends events: it names no file of this machine.
pub(super) fn for_senders(progress: Option<&Progress>, refusing: Option<&AppendError>) -> Option<String> {
    let disk_full =
        progress.and_then(|progress| progress.waits.as_ref()).is_some_and(|waits| waits.disk_full);
    let of_run = progress.and_then(|progress| not_ready(progress).into_iter().next());
    let of_run = of_run.map(|reason| match reason.pointer {
        // These speak of numbers only.
        "/state" | "/replay" | "/commit/waiting_epochs" => reason.detail,
        "/commit/waiting" if disk_full => "the disk is full: results wait until there is room".to_owned(),
        "/commit/waiting" => "results cannot be stored now".to_owned(),
        "/failure" => "the process has failed, and ends".to_owned(),
        // What is new is kept back until somebody has looked at it.
        _ => "the process is not ready".to_owned(),
    });
    of_run.or_else(|| {
        refusing.map(|error| format!("the log takes no events: {}", tidegate_ingest::said(error)))
    })
}

#[cfg(test)]
mod tests {
    use tidegate_model::{Epoch, EventTime, Generation, Ledger};
    use tidegate_runner::Stop;
    use tidegate_runner::status::{Limits, Snapshots, Waits};

    use super::*;

    fn ready() -> Progress {
        Progress {
            started_at: EventTime::from_millis(0),
            generation: Generation(1),
            process: tidegate_runner::status::Process::default(),
            replay_events: 0,
            replayed_events: 0,
            recovered: true,
            stop: Stop::No,
            epoch: Epoch(1),
            frontier: EventTime::MIN,
            ledger: Ledger::default(),
            newest: None,
            epochs: 0,
            rows: 0,
            last_commit: None,
            waits: None,
            last_error: None,
            failure: None,
            snapshots: Snapshots::default(),
            uncommitted_epochs: 0,
            in_flight_bytes: Vec::new(),
            limits: Limits {
                uncommitted_epochs_max: 64,
                in_flight_bytes_max: 1,
                tick_ms: 1,
                epoch_timeout_ms: 1,
                bound_ms: 1,
                idle_timeout_ms: 1,
            },
        }
    }

    #[test]
    fn senders_are_told_what_is_wrong_and_never_where() {
        let waits = |disk_full| {
            let reason = "cannot commit to /secret/journal.db: broken".to_owned();
            Some(Waits { since: EventTime::from_millis(0), reason, disk_full })
        };
        let path = || "/secret/events".to_owned();
        let ready = ready();
        let disk_full = AppendError::DiskFull { path: path() };
        let storage = AppendError::Storage { path: path(), reason: "broken".to_owned() };
        assert_eq!(for_senders(Some(&ready), None), None);
        for (progress, refusing, said) in [
            (Progress { recovered: false, replay_events: 9, ..ready.clone() }, None, "recovering: 0 of 9"),
            (Progress { waits: waits(true), ..ready.clone() }, None, "the disk is full"),
            (Progress { waits: waits(false), ..ready.clone() }, None, "results cannot be stored"),
            (Progress { failure: Some(path()), ..ready.clone() }, None, "the process has failed"),
            (ready.clone(), Some(&disk_full), "no space is left"),
            (ready, Some(&storage), "the log cannot be written"),
        ] {
            let told = for_senders(Some(&progress), refusing).expect("it is not ready");
            assert!(told.contains(said) && !told.contains("secret"), "{told}");
            let reasons = not_ready(&progress).into_iter().chain(of_log(refusing.cloned()));
            let in_full: Vec<_> = reasons.map(|reason| reason.detail).collect();
            assert!(!in_full.is_empty(), "an operator is told nothing of: {told}");
            assert_eq!(in_full[0].contains("secret"), !told.contains("recovering"), "{in_full:?}");
        }
    }
}
