//! The words of Tidegate as types: events, metric rows, time, windows, names.
//!
//! Everything here is a function of its input. There is no clock, no randomness, no environment, no
//! thread and no socket in this crate, and data that came from outside is parsed once, here, into
//! types that cannot be wrong afterwards.

pub mod binding;
pub mod device;
pub mod event;
pub mod ids;
pub mod ledger;
pub mod names;
pub mod planted;
pub mod row;
pub mod time;
pub mod window;

pub use binding::{AsOf, Binding, JobStart, PartitionState};
pub use device::DeviceCategory;
pub use event::Event;
pub use ids::{Epoch, Generation, Offset, PartitionId};
pub use ledger::{Counts, Ledger};
pub use row::{MetricRow, Op, Schema};
pub use time::EventTime;
pub use window::{Tumbling, Window};
