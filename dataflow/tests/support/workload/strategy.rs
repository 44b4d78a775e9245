//! How workloads are made. All parts shrink: towards fewer steps, and in each towards the first choice.

use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use tidegate_dataflow::settings::{JobSettings, SessionEnd, TimeSettings};
use tidegate_model::DeviceCategory;

use super::{Begin, Client, Kind, Step, Workload};

/// Workloads with and without lateness.
pub fn workloads() -> impl Strategy<Value = Workload> {
    workloads_with(&[0, 20_000, 60_000, 0, 60_000])
}

/// Workloads with one of these latenesses, in milliseconds.
pub fn workloads_with(latenesses_ms: &'static [i64]) -> impl Strategy<Value = Workload> {
    let partitions = prop_oneof![3 => Just(1_u32), 3 => Just(2), 1 => Just(4)];
    (jobs(latenesses_ms), time(), partitions).prop_flat_map(|(jobs, time, partitions)| {
        let steps = vec(step(jobs.session_gap_ms), 1..120);
        steps.prop_map(move |steps| Workload { jobs: jobs.clone(), time, partitions, steps })
    })
}

fn jobs(latenesses_ms: &'static [i64]) -> impl Strategy<Value = JobSettings> {
    let windows = || select(&[10_000_i64, 5_000, 30_000]);
    let session_end = prop_oneof![3 => Just(SessionEnd::LastEvent), 1 => Just(SessionEnd::WindowEnd)];
    let gap = select(&[5_000_i64, 2_000, 10_000]);
    (windows(), windows(), windows(), gap, select(latenesses_ms), session_end).prop_map(
        |(event_window_ms, performance_window_ms, session_window_ms, gap, lateness, session_end)| {
            JobSettings {
                event_window_ms,
                performance_window_ms,
                session_window_ms,
                session_gap_ms: gap,
                allowed_lateness_ms: lateness,
                session_end,
                ..JobSettings::default()
            }
        },
    )
}

fn time() -> impl Strategy<Value = TimeSettings> {
    (select(&[2_000_i64, 0, 10_000]), select(&[5_000_i64, 1_000])).prop_map(|(bound_ms, idle_timeout_ms)| {
        TimeSettings { bound_ms, idle_timeout_ms, ..TimeSettings::default() }
    })
}

fn step(gap_ms: i64) -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => records(gap_ms),
        8 => select(&[500_i64, 0, 100, 1_000, 1_000, 1_000, 3_000, 3_000, 6_000, 20_000, -2_000])
            .prop_map(|wait_ms| Step::Tick { wait_ms }),
        4 => select(&[500_i64, 1_000, 5_000]).prop_map(|wait_ms| Step::Wait { wait_ms }),
        1 => (0_u32..4, weighted(0.3))
            .prop_map(|(partition, paused)| Step::Pause { partition, paused }),
        1 => (0_u32..4, weighted(0.3))
            .prop_map(|(partition, failing)| Step::FailLooks { partition, failing }),
        1 => prop_oneof![9 => Just(Step::Tick { wait_ms: 500 }), 1 => Just(Step::AddPartition)],
    ]
}

fn records(gap_ms: i64) -> impl Strategy<Value = Step> {
    let spacing = select(vec![0, gap_ms, gap_ms / 2, gap_ms + 1, gap_ms - 1, 500, 2 * gap_ms]);
    // Behind the clock: disorder, offline for a while, offline for minutes; negative: ahead of it.
    let lag = prop_oneof![
        10 => select(&[0_i64, 500, 1_000, 2_000]),
        10 => (1_i64..60).prop_map(|halves| halves * 500),
        2 => select(vec![gap_ms, gap_ms + 1, 2 * gap_ms, 60_000, 180_000]),
        1 => select(&[-1_000_i64, -60_000, -60_001, -120_000]),
    ];
    let near_own =
        select(vec![gap_ms, -gap_ms, gap_ms + 1, -gap_ms - 1, gap_ms / 2, -gap_ms / 2, 0, 2 * gap_ms]);
    let begin = prop_oneof![
        3 => lag.prop_map(|lag_ms| Begin::BehindClock { lag_ms }),
        2 => near_own.prop_map(|after_ms| Begin::AfterOwn { after_ms }),
    ];
    let count = prop_oneof![4 => Just(1_u32), 2 => 2_u32..5, 1 => 5_u32..9];
    (client(), kind(), begin, spacing, count).prop_map(|(from, kind, begin, spacing_ms, count)| {
        Step::Records { from, kind, begin, spacing_ms, count }
    })
}

fn client() -> impl Strategy<Value = Client> {
    let session = prop_oneof![4 => Just(0_u8), 1 => Just(1_u8)];
    (0_u32..4, 0_u8..3, session, select(&DeviceCategory::ALL[..3]))
        .prop_map(|(partition, user, session, device)| Client { partition, user, session, device })
}

fn kind() -> impl Strategy<Value = Kind> {
    // Few values, so that a correction may well leave mean and percentile as they are.
    let load_time = option::weighted(
        0.7,
        prop_oneof![
            8 => select(&[100_i64, 200, 0, 333]),
            1 => select(&[0_i64, 3_600_000, -1, 3_600_001, i64::MAX, i64::MIN]),
        ],
    );
    prop_oneof![
        12 => load_time.prop_map(|load_time| Kind::PageView { load_time }),
        2 => Just(Kind::Click),
        1 => Just(Kind::Scroll),
        1 => Just(Kind::Garbage),
    ]
}
