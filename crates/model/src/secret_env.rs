//! Environment variables whose values are handed to a process and recorded nowhere.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Names with values. Only the names survive the serialized form: what is read back is
/// [withheld](Self::is_withheld), and a process cannot be started with it.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct SecretEnv {
    values: BTreeMap<String, String>,
    /// Names whose values are not known any more.
    withheld: Vec<String>,
}

impl SecretEnv {
    #[must_use]
    pub const fn new(values: BTreeMap<String, String>) -> Self {
        Self {
            values,
            withheld: Vec::new(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.withheld.is_empty()
    }

    /// There were values, and they are not here.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        !self.withheld.is_empty()
    }

    #[must_use]
    pub const fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }
}

impl From<Vec<String>> for SecretEnv {
    fn from(names: Vec<String>) -> Self {
        Self {
            values: BTreeMap::new(),
            withheld: names,
        }
    }
}

impl From<SecretEnv> for Vec<String> {
    fn from(env: SecretEnv) -> Self {
        env.values.into_keys().chain(env.withheld).collect()
    }
}

impl fmt::Debug for SecretEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.values.keys().chain(&self.withheld);
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_no_text_form() {
        let env = SecretEnv::new(BTreeMap::from([("TOKEN".into(), "hunter2".into())]));
        let json = serde_json::to_string(&env).expect("plain data");
        assert_eq!(json, r#"["TOKEN"]"#);
        assert_eq!(format!("{env:?}"), r#"["TOKEN"]"#);
        let back: SecretEnv = serde_json::from_str(&json).expect("its own form");
        assert!(back.is_withheld() && back.values().is_empty() && !env.is_withheld());
        assert_eq!(serde_json::to_string(&back).expect("plain data"), json);
    }
}
