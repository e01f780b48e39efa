//! Who calls, on whose behalf, and how much they may use.

use crate::Time;
use crate::error::{Code, Error, Result};
use crate::id::{KeyId, OrgId, ProjectId, RequestId};
use crate::limits;
use crate::scope::{Level, Resource, Scope, Scopes};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Org {
    pub id: OrgId,
    pub name: String,
    pub created_at: Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    pub id: ProjectId,
    pub org: OrgId,
    pub name: String,
    pub quota: Quota,
    pub created_at: Time,
}

/// What the live sandboxes of one project, and its objects, or the live sandboxes that one key made,
/// may hold together. `None` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Quota {
    pub live_sandboxes: Option<u32>,
    pub vcpu_millis: Option<u64>,
    pub memory_mib: Option<u64>,
    /// The content of all objects, each counted by itself also where two have the same.
    pub object_bytes: Option<u64>,
}

impl Quota {
    pub const UNBOUNDED: Self = Self {
        live_sandboxes: None,
        vcpu_millis: None,
        memory_mib: None,
        object_bytes: None,
    };
}

/// What a project has where nobody says otherwise; a key has [`Quota::UNBOUNDED`].
impl Default for Quota {
    fn default() -> Self {
        Self {
            live_sandboxes: Some(1000),
            vcpu_millis: None,
            memory_mib: None,
            object_bytes: Some(limits::OBJECT_QUOTA_DEFAULT_BYTES),
        }
    }
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Uses sandboxes, files, images and templates of its project.
    Member,
    /// Also manages projects, keys, quotas and shared images and templates of its org.
    Admin,
}

impl Role {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "member" => Ok(Self::Member),
            "admin" => Ok(Self::Admin),
            _ => Err(Error::invalid(
                "role",
                "role must be \"admin\" or \"member\"",
            )),
        }
    }
}

/// Who holds a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    User,
    Agent,
    /// A person's own token for scripts.
    Pat,
}

impl KeyKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
            Self::Pat => "pat",
        }
    }
}

impl std::str::FromStr for KeyKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "user" => Ok(Self::User),
            "agent" => Ok(Self::Agent),
            "pat" => Ok(Self::Pat),
            _ => Err(Error::invalid(
                "kind",
                "kind must be \"user\", \"agent\" or \"pat\"",
            )),
        }
    }
}

/// A key as it may be shown: never its secret, which is stored only as a keyed hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub id: KeyId,
    pub org: OrgId,
    pub project: ProjectId,
    pub name: String,
    pub kind: KeyKind,
    pub role: Role,
    /// What it is confined to beside that.
    pub scopes: Scopes,
    /// The first characters of the secret, for recognising it.
    pub prefix: String,
    /// Its last characters; empty where they are not known.
    pub suffix: String,
    /// Beside its project's.
    pub quota: Quota,
    pub created_at: Time,
    pub expires_at: Option<Time>,
    pub revoked_at: Option<Time>,
    pub last_used_at: Option<Time>,
}

/// Who is calling, as authentication found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub org: OrgId,
    /// The project that new things belong to.
    pub project: ProjectId,
    pub role: Role,
    pub scopes: Scopes,
    /// `None`: the process itself (embedded use, reconcilers).
    pub key: Option<KeyId>,
}

/// What every use case takes: who, and for which request.
#[derive(Debug, Clone)]
pub struct Ctx {
    pub principal: Principal,
    pub request: RequestId,
}

impl Ctx {
    #[must_use]
    pub fn new(principal: Principal) -> Self {
        Self {
            principal,
            request: RequestId::generate(),
        }
    }

    pub fn require_admin(&self) -> Result<()> {
        if self.principal.role == Role::Admin {
            return Ok(());
        }
        Err(Error::new(
            Code::PermissionDenied,
            "this needs a key with the role admin",
        ))
    }

    /// That the caller's key is not confined to other things.
    pub fn require(&self, resource: Resource, level: Level) -> Result<()> {
        if self.principal.scopes.allow(resource, level) {
            return Ok(());
        }
        let scope = Scope { resource, level };
        Err(Error::new(
            Code::PermissionDenied,
            format!("this needs a key with the scope {scope}"),
        ))
    }

    /// Things of another project do not exist for this caller; an admin sees its whole org, which
    /// the store decides.
    #[must_use]
    pub fn owns(&self, project: &ProjectId) -> bool {
        self.principal.project == *project
    }
}
