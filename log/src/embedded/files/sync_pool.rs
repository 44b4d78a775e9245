//! Threads that sync files, so that several files are on their way to the disk at once.
//!
//! A file system writes its own journal once for all syncs that are under way together: six files synced
//! at once take little longer than one.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

/// Syncs that are under way at once; further ones wait.
const THREADS: usize = 5;

type Job = (Arc<File>, mpsc::SyncSender<io::Result<()>>);

/// Started with the first job; dropping it waits for the threads.
#[derive(Debug, Default)]
pub(super) struct SyncPool(Mutex<Option<Running>>);

#[derive(Debug)]
struct Running {
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl SyncPool {
    /// Begins to sync `file`. The answer comes through what is returned; without threads it is there
    /// already.
    pub(super) fn begin(&self, file: &Arc<File>) -> mpsc::Receiver<io::Result<()>> {
        let (answer, answered) = mpsc::sync_channel(1);
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = running.get_or_insert_with(Running::start).jobs.as_ref();
        let job = (Arc::clone(file), answer);
        if let Some(Err(mpsc::SendError((file, answer)))) = jobs.map(|jobs| jobs.send(job)) {
            // No thread could be started.
            let _ = answer.send(file.sync_data());
        }
        answered
    }
}

impl Running {
    fn start() -> Self {
        let (jobs, taken) = mpsc::channel::<Job>();
        let taken = Arc::new(Mutex::new(taken));
        let start = |index: usize| {
            let taken = Arc::clone(&taken);
            let name = format!("tidegate-sync-{index}");
            std::thread::Builder::new().name(name).spawn(move || work(&taken)).ok()
        };
        let threads = (0..THREADS).filter_map(start).collect();
        Self { jobs: Some(jobs), threads }
    }
}

fn work(jobs: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((file, answer)) = job else { return };
        // Whoever asked waits for every answer, unless it has panicked.
        let _ = answer.send(file.sync_data());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has told its asker by not answering.
            let _ = thread.join();
        }
    }
}
