//! Reads a page of metrics, and checks it against the conventions of Prometheus.

use std::collections::{BTreeMap, BTreeSet};

/// Labels whose values are few and known.
const LABELS: [&str; 6] = ["job", "le", "outcome", "partition", "version", "worker"];

/// Units that are not the base unit, as parts of a name.
const NOT_BASE_UNITS: [&str; 7] = ["ms", "millis", "milliseconds", "minutes", "kb", "mb", "kilobytes"];

/// Larger numbers are made up, or the number of an epoch.
const SANE: f64 = 1e13;

/// A page: series, labels included, to value.
pub type Page = BTreeMap<String, f64>;

/// Reads a page and panics at what breaks a convention.
pub fn checked(text: &str) -> Page {
    let (mut kinds, mut helped) = (BTreeMap::new(), BTreeSet::new());
    let mut page = Page::new();
    let mut family = "";
    assert!(text.ends_with("# EOF\n"), "the page is not whole");
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help has a text");
            assert!(!help.is_empty() && help.starts_with(char::is_uppercase), "{line}");
            assert!(helped.insert(name), "{name} is described twice");
            family = name;
            check_name(name);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type has a kind");
            assert_eq!(name, family, "a type stands beside its help");
            kinds.insert(name, kind);
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            let name = series.split('{').next().expect("there is always a first");
            let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not of {family}"));
            let suffixes: &[&str] = match kinds[family] {
                "counter" => &["_total"],
                "gauge" => &[""],
                "info" => &["_info"],
                "histogram" => &["_bucket", "_count", "_sum"],
                other => panic!("{family} is of the kind {other}"),
            };
            assert!(suffixes.contains(&suffix), "{name} is a {}", kinds[family]);
            check_labels(series);
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line} has no number"));
            assert!(value.abs() < SANE, "{line}: a number that nobody knows");
            assert!(page.insert(series.to_owned(), value).is_none(), "{series} is there twice");
        }
    }
    page
}

fn check_name(name: &str) {
    assert!(name.starts_with("tidegate_"), "{name} has no prefix of ours");
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    assert!(name.chars().all(plain), "{name} is no plain name");
    assert!(!name.ends_with("_total"), "{name}: the format adds that to counters");
    let odd = name.split('_').find(|word| NOT_BASE_UNITS.contains(word));
    assert_eq!(odd, None, "{name} is not in a base unit");
}

fn check_labels(series: &str) {
    let Some((_, labels)) = series.split_once('{') else { return };
    for label in labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty()) {
        let name = label.split('=').next().expect("there is always a first");
        assert!(LABELS.contains(&name), "{series}: the values of {name} are not known to be few");
    }
}
