//! What every HTTP listener of Tidegate shares: sockets and their limits, problems, metrics, CORS.
//!
//! The invariant: no peer holds a connection, a task or memory without a named limit ([`Limits`]), and
//! whatever goes wrong is answered as a [`Problem`]. What the routes mean is none of this crate's
//! business; it knows no event, no row and no window.

pub mod cors;
pub mod limits;
pub mod listener;
pub mod metrics;
pub mod problem;
pub mod process;
pub mod serve;

pub use cors::{Origins, cors};
pub use limits::Limits;
pub use listener::{BindError, Listener};
pub use metrics::{HttpMetrics, exposition};
pub use problem::{Problem, ProblemFault};
pub use serve::serve;
