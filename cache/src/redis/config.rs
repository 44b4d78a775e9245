//! Where a Redis is, and the named limits of talking to it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::config::Config;

/// Where a Redis is, and the named limits of talking to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// The server, or who knows which one it is.
    pub at: RedisAt,
    /// The number of the database (`REDIS_DB`). Channels are shared by all of a server's databases.
    pub db: u16,
    /// The user, where it is not the default one.
    pub username: Option<String>,
    /// The password, where it wants one.
    pub password: Option<Password>,
    /// What every key and channel begins with. The contract's names have nothing in front; two deployments
    /// that share a server need two of these.
    pub prefix: String,
    /// How long it may take to connect.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub answer_timeout: Duration,
    /// How long an answer about closed windows is held at most, while the server says nothing new of them
    /// (`CLIENT TRACKING`): for so long one may be wrong where a connection died without a word. Zero: every answer is
    /// the server's.
    pub answers_held: Duration,
    /// A subscriber who was told nothing for so long asks whether the server is still there.
    pub silence: Duration,
    /// How often a writer tries, before it says that nobody answers.
    pub attempts_max: u32,
    /// How long the first pause between two attempts is; each further one is twice as long.
    pub pause: Duration,
    /// How long a pause is at most, also between the attempts of a subscriber, who never gives up.
    pub pause_max: Duration,
    /// The limits of the cache.
    pub limits: Config,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            at: RedisAt::Server(HostPort { host: "127.0.0.1".to_owned(), port: 6379 }),
            db: 0,
            username: None,
            password: None,
            prefix: String::new(),
            connect_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(5),
            answers_held: Duration::ZERO,
            silence: Duration::from_secs(5),
            attempts_max: 4,
            pause: Duration::from_millis(50),
            pause_max: Duration::from_secs(1),
            limits: Config::default(),
        }
    }
}

impl RedisConfig {
    /// The server as messages name it: `host:port/db`, or `name/db of the Sentinels at host:port, …`.
    pub fn address(&self) -> String {
        match &self.at {
            RedisAt::Server(server) => format!("{server}/{}", self.db),
            RedisAt::Sentinels(Sentinels { master, addresses, .. }) => {
                let addresses: Vec<_> = addresses.iter().map(HostPort::to_string).collect();
                format!("{master}/{} of the Sentinels at {}", self.db, addresses.join(", "))
            }
        }
    }

    /// The pause before attempt `attempt`; there is none before the first one, which is 0, and before the
    /// second, since a connection may have been closed long before it was used.
    pub(super) fn pause_before(&self, attempt: u32) -> Duration {
        match attempt.checked_sub(2) {
            None => Duration::ZERO,
            Some(doublings) => self.pause.saturating_mul(2_u32.saturating_pow(doublings)).min(self.pause_max),
        }
    }
}

/// Which server it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisAt {
    /// This one (`REDIS_HOST`, `REDIS_PORT`).
    Server(HostPort),
    /// The one that is the master now. They are asked before every connection.
    Sentinels(Sentinels),
}

/// Those who know which server is the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentinels {
    /// Where they are; one that answers is enough.
    pub addresses: Vec<HostPort>,
    /// What they call the master.
    pub master: String,
    /// Their password, where they want one. It is not the server's.
    pub password: Option<Password>,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A text that is no host with a port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no host:port, such as redis-1:26379")]
pub struct NoHostPort(String);

impl FromStr for HostPort {
    type Err = NoHostPort;

    fn from_str(text: &str) -> Result<Self, NoHostPort> {
        let split = || {
            let (host, port) = text.rsplit_once(':')?;
            let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let host = bracketed.or_else(|| (!host.contains(':')).then_some(host))?;
            let port = port.parse().ok().filter(|port| *port > 0)?;
            (!host.is_empty()).then(|| Self { host: host.to_owned(), port })
        };
        split().ok_or_else(|| NoHostPort(text.to_owned()))
    }
}

/// A password, which no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// That password.
    pub fn new(password: String) -> Self {
        Self(password)
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit() {
        let config = RedisConfig::default();
        let pauses = (0..10).map(|attempt| config.pause_before(attempt).as_millis());
        assert_eq!(pauses.collect::<Vec<_>>(), [0, 0, 50, 100, 200, 400, 800, 1_000, 1_000, 1_000]);
        assert_eq!(config.pause_before(u32::MAX), config.pause_max);
    }

    #[test]
    fn a_host_has_a_port() {
        for text in ["redis-1:26379", "127.0.0.1:1", "[::1]:6379"] {
            let parsed: HostPort = text.parse().expect("it is one");
            assert_eq!(parsed.to_string(), text);
        }
        for text in ["", "redis-1", ":1", "redis-1:0", "redis-1:65536", "::1:6379", "[]:1", "a:b"] {
            let error = text.parse::<HostPort>().expect_err("it is none").to_string();
            assert!(error.starts_with(&format!("{text:?} is no host:port")), "{error}");
        }
    }

    #[test]
    fn passwords_are_hidden() {
        let password = Some(Password::new("secret".to_owned()));
        let shown = format!("{:?}", RedisConfig { password, ..RedisConfig::default() });
        assert!(shown.contains("(hidden)") && !shown.contains("secret"), "{shown}");
    }
}
