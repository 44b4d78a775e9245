//! Time that passed, and time that was worked.
//!
//! On a busy machine the first says little about a program. The second counts all threads of this process,
//! those that have ended included, and the processes that it ran and waited for.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How long something took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Took {
    /// On the wall.
    pub wall: Duration,
    /// On processors, summed over threads.
    pub cpu: Duration,
}

/// Runs `work` and says how long it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Took) {
    let (wall, cpu) = (Instant::now(), cpu());
    let result = work();
    let (wall_taken, cpu_after) = (wall.elapsed(), self::cpu());
    (result, Took { wall: wall_taken, cpu: cpu_after.saturating_sub(cpu) })
}

fn cpu() -> Duration {
    let own = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(own.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(own.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos) + children().unwrap_or_default()
}

/// What children that have ended worked. The system tells it in ticks, mostly of 10 ms.
fn children() -> Option<Duration> {
    // Fields 16 and 17 of proc_pid_stat(5). The second, a name in parentheses, may hold blanks.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    let ticks: u64 =
        behind_name.split_whitespace().skip(13).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_other_threads_counts_as_work() {
        let spin = || (0..3_000_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n));
        let (_, took) = timed(|| std::thread::spawn(spin).join());
        assert!(took.cpu > Duration::ZERO);
    }

    #[test]
    fn the_system_tells_of_children() {
        assert!(children().is_some());
    }
}
