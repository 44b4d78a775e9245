//! The one place that lists what is tested.

use super::graph::GraphFactory;
use super::stand_in::{Fault, StandInFactory};
use super::system::SystemFactory;

/// Every system that must keep the rules; each runs with each of [`WORKERS`].
pub fn factories() -> Vec<Box<dyn SystemFactory>> {
    vec![Box::new(reference()), Box::new(GraphFactory)]
}

/// The system that is right by definition.
pub fn reference() -> StandInFactory {
    StandInFactory::new(Fault::None)
}

/// Numbers of worker threads that must not make a difference.
pub const WORKERS: [usize; 3] = [1, 2, 4];
