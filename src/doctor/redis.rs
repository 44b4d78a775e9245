//! Redis: the server, whether it can hold a cache, its clock, and what its user may do.

use tidegate_cache::redis::{Inspection, RedisConfig, inspect};
use tidegate_model::EventTime;

use super::deployment::SKEW_MAX_MS;
use super::finding::{Finding, State};
use crate::config::show_span;

const PART: &str = "redis";

/// Looks at the server, and judges what it is.
pub(super) fn examine(server: &RedisConfig, now: impl Fn() -> EventTime) -> Vec<Finding> {
    match inspect(server, now) {
        Ok(looked) => judge(&looked),
        Err(error) => {
            vec![
                Finding::new(PART, server.address(), State::Away, "it cannot be looked at")
                    .with_remedy(error),
            ]
        }
    }
}

fn judge(looked: &Inspection) -> Vec<Finding> {
    let server = Finding::ok(PART, looked.address.clone(), format!("version {}", looked.version));
    let mut findings = vec![match &looked.unfit {
        None => server,
        Some(reason) => Finding { state: State::Wrong, ..server }.with_remedy(reason),
    }];
    findings.push(if looked.skew_ms.abs() <= SKEW_MAX_MS {
        Finding::ok(PART, "clock", "as this machine's")
    } else {
        let direction = if looked.skew_ms > 0 { "ahead" } else { "behind" };
        let found = format!("{} {direction}", show_span(looked.skew_ms.abs()));
        Finding::new(PART, "clock", State::Warning, found).with_remedy(
            "synchronise the clocks (NTP): windows go after cache.hash_ttl by the server's clock",
        )
    });
    findings.push(match &looked.missing_rights {
        None => Finding::ok(PART, "rights", "the user may not ask for them (ACL DRYRUN)"),
        Some(missing) if missing.is_empty() => Finding::ok(PART, "rights", "all that a sink needs"),
        Some(missing) => Finding::new(PART, "rights", State::Wrong, missing.join("; "))
            .with_remedy("docs/cache-api.md, In Redis, has the ACL SETUSER commands of a sink and of an API"),
    });
    findings.push(match looked.partitions {
        None => Finding::ok(PART, "cache", "empty: the sink fills it from the topics"),
        Some(partitions) => Finding::ok(PART, "cache", format!("rows of {partitions} partitions are in")),
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_no_sink_can_write_is_wrong_and_says_why() {
        let fine = Inspection {
            address: "r:6379/0".to_owned(),
            version: "7.0.15".to_owned(),
            unfit: None,
            skew_ms: 0,
            missing_rights: Some(Vec::new()),
            partitions: None,
        };
        let states = |looked: &Inspection| judge(looked).iter().map(|it| it.state).collect::<Vec<_>>();
        assert_eq!(states(&fine), [State::Ok; 4]);
        let replica = Inspection { unfit: Some("it is a replica".to_owned()), ..fine.clone() };
        assert_eq!(states(&replica)[0], State::Wrong);
        let late = Inspection { skew_ms: -5_000, ..fine.clone() };
        assert_eq!(judge(&late)[1].found, "5s behind");
        let poor = Inspection { missing_rights: Some(vec!["no FCALL".to_owned()]), ..fine };
        assert_eq!(states(&poor)[2], State::Wrong);
    }
}
