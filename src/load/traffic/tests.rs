//! What traffic looks like.

use std::collections::{BTreeMap, HashMap};

use tidegate_model::event::Defaults;
use tidegate_model::{DeviceCategory, Event, EventTime};
use uuid::Uuid;

use super::*;

const COUNT: usize = 50_000;

fn some(config: &TrafficConfig) -> Vec<Planned> {
    Traffic::new(config.clone()).take(COUNT).collect()
}

#[test]
fn equal_seeds_give_equal_events_and_others_give_others() {
    let config = TrafficConfig { disorder_ms: 2_000, late: 0.05, ..TrafficConfig::default() };
    assert_eq!(some(&config), some(&config));
    let other = some(&TrafficConfig { seed: 2, ..config.clone() });
    let same = some(&config).iter().zip(&other).filter(|(a, b)| a.act == b.act).count();
    assert_eq!(same, 0);
    // The first events of a seed, for ever and on every machine.
    let mut json = Vec::new();
    for (planned, at) in Traffic::new(config).take(3).zip(0..) {
        planned.act.json_into(EventTime::from_millis(1_700_000_000_000 + at), &mut json);
        json.push(b'\n');
    }
    assert_eq!(String::from_utf8(json).expect("UTF-8"), include_str!("first_events.jsonl"));
}

#[test]
fn disorder_changes_when_and_not_what() {
    let calm = some(&TrafficConfig::default());
    let shaken = some(&TrafficConfig { disorder_ms: 1_500, ..TrafficConfig::default() });
    assert!(calm.iter().all(|planned| planned.lag_ms == 0 && !planned.is_late));
    assert!(calm.iter().map(|one| one.act).eq(shaken.iter().map(|one| one.act)));
    assert!(shaken.iter().all(|planned| planned.lag_ms <= 1_500));
    let mean = shaken.iter().map(|planned| u64::from(planned.lag_ms)).sum::<u64>() / COUNT as u64;
    assert!((700..800).contains(&mean), "{mean}");
}

#[test]
fn the_share_of_late_events_is_kept_from_the_beginning() {
    for late in [0.001, 0.05, 0.5, 1.0] {
        let planned = some(&TrafficConfig { late, late_ms_max: 60_000, ..TrafficConfig::default() });
        for count in [2_000, COUNT] {
            let found = planned[..count].iter().filter(|planned| planned.is_late).count() as f64;
            let off = (found - late * count as f64).abs();
            assert!(off <= f64::from(BURST_MAX), "{late}: {found} of {count}");
        }
    }
}

#[test]
fn late_events_come_in_bursts_of_one_device_oldest_first() {
    let config =
        TrafficConfig { disorder_ms: 100, late: 0.1, late_ms_max: 120_000, ..TrafficConfig::default() };
    let planned = some(&config);
    let bursts: Vec<&[Planned]> = planned
        .chunk_by(|a, b| a.is_late && b.is_late && a.act.user == b.act.user)
        .filter(|chunk| chunk[0].is_late)
        .collect();
    assert!(bursts.len() > 100);
    for burst in &bursts[..bursts.len() - 1] {
        assert!((BURST_MIN..=BURST_MAX).contains(&u32::try_from(burst.len()).expect("few")), "{burst:?}");
        assert!(burst.iter().all(|one| (12_000..=120_000).contains(&one.lag_ms)), "{burst:?}");
        assert!(burst.is_sorted_by(|a, b| a.lag_ms > b.lag_ms), "{burst:?}");
    }
}

#[test]
fn a_few_users_do_most_of_it_in_visits_of_a_few_pages() {
    let mut of_user: HashMap<u32, usize> = HashMap::new();
    let mut of_session: HashMap<u64, usize> = HashMap::new();
    for planned in some(&TrafficConfig::default()) {
        *of_user.entry(planned.act.user).or_default() += 1;
        *of_session.entry(planned.act.session).or_default() += 1;
    }
    let busy: usize = (0..100).filter_map(|user| of_user.get(&user)).sum();
    assert!((COUNT / 3..COUNT * 2 / 3).contains(&busy), "{busy} by the first hundred");
    assert!(of_user.len() > 3_000, "{} users", of_user.len());
    let (mean, longest) = (COUNT / of_session.len(), of_session.values().max().expect("some"));
    assert!((2..=8).contains(&mean) && *longest < 150, "{mean} acts a visit, {longest} at most");
}

#[test]
fn every_event_is_accepted_by_the_strict_decoder() {
    let defaults = Defaults { id: Uuid::nil(), now: EventTime::MIN };
    let (mut devices, mut types, mut load_times, mut bytes) = (BTreeMap::new(), BTreeMap::new(), vec![], 0);
    for planned in some(&TrafficConfig { late: 0.02, ..TrafficConfig::default() }).iter().take(5_000) {
        let mut json = Vec::new();
        planned.act.json_into(EventTime::from_millis(1_700_000_000_000), &mut json);
        bytes += json.len();
        let event = Event::decode(&json, &defaults).expect("an event");
        assert_eq!(DeviceCategory::from_user_agent(&event.user_agent), planned.act.agent().1);
        *devices.entry(planned.act.agent().1).or_insert(0) += 1;
        *types.entry(event.event_type).or_insert(0) += 1;
        load_times.extend(event.load_time);
    }
    load_times.sort_unstable();
    assert!(devices.len() == 4 && devices.values().all(|count| *count > 100), "{devices:?}");
    assert!(types.len() == 4 && types["page_view"] > 3_000 && types["click"] > 300, "{types:?}");
    assert!((200..320).contains(&load_times[load_times.len() / 2]), "{}", load_times[load_times.len() / 2]);
    assert!((530..590).contains(&(bytes / 5_000)), "{} bytes an event", bytes / 5_000);
}
