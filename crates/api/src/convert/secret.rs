//! Secrets and credentials. Values only come in.

use pinfold_model::{Credential, Result, Secret, SecretValue};
use pinfold_wire as wire;

use super::quantity::time;

pub(crate) fn to_wire(secret: Secret) -> wire::Secret {
    wire::Secret {
        id: secret.id.into(),
        project_id: secret.project.into(),
        name: secret.name,
        created_at: time(secret.created_at),
        updated_at: time(secret.updated_at),
        created_by: secret.created_by.map(Into::into),
    }
}

pub(crate) fn value(request: wire::PutSecret) -> Result<SecretValue> {
    SecretValue::new(request.value)
}

pub(crate) fn credential(credential: &Credential) -> wire::Credential {
    wire::Credential {
        secret: credential.secret().to_owned(),
        host: credential.host().to_string(),
        header: credential.header().to_owned(),
        format: credential.format().to_owned(),
    }
}

pub(crate) fn bound(requests: Vec<wire::BindCredential>) -> Result<Vec<Credential>> {
    let bind = |request: wire::BindCredential| {
        let header = request.header.as_deref();
        Credential::new(request.secret, &request.host, header, request.format)
    };
    requests.into_iter().map(bind).collect()
}
