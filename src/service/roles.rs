//! The parts of the pipeline that one process runs: all of them, or one of them beside others on other machines.

/// A part of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Takes events in.
    Ingest,
    /// Turns events into rows.
    Dataflow,
    /// Puts rows into the metric store.
    Store,
    /// Puts rows into the cache that other processes answer from, where there is one.
    Cache,
    /// Answers from the cache, and puts rows into one that nobody else reaches.
    Api,
}

/// Those that a process has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Roles(&'static [Role]);

impl Roles {
    /// The whole pipeline.
    pub(crate) const ALL: Self = Self(&[Role::Ingest, Role::Dataflow, Role::Store, Role::Cache, Role::Api]);
    /// `tidegate ingest`.
    pub(crate) const INGEST: Self = Self(&[Role::Ingest]);
    /// `tidegate dataflow`.
    pub(crate) const DATAFLOW: Self = Self(&[Role::Dataflow]);
    /// `tidegate sink`.
    pub(crate) const SINK: Self = Self(&[Role::Store, Role::Cache]);
    /// `tidegate sink clickhouse`.
    pub(crate) const STORE_SINK: Self = Self(&[Role::Store]);
    /// `tidegate sink redis`.
    pub(crate) const CACHE_SINK: Self = Self(&[Role::Cache]);
    /// `tidegate cache-api`.
    pub(crate) const CACHE_API: Self = Self(&[Role::Api]);

    /// Whether a role is one of them.
    pub(crate) fn has(self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether it has one of `roles`.
    pub(crate) fn has_any(self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.has(*role))
    }
}
