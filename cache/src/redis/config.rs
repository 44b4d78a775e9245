//! Where a Redis is, and the named limits of talking to it.

use std::fmt;
use std::time::Duration;

use crate::config::Config;

/// Where a Redis is, and the named limits of talking to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// Its host (`REDIS_HOST`).
    pub host: String,
    /// Its port (`REDIS_PORT`).
    pub port: u16,
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
            host: "127.0.0.1".to_owned(),
            port: 6379,
            db: 0,
            username: None,
            password: None,
            prefix: String::new(),
            connect_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(5),
            attempts_max: 4,
            pause: Duration::from_millis(50),
            pause_max: Duration::from_secs(1),
            limits: Config::default(),
        }
    }
}

impl RedisConfig {
    /// The server as messages name it: `host:port/db`.
    pub fn address(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.db)
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
    fn passwords_are_hidden() {
        let password = Some(Password::new("secret".to_owned()));
        let shown = format!("{:?}", RedisConfig { password, ..RedisConfig::default() });
        assert!(shown.contains("(hidden)") && !shown.contains("secret"), "{shown}");
    }
}
