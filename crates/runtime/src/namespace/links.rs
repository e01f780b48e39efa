//! Network links by name, in the calling thread's network namespace.

use std::io;

use futures::TryStreamExt;
use rtnetlink::{Handle, LinkUnspec};

/// What a sandbox's link to the outside is called in there.
pub(super) const INSIDE: &str = "eth0";

pub(super) async fn index_of(handle: &Handle, name: &str) -> io::Result<Option<u32>> {
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    match links.try_next().await {
        Ok(link) => Ok(link.map(|link| link.header.index)),
        Err(rtnetlink::Error::NetlinkError(message))
            if message.raw_code() == -rustix::io::Errno::NODEV.raw_os_error() =>
        {
            Ok(None)
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Sets a link up that has to be there; its index.
pub(super) async fn up(handle: &Handle, name: &str) -> io::Result<u32> {
    let index = index_of(handle, name)
        .await?
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no link {name}")))?;
    let link = LinkUnspec::new_with_index(index).up().build();
    let set = handle.link().set(link).execute().await;
    set.map_err(io::Error::other)?;
    Ok(index)
}
