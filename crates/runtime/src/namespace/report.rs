//! What this host and user let the driver enforce, and what they do not.

use pinfold_model::Isolation;
use pinfold_model::isolation::Level;

use super::Inner;

impl Inner {
    pub(super) fn isolation(&self) -> Isolation {
        let (mut enforced, mut weaker) = self.cgroups.report();
        enforced.extend([
            "user_namespace",
            "mount_namespace",
            "pid_namespace",
            "ipc_namespace",
        ]);
        enforced.extend(["uts_namespace", "network_namespace", "cgroup_namespace"]);
        enforced.extend([
            "seccomp",
            "no_new_privs",
            "bounded_capabilities",
            "masked_proc",
        ]);
        enforced.push("disk_bound");
        if self.rootless {
            weaker.push(
                "all sandboxes run with this user's one id: run as root for a range of ids each"
                    .to_owned(),
            );
            weaker.push(
                "no layer ids are mapped: every file of an image belongs to root inside".to_owned(),
            );
        } else {
            enforced.extend(["id_range_per_sandbox", "idmapped_layers"]);
        }
        weaker.extend(self.disks.weaker());
        Isolation {
            level: Level::Namespace,
            enforced,
            weaker,
        }
    }
}
