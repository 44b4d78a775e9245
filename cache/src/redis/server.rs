//! Whether a server can be a cache, by what it says of itself.

use super::failure::Failure;

/// The oldest version that has what is needed: functions.
const VERSION_MIN: u32 = 7;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// It changes something.
    pub(super) writes: bool,
    /// The server was named by Sentinels, which are asked again after a failure.
    pub(super) by_sentinels: bool,
}

/// The command that has it say that.
pub(super) fn info() -> redis::Cmd {
    redis::cmd("INFO")
}

/// Whether the server can be used.
///
/// # Errors
/// What it is instead, and what to do about it.
pub(super) fn judge(info: &str, wanted: Wanted) -> Result<(), Failure> {
    let of = |name: &str| info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'));
    if of("cluster_enabled") == Some("1") {
        return Err(Failure::Unfit(
            "it is a node of a Redis Cluster, where a change cannot be made whole or not at all; \
             use a Redis with cluster-enabled no (replicas and Sentinels are fine)"
                .to_owned(),
        ));
    }
    if let Some(version) = of("redis_version") {
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_some_and(|major| major < VERSION_MIN) {
            return Err(Failure::Unfit(format!("it is Redis {version}; 7.0 or a later version is needed")));
        }
    }
    if wanted.writes
        && of("maxmemory").is_some_and(|bytes| bytes != "0")
        && let Some(policy) = of("maxmemory_policy").filter(|policy| policy.starts_with("allkeys"))
    {
        return Err(Failure::Refused(format!(
            "it may let go of any key when its memory is full (maxmemory-policy {policy}), and windows would be \
             lost without a word: set maxmemory-policy noeviction"
        )));
    }
    match of("role") {
        Some("master") | None => Ok(()),
        Some(_) if wanted.by_sentinels => {
            Err(Failure::Unreachable("the Sentinels name a server that is no master yet".to_owned()))
        }
        Some(_) if wanted.writes => Err(Failure::Refused(
            "it is a replica: name the master, or the Sentinels that know it (redis.sentinels)".to_owned(),
        )),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(info: &str, writes: bool, by_sentinels: bool) -> Result<(), Failure> {
        judge(&info.replace(' ', "\r\n"), Wanted { writes, by_sentinels })
    }

    #[test]
    fn a_server_is_judged_by_its_kind_its_version_and_its_role() {
        for fine in
            ["redis_version:7.0.15 role:master cluster_enabled:0", "redis_version:8.2.1 role:master", ""]
        {
            assert_eq!(said(fine, true, true), Ok(()), "{fine}");
        }
        let replica = "redis_version:7.2.0 role:slave cluster_enabled:0";
        assert_eq!(said(replica, false, false), Ok(()), "it may be read");
        assert!(matches!(said(replica, true, false), Err(Failure::Refused(_))));
        assert!(matches!(said(replica, false, true), Err(Failure::Unreachable(_))), "it may become one");
        let evicting = "role:master maxmemory:1000 maxmemory_policy:allkeys-lru";
        assert!(matches!(said(evicting, true, false), Err(Failure::Refused(_))));
        assert_eq!(said(evicting, false, false), Ok(()));
        for fine in ["maxmemory:0 maxmemory_policy:allkeys-lru", "maxmemory:9 maxmemory_policy:volatile-ttl"]
        {
            assert_eq!(said(fine, true, false), Ok(()), "{fine}");
        }
        for unfit in ["redis_version:6.2.14 role:master", "redis_version:7.0.1 cluster_enabled:1"] {
            assert!(matches!(said(unfit, false, false), Err(Failure::Unfit(_))), "{unfit}");
        }
    }
}
