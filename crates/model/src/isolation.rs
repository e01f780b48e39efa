//! The isolation level is a fact the caller can read.

/// What stands between a sandbox and its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    pub level: Level,
    /// Mechanisms in force, such as `user_namespace`, `seccomp`, `cgroup_memory`.
    pub enforced: Vec<&'static str>,
    /// What this host or user cannot provide, in words, each with the reason.
    pub weaker: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Linux namespaces, cgroups and seccomp; the host's kernel is shared.
    Namespace,
}

impl Level {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
        }
    }
}
