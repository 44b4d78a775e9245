//! Which records are a job's business, and what key and time they count under.

use tidegate_dataflow::settings::{EventClock, JobSettings};
use tidegate_model::event::{FastDecoder, FastEvent};
use tidegate_model::names::PAGE_VIEW;
use tidegate_model::{DeviceCategory, EventTime};

use super::facts::{Question, Record};
use super::subject::{Rules, Subject};

/// Reads records as the engine does: what it cannot decode cannot be decoded here.
pub(crate) struct Reader<'a> {
    question: &'a Question,
    rules: &'a Rules,
    decoder: FastDecoder,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(question: &'a Question, rules: &'a Rules) -> Self {
        // The fields that some job asks for do not depend on settings.
        let fields = tidegate_dataflow::job::fields(&JobSettings::default());
        Self { question, rules, decoder: FastDecoder::new(fields) }
    }

    /// The record, if it is the job's business and has the key that is asked for, whatever its time. Where that
    /// is the time of its append, and this is not known, it is `MIN`.
    pub(crate) fn read(&mut self, value: &[u8], append_time: Option<EventTime>) -> Option<Record> {
        let event = self.decoder.decode(value, append_time.unwrap_or(EventTime::MIN)).ok()?;
        let key = key_of(self.question, self.rules, &event)?;
        let time = match self.rules.event_time {
            EventClock::Timestamp => event.timestamp,
            EventClock::Append => append_time.unwrap_or(EventTime::MIN),
        };
        Some(Record { time, append_time, key })
    }
}

fn key_of(question: &Question, rules: &Rules, event: &FastEvent<'_>) -> Option<String> {
    let wanted = question.key.as_deref();
    let asked = |key: &str| wanted.is_none_or(|wanted| wanted == key);
    let is_view = event.event_type == PAGE_VIEW;
    match question.subject {
        Subject::Events => {
            let is_listed = rules.types.iter().any(|listed| listed == event.event_type);
            (is_listed && asked(event.event_type)).then(|| event.event_type.to_owned())
        }
        Subject::Performance => {
            let device = DeviceCategory::from_user_agent(event.user_agent).as_str();
            (is_view && event.load_time.is_some() && asked(device)).then(|| device.to_owned())
        }
        Subject::Sessions => (is_view && asked(event.session_id)).then(|| event.user_id.to_owned()),
        // It reads rows of sessions, not events.
        Subject::SessionWindows => None,
    }
}
