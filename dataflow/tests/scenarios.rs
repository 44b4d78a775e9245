//! Every rule of time as a story, run against every system with every number of workers.

mod support;

use support::scenario::{Story, run};
use support::systems::{WORKERS, factories};

/// Makes a test of every story, and the list that is held against the folder.
macro_rules! stories {
    ($($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                holds(concat!("dataflow/tests/scenarios/", stringify!($name), ".scenario"),
                    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios/", stringify!($name), ".scenario")));
            }
        )*
        const STORIES: &[&str] = &[$(stringify!($name)),*];
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
    let mut listed: Vec<&str> = STORIES.to_vec();
    listed.sort_unstable();
    assert_eq!(stories, listed, "the folder, and the list in list.rs");
}
