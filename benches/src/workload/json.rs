//! Happenings as JSON, as the topic of events holds them: about 560 bytes each.

use super::Workload;

/// Events as JSON, a line each.
#[derive(Clone, Debug)]
pub struct JsonLines {
    /// The lines, each with its end.
    pub bytes: Vec<u8>,
    /// Where each line starts, and where the last one ends.
    pub starts: Vec<usize>,
}

impl JsonLines {
    /// The first `count` events of a workload.
    pub fn new(workload: Workload, count: usize) -> Self {
        let (mut bytes, mut starts) = (Vec::with_capacity(count * 560), vec![0]);
        for happening in workload.take(count) {
            happening.act.json_into(happening.time, &mut bytes);
            bytes.push(b'\n');
            starts.push(bytes.len());
        }
        Self { bytes, starts }
    }

    /// The events, without the ends of their lines.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.starts.windows(2).map(|line| &self.bytes[line[0]..line[1] - 1])
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_usual_size() {
        let lines = JsonLines::new(Workload::new(1), 1_000);
        let mean = lines.bytes.len() / lines.count();
        assert!((530..590).contains(&mean), "{mean}");
    }
}
