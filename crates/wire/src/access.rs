//! Projects, keys and who the caller is.

use serde::{Deserialize, Serialize};

use crate::word::words;

words! {
    /// What a key may do.
    Role {
        /// Uses sandboxes, files, images and templates of its project.
        Member = "member",
        /// Also manages projects, keys, quotas and shared images and templates of its org.
        Admin = "admin",
    }
}

words! {
    /// Who holds a key.
    KeyKind {
        User = "user",
        Agent = "agent",
        /// A person's own token for scripts.
        Pat = "pat",
    }
}

/// What the live sandboxes of one project, and its objects, or the live sandboxes that one key made,
/// may hold together; `null` is no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Quota {
    pub live_sandboxes: Option<u32>,
    pub vcpu: Option<f64>,
    pub memory_mib: Option<u64>,
    /// The content of all objects.
    pub object_bytes: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Project {
    pub id: String,
    pub org_id: String,
    pub name: String,
    pub quota: Quota,
    pub created_at: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// 1 to 100 printable characters.
    pub name: String,
    /// The server's default when absent.
    #[serde(default, skip_serializing_if = "QuotaChange::is_empty")]
    pub quota: QuotaChange,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateProject {
    #[serde(default, skip_serializing_if = "QuotaChange::is_empty")]
    pub quota: QuotaChange,
}

/// Bounds to change: an absent field keeps its bound, `null` removes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct QuotaChange {
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u32>))]
    pub live_sandboxes: Option<Option<u32>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub vcpu: Option<Option<f64>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    pub memory_mib: Option<Option<u64>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    pub object_bytes: Option<Option<u64>>,
}

impl QuotaChange {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Tells a field that is `null` from one that is absent.
fn present<'de, T, D>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Option::<T>::deserialize(from).map(Some)
}

/// A key as it may be shown; its secret is not kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Key {
    pub id: String,
    pub org_id: String,
    pub project_id: String,
    pub name: String,
    pub kind: KeyKind,
    pub role: Role,
    /// What it is confined to, such as `sandboxes:write`; `null` is nothing.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// The first characters of the secret, for recognising it.
    pub prefix: String,
    /// Bounds what the key makes, beside its project's quota.
    #[serde(default)]
    pub quota: Quota,
    pub created_at: String,
    pub expires_at: Option<String>,
    pub revoked_at: Option<String>,
    pub last_used_at: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// 1 to 100 printable characters.
    pub name: String,
    pub role: Role,
    /// `user` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<KeyKind>,
    /// The caller's own project when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// What it is confined to: `RESOURCE:read` or `RESOURCE:write` (which includes reading), where
    /// `RESOURCE` is `sandboxes`, `images`, `snapshots`, `objects`, `secrets`, `network_policies`,
    /// `axons` or `account`.
    /// Nothing when absent. A key with scopes makes none that is wider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// From now; when absent it lives as long as the key that makes it, and never longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// Bounds what the key makes, beside its project's quota; none when absent.
    #[serde(default, skip_serializing_if = "QuotaChange::is_empty")]
    pub quota: QuotaChange,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateKey {
    #[serde(default, skip_serializing_if = "QuotaChange::is_empty")]
    pub quota: QuotaChange,
}

/// A new key, with its secret for the first and last time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedKey {
    pub key: Key,
    pub secret: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct ListKeys {
    /// Items at most: 1 to 500, 50 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 500))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The caller, as its key says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhoAmI {
    pub org_id: String,
    /// Where new things belong.
    pub project_id: String,
    pub role: Role,
    /// What the key is confined to; `null` is nothing.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    pub key_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_change_tells_null_from_absent() {
        let change: QuotaChange = serde_json::from_str(r#"{"vcpu":null}"#).expect("valid");
        assert_eq!(change.vcpu, Some(None));
        assert_eq!(change.memory_mib, None);
        assert_eq!(
            serde_json::to_string(&change).expect("plain"),
            r#"{"vcpu":null}"#
        );
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let error = serde_json::from_str::<CreateProject>(r#"{"name":"a","nam":1}"#)
            .expect_err("unknown field");
        assert!(error.to_string().contains("nam"), "{error}");
    }
}
