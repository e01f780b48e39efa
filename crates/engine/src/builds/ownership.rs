//! `--chown`: from names to numbers, by the accounts of the sandbox that is copied into.

use pinfold_images::Owner as Ids;
use pinfold_model::build::{BuildFailure, BuildFault};
use pinfold_runtime::guest::FilePath;
use tokio::io::AsyncReadExt;

use crate::live::Lease;

/// Bytes of /etc/passwd and /etc/group that are looked at.
const ACCOUNTS_MAX_BYTES: u64 = 4 << 20;

/// `USER[:GROUP]`; a user without a group has its own.
pub(super) async fn ids(lease: &Lease, text: &str) -> Result<Ids, BuildFailure> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let passwd = match is_number(user) {
        true => String::new(),
        false => accounts(lease, "/etc/passwd").await,
    };
    let groups = match group {
        Some(group) if !is_number(group) => accounts(lease, "/etc/group").await,
        _ => String::new(),
    };
    let unknown = |name: &str| {
        let text = format!("--chown={text}: the image has no {name:?}");
        BuildFailure::new(BuildFault::StepFailed, text)
    };
    let (uid, own_gid) = user_ids(&passwd, user).ok_or_else(|| unknown(user))?;
    let gid = match group {
        None => own_gid,
        Some(group) => group_id(&groups, group).ok_or_else(|| unknown(group))?,
    };
    Ok(Ids { uid, gid })
}

/// An image without the file has nobody but numbers, and root.
async fn accounts(lease: &Lease, path: &str) -> String {
    let at = FilePath::new(path);
    let Ok((_, transfer)) = lease.guest().read(&at, 0, Some(ACCOUNTS_MAX_BYTES)).await else {
        return String::new();
    };
    let mut text = Vec::new();
    let _ = transfer
        .take(ACCOUNTS_MAX_BYTES)
        .read_to_end(&mut text)
        .await;
    String::from_utf8_lossy(&text).into_owned()
}

fn is_number(text: &str) -> bool {
    text.parse::<u32>().is_ok()
}

fn user_ids(passwd: &str, user: &str) -> Option<(u32, u32)> {
    if let Ok(uid) = user.parse() {
        return Some((uid, uid));
    }
    let mut lines = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let found = lines.find(|fields| fields.first() == Some(&user));
    match found {
        Some(fields) => Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)),
        None => (user == "root").then_some((0, 0)),
    }
}

fn group_id(groups: &str, group: &str) -> Option<u32> {
    if let Ok(gid) = group.parse() {
        return Some(gid);
    }
    let mut lines = groups
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let found = lines.find(|fields| fields.first() == Some(&group));
    match found {
        Some(fields) => fields.get(2)?.parse().ok(),
        None => (group == "root").then_some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::{group_id, user_ids};

    #[test]
    fn accounts_are_found_by_name_and_numbers_need_none() {
        let passwd = "root:x:0:0::/:/bin/sh\napp:x:10:20::/:/bin/sh\nbroken:x\n";
        assert_eq!(user_ids(passwd, "app"), Some((10, 20)));
        assert_eq!(user_ids("", "7"), Some((7, 7)));
        assert_eq!(user_ids("", "root"), Some((0, 0)));
        assert_eq!(user_ids(passwd, "broken"), None);
        assert_eq!(user_ids(passwd, "nobody"), None);
        assert_eq!(group_id("g:x:5:\n", "g"), Some(5));
        assert_eq!(group_id("", "9"), Some(9));
        assert_eq!(group_id("", "g"), None);
    }
}
