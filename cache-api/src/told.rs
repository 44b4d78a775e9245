//! A cache whose silence is told once, and its return: every request and every reader meets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tidegate_cache::{Answer, Ask, CacheReader, ReadError};

/// A cache, and what was said last of its answers and of its changes.
#[derive(Clone, Debug)]
pub(crate) struct Told<R> {
    cache: R,
    answers: Arc<Said>,
    changes: Arc<Said>,
}

/// What was said of a cache last.
#[derive(Debug, Default)]
struct Said(AtomicU8);

/// How a cache answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Answers = 0,
    Silent = 1,
    Refuses = 2,
}

impl State {
    fn of<T>(result: &Result<T, ReadError>) -> Self {
        match result {
            Ok(_) => Self::Answers,
            Err(ReadError::Refused { .. }) => Self::Refuses,
            Err(_) => Self::Silent,
        }
    }
}

impl Said {
    /// Whether that is news.
    fn is_news(&self, state: State) -> bool {
        // A cache that answers as it did before costs no more than a look.
        let state = state as u8;
        self.0.load(Ordering::Relaxed) != state && self.0.swap(state, Ordering::Relaxed) != state
    }
}

impl<R> Told<R> {
    pub(crate) fn new(cache: R) -> Self {
        Self { cache, answers: Arc::default(), changes: Arc::default() }
    }

    fn tell<T>(&self, result: Result<T, ReadError>) -> Result<T, ReadError> {
        if self.answers.is_news(State::of(&result)) {
            match &result {
                Ok(_) => tracing::info!("the cache answers again"),
                Err(error) => tracing::warn!(%error, "readers have to wait"),
            }
        }
        result
    }
}

impl<R: CacheReader> CacheReader for Told<R> {
    type Updates = R::Updates;

    async fn read(&self, asks: &[Ask]) -> Result<Answer, ReadError> {
        self.tell(self.cache.read(asks).await)
    }

    async fn ready(&self) -> Result<bool, ReadError> {
        self.tell(self.cache.ready().await)
    }

    async fn ping(&self) -> Result<(), ReadError> {
        self.tell(self.cache.ping().await)
    }

    async fn subscribe(&self) -> Result<R::Updates, ReadError> {
        let result = self.cache.subscribe().await;
        // What has everybody wait is told as that.
        let answers = result.is_ok() || self.ping().await.is_ok();
        if answers && self.changes.is_news(State::of(&result)) {
            match &result {
                Ok(_) => tracing::info!("the cache tells its changes again"),
                Err(error) => tracing::warn!(%error, "the readers of /live have to wait"),
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_told_once() {
        let said = Said::default();
        let told = [
            State::Answers,
            State::Silent,
            State::Silent,
            State::Refuses,
            State::Refuses,
            State::Answers,
            State::Answers,
        ];
        let told: Vec<bool> = told.into_iter().map(|state| said.is_news(state)).collect();
        assert_eq!(told, [false, true, false, true, false, true, false]);
    }
}
