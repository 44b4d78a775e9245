//! Which server is the master now, as the Sentinels have it.
//!
//! They are asked before every connection, by one thread that waits: it is seldom, and then nothing else can be
//! done. A Sentinel that was cut off may name a master of before, so every answer is worth a try.

use redis::{ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo, RedisResult};

use super::config::{HostPort, RedisConfig, Sentinels};
use super::failure::Failure;

/// The masters that they name, each once, in the order of the Sentinels.
pub(super) fn masters(sentinels: &Sentinels, config: &RedisConfig) -> Result<Vec<HostPort>, Failure> {
    let answers: Vec<_> = sentinels.addresses.iter().map(|at| (at, ask(at, sentinels, config))).collect();
    let mut masters = Vec::new();
    for named in answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()?.as_ref()) {
        if !masters.contains(named) {
            masters.push(named.clone());
        }
    }
    if masters.is_empty() { Err(nobody(&sentinels.master, &answers)) } else { Ok(masters) }
}

/// The master that one of them names; `None` when it knows none of that name.
fn ask(at: &HostPort, sentinels: &Sentinels, config: &RedisConfig) -> RedisResult<Option<HostPort>> {
    let mut settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
    if let Some(password) = &sentinels.password {
        settings = settings.set_password(password.reveal());
    }
    let address = ConnectionAddr::Tcp(at.host.clone(), at.port).into_connection_info()?;
    let client = redis::Client::open(address.set_redis_settings(settings))?;
    let mut connection = client.get_connection_with_timeout(config.connect_timeout)?;
    connection.set_read_timeout(Some(config.connect_timeout))?;
    connection.set_write_timeout(Some(config.connect_timeout))?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(&sentinels.master);
    let named: Option<(String, u16)> = command.query(&mut connection)?;
    Ok(named.map(|(host, port)| HostPort { host, port }))
}

/// Why there is no master.
fn nobody(master: &str, answers: &[(&HostPort, RedisResult<Option<HostPort>>)]) -> Failure {
    if answers.iter().any(|(_, answer)| matches!(answer, Ok(None))) {
        return Failure::Refused(format!(
            "the Sentinels know no master called {master}: correct redis.sentinel_master"
        ));
    }
    let said = answers.iter().filter_map(|(at, answer)| {
        let error = answer.as_ref().err()?;
        let remedy = match Failure::of(error) {
            Failure::Refused(said) => format!(" ({said}; the Sentinels' own is redis.sentinel_password)"),
            _ => String::new(),
        };
        Some(format!("{at}: {error}{remedy}"))
    });
    let said: Vec<_> = said.collect();
    Failure::Unreachable(format!("no Sentinel answers ({}); correct redis.sentinels", said.join(", ")))
}
