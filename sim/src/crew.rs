//! Timely's workers on threads of their own, of which one runs at a time: whoever holds the crew says
//! which. So a run is a function of the order in which turns are given.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use timely::WorkerConfig;
use timely::communication::{Config, WorkerGuards, initialize};
use timely::worker::Worker;

/// What a worker does when it is its turn.
pub trait Seat {
    /// Does it, and says whether there will be more to do.
    fn turn(&mut self, worker: &mut Worker) -> bool;
}

/// A worker that panicked, with what it said.
#[derive(Debug)]
pub struct Panicked(pub String);

/// The workers of one timely process.
pub struct Crew {
    seats: Vec<Occupied>,
    threads: Option<WorkerGuards<()>>,
}

/// The outside of a seat.
struct Occupied {
    turns: Option<Sender<()>>,
    /// Whether there will be more to do, after each turn.
    done: Receiver<Result<bool, Panicked>>,
    over: bool,
}

/// What the thread of a seat takes with it.
struct Taken<P> {
    part: P,
    turns: Receiver<()>,
    done: Sender<Result<bool, Panicked>>,
}

impl Crew {
    /// A worker for each of `parts`; each builds its seat on its thread, one after the other.
    ///
    /// # Errors
    /// When one of them panics.
    pub fn new<P, S>(parts: Vec<P>, build: fn(P, &mut Worker) -> S) -> Result<Self, Panicked>
    where
        P: Send + 'static,
        S: Seat + 'static,
    {
        let config = Config::Process(parts.len());
        let (seats, taken): (Vec<_>, Vec<_>) = parts
            .into_iter()
            .map(|part| {
                let ((give, turns), (finish, done)) = (channel(), channel());
                let occupied = Occupied { turns: Some(give), done, over: false };
                (occupied, Some(Taken { part, turns, done: finish }))
            })
            .unzip();
        let taken = Mutex::new(taken);
        let threads = initialize(config, move |allocator| {
            // Without a clock of its own a worker does at once what it would put off.
            let mut worker = Worker::new(WorkerConfig::default(), allocator, None);
            let seat = taken.lock().expect("nobody panics here")[worker.index()].take();
            sit(&mut worker, seat.expect("there is one for each worker"), build);
        });
        let threads = Some(threads.expect("threads need no network"));
        let mut crew = Self { seats, threads };
        for at in 0..crew.seats.len() {
            crew.turn(at)?;
        }
        Ok(crew)
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.seats.len()
    }

    /// Whether every worker is done.
    pub fn is_over(&self) -> bool {
        self.seats.iter().all(|seat| seat.over)
    }

    /// Gives a worker its turn, and waits for the end of it.
    ///
    /// # Errors
    /// When it panics.
    pub fn turn(&mut self, at: usize) -> Result<(), Panicked> {
        let seat = &mut self.seats[at];
        if seat.over {
            return Ok(());
        }
        let turns = seat.turns.as_ref().expect("it is there until the crew is dropped");
        turns.send(()).expect("a worker listens until it is over");
        let done = seat.done.recv().expect("a worker says when it is done");
        seat.over = !matches!(done, Ok(true));
        done.map(|_| ())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for seat in &mut self.seats {
            seat.turns = None;
        }
        drop(self.threads.take());
    }
}

/// Takes turns until there is nothing more to do, or the crew is gone.
fn sit<P, S: Seat>(worker: &mut Worker, taken: Taken<P>, build: fn(P, &mut Worker) -> S) {
    let Taken { part, turns, done } = taken;
    let mut part = Some(part);
    let mut seat = None;
    let mut ended = None;
    while ended.is_none() && turns.recv().is_ok() {
        let turn = || match (&mut seat, part.take()) {
            (seat @ None, Some(part)) => {
                *seat = Some(build(part, worker));
                true
            }
            (Some(seat), _) => S::turn(seat, worker),
            (None, None) => unreachable!("a seat is built in its first turn"),
        };
        match catch_unwind(AssertUnwindSafe(turn)).map_err(|panic| Panicked(said(&*panic))) {
            // The crew is gone only when it ends the worker.
            Ok(true) if done.send(Ok(true)).is_ok() => {}
            other => ended = Some(other),
        }
    }
    // Before it says so: what goes with a seat, the end of a channel say, must not go in the middle of
    // somebody else's turn. After a panic something may be left half done, which dropping it may stumble over.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        drop(seat);
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
    }));
    if let Some(ended) = ended {
        // The crew may be gone.
        let _ = done.send(ended);
    }
}

/// What a panic said.
pub fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without a word".to_owned())
}
