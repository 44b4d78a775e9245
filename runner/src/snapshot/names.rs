//! The names of objects. They are unique: a generation is one process, which makes one snapshot of an epoch.

use tidegate_model::{Epoch, Generation};

/// The name of a worker's object.
pub(super) fn name(generation: Generation, epoch: Epoch, worker: usize) -> String {
    format!("{:020}-{:020}-{worker:05}.snapshot", generation.0, epoch.0)
}

/// The generation that wrote an object; `None` when the name is none of ours.
pub(super) fn generation_of(name: &str) -> Option<Generation> {
    let (generation, rest) = name.strip_suffix(".snapshot")?.split_once('-')?;
    let (epoch, worker) = rest.split_once('-')?;
    epoch.parse::<u64>().ok()?;
    worker.parse::<u32>().ok()?;
    generation.parse().ok().map(Generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_who_wrote_them() {
        let name = name(Generation(7), Epoch(1_600_000_000_000), 3);
        assert_eq!(name, "00000000000000000007-00000001600000000000-00003.snapshot");
        assert_eq!(generation_of(&name), Some(Generation(7)));
        for other in ["", "notes.txt", "7.snapshot", "7-x-1.snapshot", "7-1-1.snapshot#1"] {
            assert_eq!(generation_of(other), None, "{other:?}");
        }
    }
}
