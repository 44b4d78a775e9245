//! Happenings as JSON, as the topic of events holds them: about 560 bytes each.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use tidegate_model::Event;
use tidegate_model::event::{HttpUrl, Property};
use uuid::Uuid;

use super::{Happening, Workload};
use crate::random::Random;

impl Happening {
    /// Appends the event's canonical JSON.
    pub fn json_into(&self, out: &mut Vec<u8>) {
        let mut random = Random::new(self.seed);
        let url = |text: String| HttpUrl::parse(text).expect("it is made of letters and digits");
        let (section, page) = (random.below(40), random.below(5_000));
        let mut properties = BTreeMap::new();
        let depth = f64::from(random.below(1_000)) / 1_000.0;
        properties.insert("scroll_depth".to_owned(), Property::Float(depth));
        properties.insert("experiment".to_owned(), Property::Int(i64::from(random.below(9))));
        let event = Event {
            id: Uuid::from_u64_pair(random.number(), random.number()),
            event_type: self.event_type().to_owned(),
            user_id: self.user_id(),
            user_agent: self.agent().0.to_owned(),
            screen_width: 1920,
            screen_height: 1080,
            url: url(format!("https://shop.example/section-{section}/item-{page}")),
            referrer: (!random.one_in(2)).then(|| url(format!("https://shop.example/section-{section}"))),
            ip_address: Some(self.address()),
            session_id: self.session_id(),
            properties,
            load_time: self.load_time().map(i64::from),
            interaction_time: (!random.one_in(4)).then(|| i64::from(random.below(3_000))),
            timestamp: self.time,
        };
        event.encode_into(out);
    }

    /// The user's address.
    pub(super) fn address(&self) -> IpAddr {
        let [_, high, middle, low] = self.user.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, high, middle, low))
    }
}

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
            happening.json_into(&mut bytes);
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
