//! The names of objects. They are unique: a generation is one process, which makes one snapshot of an epoch.

use tidegate_model::{Epoch, Generation};

/// The name of a worker's object.
pub(super) fn name(generation: Generation, epoch: Epoch, worker: usize) -> String {
    format!("{:020}-{:020}-{worker:05}.snapshot", generation.0, epoch.0)
}

/// The generation that wrote an object; `None` when the name is none of ours.
pub(super) fn generation_of(name: &str) -> Option<Generation> {
    parts(name).map(|(generation, _)| generation)
}

/// The epoch that an object is of; `None` when the name is none of ours.
pub(super) fn epoch_of(name: &str) -> Option<Epoch> {
    parts(name).map(|(_, epoch)| epoch)
}

fn parts(name: &str) -> Option<(Generation, Epoch)> {
    let (generation, rest) = name.strip_suffix(".snapshot")?.split_once('-')?;
    let (epoch, worker) = rest.split_once('-')?;
    worker.parse::<u32>().ok()?;
    Some((Generation(generation.parse().ok()?), Epoch(epoch.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_who_wrote_them() {
        let name = name(Generation(7), Epoch(1_600_000_000_000), 3);
        assert_eq!(name, "00000000000000000007-00000001600000000000-00003.snapshot");
        assert_eq!(generation_of(&name), Some(Generation(7)));
        assert_eq!(epoch_of(&name), Some(Epoch(1_600_000_000_000)));
        for other in ["", "notes.txt", "7.snapshot", "7-x-1.snapshot", "7-1-1.snapshot#1"] {
            assert_eq!(generation_of(other), None, "{other:?}");
        }
    }
}
