//! Every rule of time as a story, run against every system with every number of workers.

mod support;

use support::scenario::{Story, run};
use support::stand_in::{Fault, StandInFactory};
use support::systems::{WORKERS, factories};

/// The text of a story of the folder.
macro_rules! text {
    ($name:ident) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios/", stringify!($name), ".scenario"))
    };
}

/// Makes a test of every story, and the list that is held against the folder.
macro_rules! stories {
    ($($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                holds(concat!("dataflow/tests/scenarios/", stringify!($name), ".scenario"), text!($name));
            }
        )*
        const STORIES: &[(&str, &str)] = &[$((stringify!($name), text!($name))),*];
    };
}

include!("scenarios/list.rs");

fn holds(file: &str, text: &str) {
    let story = Story::parse(file, text).unwrap_or_else(|why| panic!("{why}"));
    for factory in factories() {
        for workers in WORKERS {
            run(&story, factory.as_ref(), workers).unwrap_or_else(|why| panic!("{why}"));
        }
    }
}

#[test]
fn every_file_in_the_folder_is_in_the_list() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    let names = std::fs::read_dir(folder)
        .expect("the folder of the stories")
        .map(|entry| entry.expect("an entry of the folder").file_name().into_string().expect("a plain name"));
    let mut stories: Vec<String> =
        names.filter_map(|name| name.strip_suffix(".scenario").map(str::to_owned)).collect();
    stories.sort();
    let mut listed: Vec<&str> = STORIES.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    assert_eq!(stories, listed, "the folder, and the list in list.rs");
}

/// For each of these mistakes there is at least one story that goes another way.
#[test]
fn the_stories_find_faults() {
    for fault in [
        Fault::RecordByRecord,
        Fault::LatenessOffByOne,
        Fault::ClosesLate,
        Fault::IdleWithoutLook,
        Fault::WatermarkPerWorker { workers: 1 },
        Fault::FutureMovesTime,
        Fault::ForgetsActivity,
    ] {
        let factory = StandInFactory::new(fault.clone());
        let found = STORIES.iter().any(|(name, text)| {
            let story = Story::parse(name, text).unwrap_or_else(|why| panic!("{why}"));
            run(&story, &factory, 1).is_err()
        });
        assert!(found, "no story shows {fault:?}");
    }
}
