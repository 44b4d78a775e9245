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

/// What a process has worked so far, in ticks of 10 ms mostly.
pub fn of_process(pid: u32) -> Option<Duration> {
    // Fields 14 and 15 of proc_pid_stat(5).
    ticks(&format!("/proc/{pid}/stat"), 11)
}

/// What children that have ended worked. The system tells it in ticks, mostly of 10 ms.
fn children() -> Option<Duration> {
    // Fields 16 and 17.
    ticks("/proc/self/stat", 13)
}

/// The sum of two fields, counted from the one behind the name, which is in parentheses and may hold blanks.
fn ticks(path: &str, from: usize) -> Option<Duration> {
    let stat = std::fs::read_to_string(path).ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    let ticks: u64 =
        behind_name.split_whitespace().skip(from).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
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
