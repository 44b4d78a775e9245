//! How much is measured.

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A little data, once: for tests.
    Smoke,
    /// A tenth of the data, twice.
    Quick,
    /// All of it, several times.
    Full,
}

impl Scale {
    /// How many of the `full` number of things there are to be.
    pub fn of(self, full: usize) -> usize {
        match self {
            Self::Smoke => full / 100,
            Self::Quick => full / 10,
            Self::Full => full,
        }
    }

    /// How often everything is measured.
    pub fn rounds(self) -> usize {
        match self {
            Self::Smoke => 1,
            Self::Quick => 2,
            Self::Full => 5,
        }
    }
}
