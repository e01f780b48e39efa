//! Users as the sandbox's own `/etc/passwd` and `/etc/group` know them.
//!
//! Both are read anew when either has changed, by what the kernel says about it. Who may write them
//! could deceive that (through a mapping, or within one tick of the clock) and deceives only those
//! whom it names anyway.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use pinfold_proto::FailureKind;
use rustix::fs::{Mode, OFlags};

use crate::failure::{Outcome, Refusal};

/// Longest file that is looked at; a tenant may make it any size.
const FILE_MAX_BYTES: u64 = 1 << 20;
/// Most supplementary groups; more than anybody has.
const GROUPS_MAX: usize = 256;
/// Users kept, and the longest texts that one may have: a tenant writes them.
const KEPT_MAX: usize = 16;
const KEPT_TEXT_MAX_BYTES: usize = 1024;
/// A file that changed so shortly before it was read may change again without a trace: its times are
/// those of a clock that ticks.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Without `gid`.
    pub(crate) groups: Vec<u32>,
    pub(crate) name: String,
    pub(crate) home: String,
    pub(crate) shell: String,
}

/// What tells one content of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Users found, for as long as both files stay as they are.
#[derive(Debug, Default)]
pub(crate) struct Users {
    /// Of both files, as they were read.
    stamps: Option<[Stamp; 2]>,
    kept: BTreeMap<String, User>,
}

impl Users {
    /// Finds a user by `name`, `uid`, or either with `:group` behind it; empty is root. A number
    /// needs no entry.
    pub(crate) fn find(&mut self, text: &str) -> Outcome<User> {
        self.find_in(text, PASSWD, GROUP)
    }

    fn find_in(&mut self, text: &str, passwd: &str, group: &str) -> Outcome<User> {
        if self.stamps.is_some() && self.stamps == stamp(passwd).zip(stamp(group)).map(Into::into) {
            if let Some(user) = self.kept.get(text) {
                return Ok(user.clone());
            }
        } else {
            self.kept.clear();
        }
        let (passwd, group) = (read(passwd), read(group));
        let user = resolve(text, &passwd.text, || group.text.clone())?;
        self.keep(text, &user, passwd.stamp.zip(group.stamp).map(Into::into));
        Ok(user)
    }

    /// What was found in a file that could not be told from another is not kept.
    fn keep(&mut self, text: &str, user: &User, stamps: Option<[Stamp; 2]>) {
        if self.stamps != stamps || self.kept.len() >= KEPT_MAX {
            self.kept.clear();
        }
        self.stamps = stamps;
        let texts = [text, &user.name, &user.home, &user.shell];
        let fits = texts.iter().map(|text| text.len()).sum::<usize>() <= KEPT_TEXT_MAX_BYTES;
        if stamps.is_some() && fits {
            self.kept.insert(text.to_owned(), user.clone());
        }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether any change from now on shows.
    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let changed = u64::try_from(self.changed.0).unwrap_or_default();
        // Rounded down, so one second more.
        let settled = Duration::from_secs(changed + 1) + SETTLED_AFTER;
        now.is_ok_and(|now| now >= settled)
    }
}

fn stamp(path: &str) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    metadata.is_file().then(|| Stamp::of(&metadata))
}

fn resolve(text: &str, passwd: &str, group: impl Fn() -> String) -> Outcome<User> {
    let (name, wanted_group) = match text.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (text, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let mut user = match name.parse::<u32>() {
        Ok(uid) => by_uid(passwd, uid)?,
        Err(_) => by_name(passwd, name)?,
    };
    let group = group();
    match wanted_group {
        Some(wanted) => {
            user.gid = find_group(&group, wanted)?;
        }
        None => user.groups = supplementary(&group, &user),
    }
    Ok(user)
}

fn by_uid(passwd: &str, uid: u32) -> Outcome<User> {
    if uid == u32::MAX {
        return Err(Refusal::invalid("no user has this number"));
    }
    let found = passwd
        .lines()
        .filter_map(entry)
        .find(|user| user.uid == uid);
    Ok(found.unwrap_or_else(|| User {
        uid,
        gid: if uid == 0 { 0 } else { uid },
        groups: Vec::new(),
        name: if uid == 0 {
            "root".into()
        } else {
            uid.to_string()
        },
        home: if uid == 0 { "/root".into() } else { "/".into() },
        shell: "/bin/sh".into(),
    }))
}

fn by_name(passwd: &str, name: &str) -> Outcome<User> {
    let found = passwd
        .lines()
        .filter_map(entry)
        .find(|user| user.name == name);
    match found {
        Some(user) => Ok(user),
        None if name == "root" => by_uid(passwd, 0),
        None => {
            let message = format!("no user {name:?} in this sandbox");
            Err(Refusal::new(FailureKind::NoSuchUser, message))
        }
    }
}

/// `name:password:uid:gid:comment:home:shell`
fn entry(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let (_password, uid, gid) = (fields.next()?, fields.next()?, fields.next()?);
    let _comment = fields.next()?;
    let home = fields.next()?;
    let shell = fields.next().unwrap_or_default();
    Some(User {
        uid: uid.parse().ok().filter(|uid| *uid != u32::MAX)?,
        gid: gid.parse().ok().filter(|gid| *gid != u32::MAX)?,
        groups: Vec::new(),
        name,
        home: if home.is_empty() {
            "/".into()
        } else {
            home.into()
        },
        shell: if shell.is_empty() {
            "/bin/sh".into()
        } else {
            shell.into()
        },
    })
}

fn find_group(group: &str, wanted: &str) -> Outcome<u32> {
    if let Ok(gid) = wanted.parse::<u32>() {
        return if gid == u32::MAX {
            Err(Refusal::invalid("no group has this number"))
        } else {
            Ok(gid)
        };
    }
    group
        .lines()
        .filter_map(group_entry)
        .find(|(name, ..)| *name == wanted)
        .map(|(_, gid, _)| gid)
        .ok_or_else(|| {
            let message = format!("no group {wanted:?} in this sandbox");
            Refusal::new(FailureKind::NoSuchUser, message)
        })
}

fn supplementary(group: &str, user: &User) -> Vec<u32> {
    group
        .lines()
        .filter_map(group_entry)
        .filter(|(_, gid, members)| {
            *gid != user.gid && members.split(',').any(|member| member == user.name)
        })
        .map(|(_, gid, _)| gid)
        .take(GROUPS_MAX)
        .collect()
}

/// `name:password:gid:member,member`
fn group_entry(line: &str) -> Option<(&str, u32, &str)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let _password = fields.next()?;
    let gid = fields.next()?.parse().ok().filter(|gid| *gid != u32::MAX)?;
    Some((name, gid, fields.next().unwrap_or_default()))
}

/// What a file says; nothing where it cannot be read.
#[derive(Default)]
struct Content {
    text: String,
    /// As it was before it was read; `None` where it does not tell this content from another.
    stamp: Option<Stamp>,
}

/// A file of the tenant's, which may be anything: neither a pipe nor a lease may block PID 1.
fn read(path: &str) -> Content {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let Ok(fd) = rustix::fs::open(path, flags, Mode::empty()) else {
        return Content::default();
    };
    let file = File::from(fd);
    let Ok(metadata) = file.metadata() else {
        return Content::default();
    };
    // One byte more than there is shows the end without another read.
    let size = metadata.len().min(FILE_MAX_BYTES) as usize + 1;
    let mut bytes = Vec::with_capacity(size);
    if !metadata.is_file() || file.take(FILE_MAX_BYTES).read_to_end(&mut bytes).is_err() {
        return Content::default();
    }
    let stamp = Stamp::of(&metadata);
    Content {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        stamp: stamp.is_settled().then_some(stamp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbad line\nx:x:nan:0::/:\n\
                          bob:x:1000:1001:Bob,,,:/home/bob:/bin/zsh\nnohome:x:7:7:::\n";
    const GROUP: &str = "root:x:0:\nbob:x:1001:bob\nwheel:x:10:alice,bob\nvideo:x:44:bob\n";

    fn user(text: &str) -> Outcome<User> {
        resolve(text, PASSWD, || GROUP.to_owned())
    }

    /// Changed long ago, which only the kernel can say of a file of ours.
    fn settled(users: &mut Users, text: &str, passwd: &str, group: &str) -> Outcome<User> {
        let found = users.find_in(text, passwd, group);
        if let Ok(user) = &found {
            let stamps = stamp(passwd).zip(stamp(group)).map(Into::into);
            users.keep(text, user, stamps);
        }
        found
    }

    #[test]
    fn users_are_kept_until_a_file_changes_in_any_way() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let at = |name: &str| format!("{}/{name}", directory.path().display());
        let (passwd, group) = (at("passwd"), at("group"));
        std::fs::write(&passwd, PASSWD).expect("passwd");
        std::fs::write(&group, GROUP).expect("group");
        let mut users = Users::default();
        let bob = users.find_in("bob", &passwd, &group).expect("bob");
        assert!(users.kept.is_empty(), "it may still change within a tick");
        settled(&mut users, "bob", &passwd, &group).expect("bob");
        assert_eq!(users.kept.get("bob"), Some(&bob));
        users.kept.get_mut("bob").expect("kept").home = "/kept".into();
        let found = users.find_in("bob", &passwd, &group).expect("bob");
        assert_eq!(found.home, "/kept", "not read again");

        // Another file of the same length in its place.
        let other = PASSWD.replace("bob:x:1000", "bob:x:1007");
        std::fs::write(at("other"), &other).expect("other");
        std::fs::rename(at("other"), &passwd).expect("rename");
        let found = users.find_in("bob", &passwd, &group).expect("bob");
        assert_eq!((found.uid, found.home.as_str()), (1007, "/home/bob"));
        settled(&mut users, "bob", &passwd, &group).expect("bob");
        std::fs::write(&group, "disc:x:9:bob\n").expect("group");
        let found = users.find_in("bob", &passwd, &group).expect("bob");
        assert_eq!(found.groups, [9]);
        settled(&mut users, "bob", &passwd, &group).expect("bob");
        std::fs::remove_file(&passwd).expect("remove");
        let gone = users.find_in("bob", &passwd, &group).expect_err("gone");
        assert_eq!(gone.kind, FailureKind::NoSuchUser);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut users = Users::default();
        let stamps = stamp("/proc/self/exe").map(|stamp| [stamp; 2]);
        assert!(stamps.is_some());
        let found = user("bob").expect("bob");
        for number in 0..100 {
            users.keep(&number.to_string(), &found, stamps);
        }
        assert!(users.kept.len() <= KEPT_MAX);
        users.kept.clear();
        users.keep(&"x".repeat(KEPT_TEXT_MAX_BYTES), &found, stamps);
        assert!(users.kept.is_empty());
    }

    #[test]
    fn names_and_numbers_find_the_same_user_with_its_groups() {
        let bob = user("bob").expect("bob");
        assert_eq!((bob.uid, bob.gid), (1000, 1001));
        assert_eq!(bob.groups, [10, 44]);
        assert_eq!(
            (bob.home.as_str(), bob.shell.as_str()),
            ("/home/bob", "/bin/zsh")
        );
        assert_eq!(user("1000"), Ok(bob));
    }

    #[test]
    fn nobody_named_is_root_also_without_any_passwd() {
        assert_eq!(user("").expect("root").home, "/root");
        let bare = resolve("", "", String::new).expect("root");
        assert_eq!((bare.uid, bare.gid, bare.home.as_str()), (0, 0, "/root"));
        assert_eq!(resolve("root", "", String::new), Ok(bare));
    }

    #[test]
    fn a_number_needs_no_entry_and_a_group_can_be_chosen() {
        let stranger = user("4242").expect("stranger");
        assert_eq!(
            (stranger.uid, stranger.gid, stranger.home.as_str()),
            (4242, 4242, "/")
        );
        assert_eq!(
            user("bob:wheel").map(|u| (u.gid, u.groups)),
            Ok((10, vec![]))
        );
        assert_eq!(user("5:6").map(|u| (u.uid, u.gid)), Ok((5, 6)));
    }

    #[test]
    fn unknown_names_and_impossible_numbers_are_refused() {
        assert_eq!(user("eve").expect_err("eve").kind, FailureKind::NoSuchUser);
        assert_eq!(
            user("bob:eve").expect_err("eve").kind,
            FailureKind::NoSuchUser
        );
        assert_eq!(
            user("4294967295").expect_err("-1").kind,
            FailureKind::Invalid
        );
        assert_eq!(
            user("0:4294967295").expect_err("-1").kind,
            FailureKind::Invalid
        );
        assert_eq!(user("nohome").expect("nohome").home, "/");
    }
}
