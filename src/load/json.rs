//! An act as JSON, as a client sends it and as the topic of events holds it: about 560 bytes.

use std::collections::BTreeMap;

use tidegate_model::event::{HttpUrl, Property};
use tidegate_model::{DeviceCategory, Event, EventTime};
use uuid::Uuid;

use super::Act;

impl Act {
    /// Appends the canonical JSON of the event that happened at `time`.
    pub fn json_into(&self, time: EventTime, out: &mut Vec<u8>) {
        let mut random = self.details();
        let url = |text: String| HttpUrl::parse(text).expect("it is made of letters and digits");
        let (section, page) = (random.below(40), random.below(5_000));
        let (user_agent, device) = self.agent();
        let (screen_width, screen_height) = match device {
            DeviceCategory::Mobile => (390, 844),
            DeviceCategory::Tablet => (1280, 800),
            DeviceCategory::Bot | DeviceCategory::Desktop => (1920, 1080),
        };
        let mut properties = BTreeMap::new();
        let depth = f64::from(random.below(1_000)) / 1_000.0;
        properties.insert("scroll_depth".to_owned(), Property::Float(depth));
        properties.insert("experiment".to_owned(), Property::Int(i64::from(random.below(9))));
        let event = Event {
            id: Uuid::from_u64_pair(random.number(), random.number()),
            event_type: self.event_type().to_owned(),
            user_id: self.user_id(),
            user_agent: user_agent.to_owned(),
            screen_width,
            screen_height,
            url: url(format!("https://shop.example/section-{section}/item-{page}")),
            referrer: (!random.one_in(2)).then(|| url(format!("https://shop.example/section-{section}"))),
            ip_address: Some(self.address()),
            session_id: self.session_id(),
            properties,
            load_time: self.load_time_ms().map(i64::from),
            interaction_time: (!random.one_in(4)).then(|| i64::from(random.below(3_000))),
            timestamp: time,
        };
        event.encode_into(out);
    }
}
