//! The visitors of a web site: a few of them do most of it, each in visits of a few pages.

use tidegate_model::names::PAGE_VIEW;

use super::Act;
use super::random::{Random, mix};

/// A visit goes on with the next act, except once in so many times.
const ACTS_OF_VISIT: u32 = 8;
/// The middle of the load times is this power of two, in milliseconds.
const LOAD_TIME_LOG2: u32 = 8;

/// The event types, each as often as it stands here.
const TYPES: [&str; 10] = [
    PAGE_VIEW,
    PAGE_VIEW,
    PAGE_VIEW,
    PAGE_VIEW,
    PAGE_VIEW,
    PAGE_VIEW,
    PAGE_VIEW,
    "click",
    "add_to_cart",
    "conversion",
];

/// Makes acts without end: the same ones for the same seed and the same calls.
#[derive(Clone, Debug)]
pub struct Visitors {
    random: Random,
    /// Two seeds have no session in common.
    salt: u64,
    /// The visit of each user.
    visits: Vec<u32>,
}

impl Visitors {
    /// So many `users`, from 1 to 2³⁰.
    pub fn new(users: u32, seed: u64) -> Self {
        let visits = vec![0; users as usize];
        Self { random: Random::new(seed), salt: mix(seed ^ 0x7469_6465), visits }
    }

    /// How many there are.
    pub fn users(&self) -> u32 {
        u32::try_from(self.visits.len()).expect("it was made of a number of 32 bits")
    }

    /// What somebody does next: by Zipf's law, a user comes the more seldom the larger the number is.
    pub fn act(&mut self) -> Act {
        let user = self.random.zipf(self.users());
        self.act_of(user)
    }

    /// What this user does next.
    pub fn act_of(&mut self, user: u32) -> Act {
        let random = &mut self.random;
        let visit = &mut self.visits[user as usize];
        *visit = visit.wrapping_add(u32::from(random.one_in(ACTS_OF_VISIT)));
        let event_type = *random.choose(&TYPES);
        let loads = event_type == PAGE_VIEW && !random.one_in(10);
        let load_time_ms = loads.then(|| random.log_normal(LOAD_TIME_LOG2));
        let session = mix(self.salt ^ (u64::from(user) << 32 | u64::from(*visit)));
        Act { user, session, event_type, load_time_ms, seed: random.number() }
    }
}
