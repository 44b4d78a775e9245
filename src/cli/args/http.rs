//! The arguments of the commands that talk to a running instance. None of them is a setting: they say what is
//! done once, not how this machine's instance is.

use std::time::Duration;

use clap::Args;

use super::{ReportFormat, duration};
use crate::load::Rate;
use crate::load::traffic::USERS_MAX;

pub(super) const AFTER_LOAD: &str = "\
Examples:
  tidegate load --rate 1000 --duration 1m                  a thousand events a second
  tidegate load --rate max --connections 256               as fast as the answers come
  tidegate load --disorder 5s --late 0.02 --late-max 10m   out of order, and some of it minutes late

Request i is due at start + i/rate, whatever became of those before it, and its latency counts from then: an instance \
that stalls is charged for every request that it kept waiting. Requests that are due while all connections are busy wait, \
and their waiting counts too. Nothing is sent twice: a request without an answer may have been counted.

Equal --seed, --users, --disorder, --late and --late-max give equal events in equal order, at any rate; only their times \
are those of the run. Ends with 0 when everything that was due was acknowledged, else with 1; Ctrl-C ends the run and \
prints the report. docs/load.md says how to read it.";

/// Arguments of `load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The instance, or the whole URL of its tracking endpoint [default: that of the setting ingest.listen]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// Events a second, or `max` for as fast as the answers come
    #[arg(long, value_name = "EVENTS", default_value = "100")]
    pub rate: Rate,

    /// For how long; until Ctrl-C when it is left out
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,

    /// Requests under way at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub connections: u16,

    /// How long a request may take from when it is sent
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub timeout: Duration,

    /// Users that there are; a few of them do most of it
    #[arg(long, value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(USERS_MAX)))]
    pub users: u32,

    /// What the traffic is made from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// How far events are out of order: each happened up to so long before it is sent
    #[arg(long, value_name = "DURATION", value_parser = short)]
    pub disorder: Option<u32>,

    /// The share of events, from 0 to 1, of devices that were offline and send what they gathered all at once
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub late: f64,

    /// How long a device is offline at most
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = short)]
    pub late_max: u32,

    /// In the JSON report, say what was acknowledged by windows of this size
    #[arg(long, value_name = "DURATION", value_parser = short)]
    pub windows: Option<u32>,

    /// How the report is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

/// Arguments of `healthcheck`.
#[derive(Debug, Args)]
pub struct HealthcheckArgs {
    /// What is asked for; any answer of 200 to 299 is good [default: /v1/readyz at the setting ingest.listen]
    #[arg(value_name = "URL")]
    pub url: Option<String>,

    /// How long the answer may take
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub timeout: Duration,
}

/// A duration in milliseconds, of a day at most.
fn short(text: &str) -> Result<u32, String> {
    const DAY_MS: u32 = 86_400_000;
    let ms = duration(text)?.as_millis();
    let found = u32::try_from(ms).ok().filter(|ms| *ms <= DAY_MS);
    found.ok_or_else(|| "expected a day at most".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let found = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    found.ok_or_else(|| "expected a share from 0 to 1, such as 0.02".to_owned())
}
