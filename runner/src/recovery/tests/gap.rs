//! What is gone is refused, or gone on without where that was accepted.

use tidegate_model::binding::Gap;

use super::*;

/// A start that accepts gaps.
fn go_on(bindings: Vec<Binding>, log: Range<u64>) -> Recovery {
    let (settings, accept) = (JobSettings::default(), Accept { gap: true, ..Accept::default() });
    let mut log = Bounds(Offset(log.start)..Offset(log.end));
    let store = Objects::default();
    recover(&mut Bound(bindings), &settings, accept, &mut log, Some(&store), &Noon, &mut Sevens)
        .expect("it goes on")
}

fn at(offset: u64) -> BTreeMap<PartitionId, Offset> {
    BTreeMap::from([(PartitionId(0), Offset(offset))])
}

fn jump(bound: u64, resumed: u64) -> BTreeMap<PartitionId, Gap> {
    let gap = Gap { bound: Offset(bound), resumed: Offset(resumed) };
    if bound == resumed { BTreeMap::new() } else { BTreeMap::from([(PartitionId(0), gap)]) }
}

fn gap_of(recovery: &Recovery) -> Option<BTreeMap<PartitionId, Gap>> {
    recovery.accepted.as_ref().and_then(Accepted::gap)
}

fn missing(recovery: &Recovery) -> u64 {
    let counts = &recovery.ledger.jobs["EventAggregator"];
    assert!(counts.adds_up());
    counts.missing
}

#[test]
fn reading_goes_on_where_the_log_has_events() {
    // Up to 9 was read.
    let (read, now) = (EventTime::from_millis(200 + 10_000), Noon.now());
    for (log, gap, goes_on, lost, appended_by) in [
        // The first ones are gone, which the replay needs; nothing is missing that was not read.
        (3..20, jump(9, 9), 9, 0, read),
        (12..20, jump(9, 12), 12, 3, append_time(12)),
        (12..12, jump(9, 12), 12, 3, now),
        // It was cut off, or is another one.
        (0..7, jump(9, 7), 7, 0, now),
        (0..0, jump(9, 0), 0, 0, now),
    ] {
        start(journal(), &JobSettings::default(), log.clone()).expect_err("something is gone");
        let recovery = go_on(journal(), log.clone());
        assert_eq!((gap_of(&recovery), missing(&recovery)), (Some(gap), lost), "{log:?}");
        let snapshot = recovery.snapshot.expect("a snapshot of nothing");
        assert_eq!((snapshot.ends(), snapshot.restored.epoch()), (at(goes_on), Epoch(12)));
        assert_eq!(snapshot.time.frontier.as_millis(), 200, "time goes on");
        assert!(recovery.replay.is_empty());
        // Every job begins anew after everything read, and after everything that is gone and may have been
        // appended: an event may be a minute ahead.
        let start = JobStart { epoch: Epoch(13), after: appended_by.plus_ms(60_000) };
        assert_eq!(recovery.starts.len(), recovery.definitions.len());
        assert!(recovery.starts.values().all(|own| *own == start));
    }
}

#[test]
fn what_is_whole_is_not_given_up() {
    let recovery = go_on(journal(), 0..20);
    assert_eq!((gap_of(&recovery), recovery.starts.len(), recovery.replay.len()), (None, 0, 2));
}

#[test]
fn a_changed_job_is_refused_beside_a_gap() {
    let settings = JobSettings { session_gap_ms: 1, ..JobSettings::default() };
    let accept = Accept { gap: true, ..Accept::default() };
    let mut log = Bounds(Offset(12)..Offset(20));
    let refused = recover(&mut Bound(journal()), &settings, accept, &mut log, None, &Noon, &mut Sevens);
    assert!(matches!(refused, Err(RunError::DefinitionChanged { .. })), "{refused:?}");
}

#[test]
fn later_starts_go_on_from_the_gap() {
    let first = go_on(journal(), 12..20);
    let mut bindings = journal();
    let (gap, nothing) = first.accepted.map(|accepted| (accepted.gap(), accepted.manifest)).unzip();
    let jumped =
        Binding { snapshot: nothing, gap: gap.flatten(), starts: first.starts, ..binding(13, 14, 250) };
    bindings.extend([jumped, binding(14, 15, 260)]);
    let store = Objects::default();
    let later = start_with(&store, bindings.clone(), 12..20).expect("nothing is gone since");
    assert_eq!(begins_with(&later), (Some(12), vec![13, 14]));
    assert_eq!((gap_of(&later), later.replay_events), (None, 3));
    // What came before the gap is never replayed, although the log seems to have it.
    bindings[2].snapshot = None;
    let error = start_with(&store, bindings, 0..20).expect_err("there is no way across the gap");
    assert!(error.is_gap(), "{error}");
}

#[test]
fn a_journal_that_is_gone_is_not_taken_for_a_new_deployment() {
    let error =
        start(Vec::new(), &JobSettings::default(), 5..20).expect_err("events were removed by somebody");
    assert!(matches!(error, RunError::JournalMissing { .. }), "{error}");
    let recovery = go_on(Vec::new(), 5..20);
    assert_eq!((gap_of(&recovery), missing(&recovery)), (Some(jump(0, 5)), 5));
    assert_eq!(recovery.snapshot.expect("a snapshot of nothing").ends(), at(5));
    assert!(recovery.origin.is_some());
    let start = JobStart { epoch: recovery.next, after: append_time(5).plus_ms(60_000) };
    assert_eq!(recovery.starts.len(), recovery.definitions.len());
    assert!(recovery.starts.values().all(|own| *own == start), "{:?}", recovery.starts);
}
