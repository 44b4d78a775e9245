//! Measuring: several things in turns, so that what disturbs one round disturbs all of it.

use crate::clock::{Took, timed};
use crate::scale::Scale;
use crate::table::{Line, Table};

/// Which time figures and shares are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Time that was worked, for what only computes.
    Cpu,
    /// Time that passed, for what waits for the disk or for other threads.
    Wall,
}

/// What a case did, once.
#[derive(Clone, Debug)]
pub struct Done {
    /// How long it took.
    pub took: Took,
    /// Something to say about it; that of the last round is shown.
    pub note: String,
}

impl Done {
    /// Runs `work`, and hands its result to `check`, which is not measured.
    pub fn by<T>(work: impl FnOnce() -> T, check: impl FnOnce(T)) -> Self {
        let (result, took) = timed(work);
        check(result);
        Self { took, note: String::new() }
    }

    /// With a note.
    #[must_use]
    pub fn noted(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// Something that is measured. It fails where the files that it needs do.
type Work<'a> = Box<dyn FnMut() -> anyhow::Result<Done> + 'a>;

struct Case<'a> {
    name: String,
    is_ceiling: bool,
    work: Work<'a>,
}

/// Cases that do the same to the same data, each its own way.
pub struct Group<'a> {
    title: String,
    by: By,
    /// What is counted, such as `events`, and how many of them a case handles.
    unit: &'static str,
    units: u64,
    bytes: u64,
    cases: Vec<Case<'a>>,
    rounds_max: usize,
}

impl<'a> Group<'a> {
    /// A group of cases that handle `units` of `unit`, which are `bytes` bytes.
    pub fn new(title: impl Into<String>, by: By, unit: &'static str, units: usize, bytes: usize) -> Self {
        let (units, bytes) = (units as u64, bytes as u64);
        Self { title: title.into(), by, unit, units, bytes, cases: Vec::new(), rounds_max: usize::MAX }
    }

    /// At most so many rounds, and none that does not count: for cases that take seconds.
    #[must_use]
    pub fn rounds(self, rounds_max: usize) -> Self {
        Self { rounds_max, ..self }
    }

    /// Adds a ceiling: the share that the other cases reach of it is shown.
    #[must_use]
    pub fn ceiling(self, name: &str, work: impl FnMut() -> anyhow::Result<Done> + 'a) -> Self {
        self.with(name, true, Box::new(work))
    }

    /// Adds a case.
    #[must_use]
    pub fn case(self, name: &str, work: impl FnMut() -> anyhow::Result<Done> + 'a) -> Self {
        self.with(name, false, Box::new(work))
    }

    fn with(mut self, name: &str, is_ceiling: bool, work: Work<'a>) -> Self {
        self.cases.push(Case { name: name.to_owned(), is_ceiling, work });
        self
    }

    /// Measures each case once a round, after a round that does not count.
    ///
    /// # Errors
    /// When a case fails.
    pub fn measure(mut self, scale: Scale) -> anyhow::Result<Table> {
        let rounds_count = scale.rounds().min(self.rounds_max);
        if scale != Scale::Smoke && self.rounds_max == usize::MAX {
            self.round()?;
        }
        let mut rounds = Vec::new();
        for _ in 0..rounds_count {
            rounds.push(self.round()?);
        }
        let ceilings: Vec<usize> = (0..self.cases.len()).filter(|at| self.cases[*at].is_ceiling).collect();
        let lines = self.cases.iter().enumerate().map(|(at, case)| {
            let of = |select: fn(&Took) -> f64| -> Vec<f64> {
                rounds.iter().map(|round| self.units as f64 / select(&round[at].took)).collect()
            };
            let share = |ceiling: &usize| {
                let share = |round: &Vec<Done>| self.seconds(&round[*ceiling]) / self.seconds(&round[at]);
                (at != *ceiling).then(|| median(rounds.iter().map(share).collect()))
            };
            Line {
                name: case.name.clone(),
                wall: of(|took| seconds(took.wall)),
                cpu: of(|took| seconds(took.cpu)),
                shares: ceilings.iter().map(share).collect(),
                note: rounds.last().map(|round| round[at].note.clone()).unwrap_or_default(),
            }
        });
        Ok(Table {
            lines: lines.collect(),
            ceilings: ceilings.iter().map(|at| self.cases[*at].name.clone()).collect(),
            title: self.title,
            by: self.by,
            unit: self.unit,
            units: self.units,
            bytes: self.bytes,
            rounds: rounds_count,
        })
    }

    fn round(&mut self) -> anyhow::Result<Vec<Done>> {
        self.cases.iter_mut().map(|case| (case.work)()).collect()
    }

    fn seconds(&self, done: &Done) -> f64 {
        match self.by {
            By::Cpu => seconds(done.took.cpu),
            By::Wall => seconds(done.took.wall),
        }
    }
}

/// Never zero, so that it may be divided by: the clocks are no finer than this.
fn seconds(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64().max(1e-9)
}

/// The middle one of an odd number of values, and the upper one of the two in the middle otherwise.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_share_is_that_of_the_same_round() {
        let took = |ms| Took { wall: Duration::from_millis(ms), cpu: Duration::from_millis(ms) };
        let case = |times: [u64; 3]| {
            let mut times = times.into_iter();
            move || {
                Ok(Done { took: took(times.next().expect("a warm-up and two rounds")), note: String::new() })
            }
        };
        // The second round was disturbed, but both alike.
        let group = Group::new("t", By::Cpu, "events", 100, 0);
        let table = group.ceiling("c", case([9, 10, 100])).case("x", case([9, 20, 200]));
        let table = table.measure(Scale::Quick).expect("nothing fails");
        assert_eq!(table.lines[1].shares, [Some(0.5)]);
        assert_eq!(table.lines[0].shares, [None]);
        assert_eq!(table.lines[1].wall.len(), 2);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![1.0]) - 1.0).abs() < f64::EPSILON);
    }
}
