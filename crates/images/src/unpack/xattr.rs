//! Which extended attributes an image may carry. Knows no I/O.

/// `VFS_CAP_REVISION_MASK` and the revisions that Linux has now (linux/capability.h).
const REVISION_MASK: u32 = 0xff00_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
const EFFECTIVE: u32 = 1;
const V2_BYTES: usize = 20;
const V3_BYTES: usize = 24;

const CAPABILITY: &[u8] = b"security.capability";

/// What to set, or `None` to leave it out.
///
/// `user.*` is the image's own, except `user.overlay.*`, which overlayfs obeys where an ordinary
/// user mounts it. Capabilities are kept in the form without a root id, so that they belong to the
/// namespace that the layer is mapped into. All else (`trusted.*`, labels, ACLs) is the host's.
pub(crate) fn kept(name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    if name == CAPABILITY {
        return capability(value);
    }
    let own = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
    (own && name.len() > b"user.".len()).then(|| value.to_vec())
}

fn capability(value: &[u8]) -> Option<Vec<u8>> {
    let magic = u32::from_le_bytes(value.first_chunk().copied()?);
    let valid = matches!(
        (magic & REVISION_MASK, value.len()),
        (REVISION_2, V2_BYTES) | (REVISION_3, V3_BYTES)
    );
    if !valid || magic & !REVISION_MASK & !EFFECTIVE != 0 {
        return None;
    }
    let mut kept = (REVISION_2 | magic & EFFECTIVE).to_le_bytes().to_vec();
    kept.extend_from_slice(&value[4..V2_BYTES]);
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capability_of(magic: u32, bytes: usize) -> Vec<u8> {
        let mut value = vec![7; bytes];
        value[..4].copy_from_slice(&magic.to_le_bytes());
        value
    }

    #[test]
    fn only_the_images_own_attributes_are_kept() {
        assert_eq!(kept(b"user.note", b"x"), Some(b"x".to_vec()));
        for name in [
            &b"trusted.overlay.opaque"[..],
            b"trusted.overlay.redirect",
            b"user.overlay.opaque",
            b"user.",
            b"security.selinux",
            b"security.ima",
            b"system.posix_acl_access",
        ] {
            assert_eq!(kept(name, b"y"), None, "{name:?}");
        }
    }

    #[test]
    fn capabilities_are_checked_and_lose_their_root_id() {
        let v2 = capability_of(REVISION_2 | 1, 20);
        assert_eq!(kept(CAPABILITY, &v2), Some(v2.clone()));
        assert_eq!(
            kept(CAPABILITY, &capability_of(REVISION_3 | 1, 24)),
            Some(v2)
        );
        for bad in [
            vec![],
            vec![1, 2, 3],
            capability_of(0x0100_0000, 12),
            capability_of(REVISION_2, 24),
            capability_of(REVISION_3, 20),
            capability_of(REVISION_2 | 2, 20),
            capability_of(0x0900_0000, 20),
        ] {
            assert_eq!(kept(CAPABILITY, &bad), None, "{bad:?}");
        }
    }
}
