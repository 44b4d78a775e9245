//! The dataflow of a process: alone, or as one process of several.

use std::path::Path;
use std::sync::Arc;

use tidegate_dataflow::settings::JobSettings;
use tidegate_log::Journal;
use tidegate_runner::clock::SystemClock;
use tidegate_runner::cluster::{self, ClusterPlan, How, ToldToEnd};
use tidegate_runner::{Accept, Cluster, ClusterConfig, MeetingError, ObjectSnapshots, Recovery, recover};

use super::any_log::{Log, begins_at};
use super::{SNAPSHOTS, SystemEntropy, random, run_error};
use crate::config::{Config, duration};
use crate::exit::{CommandError, Exit};

/// The program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// As many workers may all processes have together: one for each key group.
const WORKERS_MAX: usize = 256;

/// What a process knows of the dataflow before it runs.
pub(crate) enum Dataflow {
    /// It has none.
    None,
    /// It recovered: the only process, or the first of those it has met.
    First(Box<Recovered>, Option<Box<Cluster>>),
    /// It is another one.
    Other(Box<Other>),
}

/// A journal that was taken over, and what it said.
pub(crate) struct Recovered {
    pub(super) journal: Box<dyn Journal>,
    pub(super) jobs: JobSettings,
    pub(super) snapshots: Arc<ObjectSnapshots>,
    pub(crate) recovery: Recovery,
}

/// What process 0 said.
pub(crate) struct Other {
    pub(super) cluster: Cluster,
    pub(super) plan: ClusterPlan,
    pub(super) jobs: JobSettings,
    pub(super) snapshots: Arc<ObjectSnapshots>,
}

impl Dataflow {
    /// Meets the other processes, where there are any; and has the first one recover. A process that has other roles as
    /// well is the only one.
    pub(crate) fn begin(
        log: &Log,
        config: &Config,
        accept: Accept,
        is_role: bool,
        told_to_end: ToldToEnd,
    ) -> Result<Self, CommandError> {
        let jobs = config.job_settings();
        let Some(ours) = cluster_config(log, config, &jobs)? else {
            return Ok(Self::First(Box::new(recover_from(log, config, jobs, accept)?), None));
        };
        if !is_role {
            let text = "several processes share the dataflow only (cluster.hosts): tidegate dataflow, with each other role a \
                        process of its own; or remove cluster.hosts, and everything runs in this process";
            return Err(CommandError::new(Exit::Usage, text));
        }
        if ours.process > 0 {
            let folder = Path::new(&config.data_dir).join(SNAPSHOTS);
            // Process 0 tidies it; here others may be writing.
            std::fs::create_dir_all(&folder)?;
            let snapshots = ObjectSnapshots::open(&folder);
            let snapshots = snapshots.map_err(|error| CommandError::new(Exit::Failure, error))?;
            let cluster = Cluster::meet(ours, told_to_end).map_err(meeting_error)?;
            let plan = cluster.plan().map_err(meeting_error)?;
            let snapshots = Arc::new(snapshots);
            return Ok(Self::Other(Box::new(Other { cluster, plan, jobs, snapshots })));
        }
        let cluster = Cluster::meet(ours, told_to_end).map_err(meeting_error)?;
        match recover_from(log, config, jobs, accept) {
            Ok(recovered) => Ok(Self::First(Box::new(recovered), Some(Box::new(cluster)))),
            Err(error) => {
                let how = match error.exit {
                    Exit::Refused => How::Refused,
                    Exit::Fenced => How::Fenced,
                    _ => How::Failed,
                };
                cluster.end(&error.to_string(), how);
                Err(error)
            }
        }
    }
}

/// Takes the journal over and says what a run starts from.
pub(crate) fn recover_from(
    log: &Log,
    config: &Config,
    jobs: JobSettings,
    accept: Accept,
) -> Result<Recovered, CommandError> {
    let accept = Accept { begins_at: begins_at(config), ..accept };
    let mut journal = log.journal();
    let folder = Path::new(&config.data_dir).join(SNAPSHOTS);
    let snapshots =
        ObjectSnapshots::in_folder(&folder).map_err(|error| CommandError::new(Exit::Failure, error))?;
    let (store, mut reader) = (Some(&snapshots as _), log.reader());
    let recovery = recover(&mut journal, &jobs, accept, &mut reader, store, &SystemClock, &mut SystemEntropy);
    Ok(Recovered { journal, jobs, snapshots: Arc::new(snapshots), recovery: recovery.map_err(run_error)? })
}

/// What this process is among others; `None` when there are none.
fn cluster_config(
    log: &Log,
    config: &Config,
    jobs: &JobSettings,
) -> Result<Option<ClusterConfig>, CommandError> {
    let usage = |text: String| Err(CommandError::new(Exit::Usage, text));
    let hosts: Vec<String> = config
        .cluster_hosts
        .iter()
        .flat_map(|hosts| hosts.split(','))
        .map(str::trim)
        .map(str::to_owned)
        .collect();
    let processes = config.cluster_processes.unwrap_or(hosts.len().max(1) as u64);
    if processes <= 1 && hosts.len() <= 1 {
        return match config.cluster_process {
            0 => Ok(None),
            process => usage(format!(
                "cluster.process is {process}, but there is one process only; name all of them, where each listens: \
                 --hosts host-0:2101,host-1:2101"
            )),
        };
    }
    if processes != hosts.len() as u64 {
        return usage(format!(
            "cluster.processes is {processes}, but cluster.hosts names {} ({}); name each of them, where it listens for \
             the others: --hosts host-0:2101,host-1:2101",
            hosts.len(),
            if hosts.is_empty() { "none" } else { config.cluster_hosts.as_deref().unwrap_or_default() }
        ));
    }
    if let Some(host) = hosts.iter().find(|host| !is_host_and_port(host)) {
        return usage(format!("cluster.hosts names {host:?}, which is no host:port"));
    }
    if let Some((at, host)) = hosts.iter().enumerate().find(|(at, host)| hosts[..*at].contains(host)) {
        return usage(format!("cluster.hosts names {host} twice, the second time for process {at}"));
    }
    if config.cluster_process >= processes {
        let last = processes - 1;
        return usage(format!(
            "cluster.process is {}, and must be one of 0 to {last}: cluster.hosts names {processes} processes",
            config.cluster_process
        ));
    }
    let workers = config.worker_threads();
    if workers * hosts.len() > WORKERS_MAX {
        return usage(format!(
            "{} processes of {workers} workers are more than {WORKERS_MAX} workers in all: lower workers, or name fewer \
             processes",
            hosts.len()
        ));
    }
    Ok(Some(ClusterConfig {
        process: crate::config::size(config.cluster_process),
        hosts,
        workers,
        version: format!("{VERSION}, program {}", cluster::program()?),
        log: log.identity()?,
        jobs: jobs.clone(),
        meeting: random(),
        silence_max: duration(config.cluster_silence_ms),
    }))
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && !host.contains(char::is_whitespace)
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn meeting_error(error: MeetingError) -> CommandError {
    CommandError::new(of_meeting(&error), error)
}

/// The exit code of a process that has not met the others.
pub(super) fn of_meeting(error: &MeetingError) -> Exit {
    match error {
        MeetingError::Refused { .. } => Exit::Usage,
        MeetingError::ToldToEnd { .. } => Exit::Done,
        MeetingError::Ended { how, .. } => of(*how),
        _ => Exit::Failure,
    }
}

/// The exit code of a process that another one has ended.
pub(super) fn of(how: How) -> Exit {
    match how {
        How::Told => Exit::Done,
        How::Failed => Exit::Failure,
        How::Refused => Exit::Refused,
        How::Fenced => Exit::Fenced,
    }
}
