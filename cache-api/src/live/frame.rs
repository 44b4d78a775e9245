//! Server-sent events as bytes, and their ids: `<boot>-<number>`, where `boot` stands for this process.

use bytes::Bytes;
use serde::Serialize;
use tidegate_model::AsOf;

use crate::routes::instant;

/// Makes and reads ids.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    boot: String,
}

impl Ids {
    pub(super) fn new(boot: u64) -> Self {
        Self { boot: format!("{boot:016x}") }
    }

    /// The number of an id of this process's; `None` for one of another's.
    pub(super) fn parse(&self, id: &str) -> Option<u64> {
        id.strip_prefix(&*self.boot)?.strip_prefix('-')?.parse().ok()
    }

    /// An event. JSON has no line breaks, so that the data is one line.
    pub(super) fn frame(&self, id: u64, event: &str, data: &impl Serialize) -> Bytes {
        let data = serde_json::to_string(data).expect("windows can be said in JSON");
        Bytes::from(format!("id: {}-{id}\nevent: {event}\ndata: {data}\n\n", self.boot))
    }

    /// The event that says how far event time has come.
    pub(super) fn frontier(&self, id: u64, as_of: AsOf) -> Bytes {
        let data = Frontier { epoch: as_of.epoch.0, frontier: instant(as_of.frontier) };
        self.frame(id, "frontier", &data)
    }
}

/// `null` stands for a frontier that has not moved yet.
#[derive(Serialize)]
struct Frontier {
    epoch: u64,
    frontier: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_one_process() {
        let ids = Ids::new(0xabc);
        let frame = ids.frame(7, "change", &"a\nb");
        assert_eq!(frame, "id: 0000000000000abc-7\nevent: change\ndata: \"a\\nb\"\n\n");
        assert_eq!(ids.parse("0000000000000abc-7"), Some(7));
        for other in ["", "7", "0000000000000abd-7", "0000000000000abc-", "0000000000000abc-x", "abc-7"] {
            assert_eq!(ids.parse(other), None, "{other}");
        }
    }
}
