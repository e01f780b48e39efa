//! The real guest as PID 1 of a small sandbox made with `unshare`, spoken to through the real link.

mod guest {
    pub(crate) mod sandbox;

    mod archives;
    mod commands;
    mod dial;
    mod files;
    mod gates;
    mod links;
    mod terminals;
    mod transfers;
    mod trees;
    mod watches;
}
