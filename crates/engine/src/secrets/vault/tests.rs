//! The vault over a real store: keys that fit, are missing or wrong, and what is left on the disk.

use super::*;
use pinfold_model::{SecretId, Time};

struct Place {
    temp: tempfile::TempDir,
    project: ProjectId,
    store: Store,
}

impl Place {
    async fn new() -> Self {
        let temp = tempfile::tempdir().expect("directory");
        let store = Store::open_sqlite(&temp.path().join("pinfold.db")).await;
        let store = store.expect("store");
        let home = store.projects().bootstrap(Time::UNIX_EPOCH).await;
        Self {
            project: home.expect("bootstrap").project.id,
            temp,
            store,
        }
    }

    fn file(&self) -> SecretsKey {
        SecretsKey::File(self.temp.path().join("secrets.key"))
    }

    async fn open(&self, key: &SecretsKey) -> Vault {
        let opened = Vault::open(key, self.store.clone()).await;
        opened.expect("it opens, locked or not")
    }

    fn secret(&self, name: &str) -> Secret {
        Secret {
            id: SecretId::generate(),
            project: self.project.clone(),
            name: name.into(),
            created_at: Time::UNIX_EPOCH,
            updated_at: Time::UNIX_EPOCH,
            created_by: None,
        }
    }

    async fn put(&self, vault: &Vault, secret: &Secret, text: &str) {
        let put = vault.put(secret, &value(text)).await.expect("put");
        assert!(put.is_some());
    }

    async fn value(&self, vault: &Vault, name: &str) -> Result<Option<SecretValue>> {
        vault.value(&self.project, name).await
    }
}

fn value(text: &str) -> SecretValue {
    SecretValue::new(text.to_owned()).expect("valid")
}

#[tokio::test]
async fn a_value_is_there_for_the_next_server_and_on_no_disk() {
    let place = Place::new().await;
    let secret = place.secret("TOKEN");
    let vault = place.open(&place.file()).await;
    place.put(&vault, &secret, "hunter2-hunter2").await;
    let next = place.open(&place.file()).await;
    let found = place.value(&next, "TOKEN").await.expect("open");
    assert_eq!(found, Some(value("hunter2-hunter2")));
    assert_eq!(place.value(&next, "OTHER").await.expect("open"), None);
    let elsewhere = next.value(&ProjectId::generate(), "TOKEN").await;
    assert_eq!(elsewhere.expect("open"), None);
    let mut looked_at = 0;
    for entry in std::fs::read_dir(place.temp.path()).expect("list") {
        let bytes = std::fs::read(entry.expect("entry").path()).expect("read");
        assert!(!bytes.windows(7).any(|part| part == b"hunter2"));
        looked_at += 1;
    }
    assert!(looked_at >= 3, "the database, its log, and the key");
}

#[tokio::test]
async fn a_change_takes_effect_at_once() {
    let place = Place::new().await;
    let secret = place.secret("TOKEN");
    let vault = place.open(&SecretsKey::Given(MasterKey::generate())).await;
    for text in ["one", "two"] {
        place.put(&vault, &secret, text).await;
        let found = place.value(&vault, "TOKEN").await.expect("open");
        assert_eq!(found, Some(value(text)));
    }
    let deleted = place.store.secrets().delete(&place.project, "TOKEN").await;
    deleted.expect("deleted");
    let kept = place.value(&vault, "TOKEN").await.expect("from memory");
    assert!(
        kept.is_some(),
        "what another server deletes is seen when the entry is over"
    );
    vault.forget(&place.project, "TOKEN");
    assert_eq!(place.value(&vault, "TOKEN").await.expect("open"), None);
}

#[tokio::test]
async fn a_missing_or_wrong_key_says_what_to_do_and_loses_nothing() {
    let place = Place::new().await;
    let secret = place.secret("TOKEN");
    let path = place.temp.path().join("secrets.key");
    let vault = place.open(&place.file()).await;
    place.put(&vault, &secret, "hunter2").await;
    let key = std::fs::read(&path).expect("the key");

    let cases: [(&str, Option<&[u8]>); 3] = [
        ("missing", None),
        ("another", Some(&[b'0'; 64])),
        ("cannot be used", Some(b"damaged")),
    ];
    for (word, contents) in cases {
        match contents {
            None => std::fs::remove_file(&path).expect("removed"),
            Some(contents) => std::fs::write(&path, contents).expect("written"),
        }
        let locked = place.open(&place.file()).await;
        let reading = place.value(&locked, "TOKEN").await;
        let putting = locked.put(&secret, &value("other")).await.map(|_| None);
        for refused in [reading, putting] {
            let error = refused.expect_err("locked");
            assert_eq!(error.code(), Code::SecretsLocked);
            assert!(error.message().contains(word), "{error}");
            assert!(error.message().contains("PINFOLD_SECRETS_KEY"), "{error}");
        }
        let after = std::fs::read(&path).ok();
        assert_eq!(after.as_deref(), contents, "the file is as it was");
    }
    std::fs::write(&path, key).expect("put back");
    let again = place.open(&place.file()).await;
    let found = place.value(&again, "TOKEN").await.expect("open");
    assert_eq!(found, Some(value("hunter2")));
}

#[tokio::test]
async fn with_nothing_sealed_a_new_key_is_made_or_taken() {
    let place = Place::new().await;
    let secret = place.secret("TOKEN");
    let vault = place.open(&place.file()).await;
    place.put(&vault, &secret, "v").await;
    let deleted = place.store.secrets().delete(&place.project, "TOKEN").await;
    deleted.expect("deleted");
    let given = place.open(&SecretsKey::Given(MasterKey::generate())).await;
    place.put(&given, &secret, "w").await;
    let found = place.value(&given, "TOKEN").await.expect("open");
    assert_eq!(found, Some(value("w")));
}

#[tokio::test]
async fn a_value_that_was_moved_to_another_row_is_refused() {
    let place = Place::new().await;
    let (one, two) = (place.secret("ONE"), place.secret("TWO"));
    let vault = place.open(&SecretsKey::Given(MasterKey::generate())).await;
    place.put(&vault, &one, "hunter2").await;
    let sealed = place.store.secrets().sealed(&place.project, "ONE").await;
    let (_, sealed) = sealed.expect("look").expect("there");
    let moved = place.store.secrets().put(&two, &sealed, 1000).await;
    assert!(moved.expect("put").is_some());
    let error = place.value(&vault, "TWO").await.expect_err("forged");
    assert_eq!(error.code(), Code::Internal);
}

#[tokio::test]
async fn without_a_key_nothing_is_kept() {
    let place = Place::new().await;
    let vault = place.open(&SecretsKey::Absent).await;
    let refused = vault.put(&place.secret("TOKEN"), &value("v")).await;
    assert_eq!(refused.expect_err("no key").code(), Code::SecretsLocked);
    assert_eq!(
        place.store.secrets().last_sealed().await.expect("look"),
        None
    );
}
