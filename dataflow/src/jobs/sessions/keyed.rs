//! The sessions of one user and session id, and how records are judged.
//!
//! With `W` a session's last event plus the gap, the session is *open* while `W > F`. A component (a
//! maximal set of sessions and records of one epoch of which neighbours are at most the gap apart) is
//! - on time when it is open at `F` of the epoch before;
//! - late, but within the allowed lateness `L`, when `W + L > F`: it corrects what was said;
//! - expired otherwise; its records are dropped, and closed sessions in it stay as they are.
//!
//! A record that would be on time alone, or that touches an open session, makes its component on time
//! whatever else arrives. So it may be added at once, in any order; only the others have to wait for
//! the epoch's end.

use tidegate_model::{DeviceCategory, EventTime};

use crate::batch::Position;
use crate::snapshot::{SessionRow, device_of};

/// What decides sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) gap_ms: i64,
    pub(super) lateness_ms: i64,
}

impl Rules {
    /// When a session whose last event was at `last` closes.
    pub(super) fn closes_at(self, last: EventTime) -> EventTime {
        last.plus_ms(self.gap_ms)
    }

    /// Whether a component that closes at `closes_at` still counts.
    pub(super) fn accepts(self, last: EventTime, close_before: EventTime) -> bool {
        self.closes_at(last).plus_ms(self.lateness_ms) > close_before
    }

    /// When a closed session is forgotten: no record that counts can touch it any more. Without
    /// lateness that is at once, and a record that touches it opens a new session, as in Flink.
    fn forgotten_at(self, last: EventTime) -> EventTime {
        if self.lateness_ms == 0 {
            return self.closes_at(last);
        }
        last.plus_ms(2 * self.gap_ms + self.lateness_ms)
    }
}

/// A session, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) start: EventTime,
    pub(super) last: EventTime,
    pub(super) pages: u64,
    pub(super) device: DeviceCategory,
    /// Whether its row stands in the table.
    pub(super) emitted: bool,
}

impl Session {
    fn touches(&self, other: &Self, gap_ms: i64) -> bool {
        self.start <= other.last.plus_ms(gap_ms) && other.start <= self.last.plus_ms(gap_ms)
    }

    fn absorb(&mut self, other: &Self) {
        self.start = self.start.min(other.start);
        self.last = self.last.max(other.last);
        self.pages += other.pages;
        self.device = self.device.max(other.device);
    }
}

/// A record in doubt, as a session of one page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubtful {
    pub(super) session: Session,
    pub(super) at: Position,
}

/// Disjoint sessions, further than the gap from each other; mostly one, which needs no allocation then.
#[derive(Clone, Debug)]
pub(super) enum Sessions {
    One(Session),
    Several(Vec<Session>),
}

impl Default for Sessions {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Sessions {
    fn all(&self) -> &[Session] {
        match self {
            Self::One(session) => std::slice::from_ref(session),
            Self::Several(sessions) => sessions,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    fn push(&mut self, session: Session) {
        match self {
            Self::One(first) => *self = Self::Several(vec![*first, session]),
            Self::Several(sessions) if sessions.is_empty() => *self = Self::One(session),
            Self::Several(sessions) => sessions.push(session),
        }
    }

    fn retain(&mut self, mut keep: impl FnMut(&mut Session) -> bool) {
        match self {
            Self::One(session) => {
                if !keep(session) {
                    *self = Self::default();
                }
            }
            Self::Several(sessions) => {
                sessions.retain_mut(keep);
                if let [only] = sessions[..] {
                    *self = Self::One(only);
                }
            }
        }
    }

    /// The sessions as a snapshot has them.
    pub(super) fn rows(&self) -> impl ExactSizeIterator<Item = SessionRow> {
        self.all().iter().map(|session| SessionRow {
            start_ms: session.start.as_millis(),
            last_ms: session.last.as_millis(),
            pages: session.pages,
            device: session.device as u32,
            emitted: u32::from(session.emitted),
        })
    }

    /// Adds a session of a snapshot's, which touches no other.
    pub(super) fn restore(&mut self, row: &SessionRow) {
        self.push(Session {
            start: EventTime::from_millis(row.start_ms),
            last: EventTime::from_millis(row.last_ms),
            pages: row.pages,
            device: device_of(u64::from(row.device)),
            emitted: row.emitted != 0,
        });
    }

    /// Adds a session and merges it with those that it touches. `taken` is shown each of them whose row
    /// stands, for the row does not stand any longer. Returns how many more sessions are open.
    pub(super) fn add(&mut self, session: Session, gap_ms: i64, mut taken: impl FnMut(&Session)) -> i64 {
        if let Self::One(only) = self
            && !only.emitted
            && only.touches(&session, gap_ms)
        {
            only.absorb(&session);
            return 0;
        }
        let mut merged = session;
        let mut opened = 1;
        self.retain(|other| {
            // To touch any part is to touch the whole: the others are further than the gap from each
            // other, so what is absorbed here cannot bring a new neighbour into reach.
            let touches = other.touches(&session, gap_ms);
            if touches {
                if other.emitted {
                    taken(other);
                } else {
                    opened -= 1;
                }
                merged.absorb(other);
            }
            !touches
        });
        merged.emitted = false;
        self.push(merged);
        opened
    }

    /// Closes what `close_to` closes, and forgets what can be forgotten. `closed` is shown each session
    /// whose row is due.
    pub(super) fn close(&mut self, rules: Rules, close_to: EventTime, mut closed: impl FnMut(&Session)) {
        self.retain(|session| {
            if !session.emitted && rules.closes_at(session.last) <= close_to {
                session.emitted = true;
                closed(session);
            }
            rules.forgotten_at(session.last) > close_to
        });
    }
}

/// Everything there is of one key, beside its names.
#[derive(Clone, Debug)]
pub(super) struct KeySessions {
    /// When the key is looked at next.
    pub(super) timer: EventTime,
    pub(super) sessions: Sessions,
}

impl Default for KeySessions {
    fn default() -> Self {
        Self { timer: EventTime::MAX, sessions: Sessions::default() }
    }
}

/// Records in doubt that belong together, directly or through sessions.
pub(super) struct Component<'a> {
    pub(super) records: Vec<&'a Doubtful>,
    /// The last event of the component.
    pub(super) last: EventTime,
}

impl KeySessions {
    /// Whether `one` touches a session that was open at `close_before`.
    pub(super) fn touches_open(&self, one: &Session, rules: Rules, close_before: EventTime) -> bool {
        self.sessions
            .all()
            .iter()
            .any(|own| rules.closes_at(own.last) > close_before && own.touches(one, rules.gap_ms))
    }

    /// When the first of the sessions closes or can be forgotten.
    pub(super) fn due(&self, rules: Rules) -> EventTime {
        let due = |session: &Session| {
            if session.emitted { rules.forgotten_at(session.last) } else { rules.closes_at(session.last) }
        };
        self.sessions.all().iter().map(due).min().unwrap_or(EventTime::MAX)
    }

    /// Divides `records`, sorted by time, into components with the sessions that there are.
    pub(super) fn components<'a>(&self, records: &[&'a Doubtful], gap_ms: i64) -> Vec<Component<'a>> {
        let sessions = self.sessions.all().iter().map(|session| (*session, None));
        let records = records.iter().map(|record| (record.session, Some(*record)));
        let mut parts: Vec<_> = sessions.chain(records).collect();
        parts.sort_by_key(|(part, _)| part.start);
        let mut components: Vec<Component<'a>> = Vec::new();
        for (part, record) in parts {
            match components.last_mut() {
                Some(open) if part.start <= open.last.plus_ms(gap_ms) => {
                    open.last = open.last.max(part.last);
                    open.records.extend(record);
                }
                _ => components.push(Component { records: record.into_iter().collect(), last: part.last }),
            }
        }
        components.retain(|component| !component.records.is_empty());
        components
    }
}
