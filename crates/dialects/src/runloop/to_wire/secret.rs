//! Secrets.

use pinfold_model::Secret;

use super::time;
use crate::runloop::wire;

pub(in crate::runloop) fn secret(secret: Secret) -> wire::Secret {
    wire::Secret {
        id: secret.id.into(),
        name: secret.name,
        create_time_ms: time(secret.created_at),
        update_time_ms: time(secret.updated_at),
    }
}
