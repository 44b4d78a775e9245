//! The jobs.

mod events;
mod overview;
mod performance;
mod sessions;

pub use events::EventAggregator;
pub use overview::SessionOverview;
pub use performance::PerformanceTracker;
pub use sessions::SessionTracker;
pub(crate) use sessions::SharedSessions;
