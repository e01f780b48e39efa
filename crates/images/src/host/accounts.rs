//! `/etc/passwd` and `/etc/group` with the system's accounts only: who else uses this machine is
//! no business of a sandbox. Pure.

use std::collections::HashSet;

/// Ids from here on belong to people (login.defs(5), `UID_MIN`).
const FIRST_PERSON: u32 = 1000;
/// `nobody` and `nogroup`.
const NOBODY: u32 = 65_534;

/// The system's accounts of a passwd(5), passwords (where there still are any) taken out.
pub(super) fn passwd(text: &str) -> String {
    text.lines().filter_map(system_account).collect()
}

/// The system's groups of a group(5), with only those members that `passwd` kept.
pub(super) fn group(text: &str, passwd: &str) -> String {
    let kept: HashSet<&str> = passwd.lines().filter_map(|l| l.split(':').next()).collect();
    text.lines()
        .filter_map(|line| system_group(line, &kept))
        .collect()
}

fn system_account(line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, about, home, shell] = fields[..] else {
        return None;
    };
    is_system(uid).then(|| format!("{name}:x:{uid}:{gid}:{about}:{home}:{shell}\n"))
}

fn system_group(line: &str, kept: &HashSet<&str>) -> Option<String> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, gid, members] = fields[..] else {
        return None;
    };
    let members: Vec<&str> = members.split(',').filter(|m| kept.contains(m)).collect();
    is_system(gid).then(|| format!("{name}:x:{gid}:{}\n", members.join(",")))
}

fn is_system(id: &str) -> bool {
    id.parse::<u32>()
        .is_ok_and(|id| id < FIRST_PERSON || id == NOBODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_passwords_and_their_memberships_stay_out() {
        let people = "root:$6$hash:0:0:root:/root:/bin/bash\n\
                      daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
                      alice:x:1000:1000:Alice:/home/alice:/bin/bash\n\
                      +@ldap::::::\n\
                      broken\n\
                      nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
        let kept = passwd(people);
        assert_eq!(
            kept,
            "root:x:0:0:root:/root:/bin/bash\n\
             daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
             nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        );
        let groups = "root:x:0:\nsudo:x:27:alice,daemon\nalice:x:1000:\nnogroup:x:65534:\n";
        assert_eq!(
            group(groups, &kept),
            "root:x:0:\nsudo:x:27:daemon\nnogroup:x:65534:\n"
        );
    }
}
