//! What sandboxes that do nothing hold, as the kernel divides it among them.

use anyhow::Result;

use crate::machine;
use crate::pinfold::{Disks, Pinfold};
use crate::stats::{Figure, Series, Unit};

/// So many share the pages of the guest's program.
const SANDBOXES: usize = 30;

pub(crate) async fn measure() -> Result<Vec<Figure>> {
    let place = tempfile::tempdir()?;
    let pinfold = Pinfold::open(place.path(), Disks::Memory).await?;
    let mut ids = Vec::new();
    for _ in 0..SANDBOXES {
        ids.push(pinfold.create().await?);
    }
    let mut guest = Series::new("pinfold, the guest's proportional share", "engine");
    let mut whole = Series::new("pinfold, as its cgroup counts it", "engine");
    for id in &ids {
        guest.push(machine::proportional_mib(machine::guest_of(id.as_str())?)?);
        whole.push(pinfold.memory_bytes(id).await? as f64 / f64::from(1 << 20));
    }
    for id in &ids {
        pinfold.destroy(id).await?;
    }
    pinfold.close().await;
    let title = "memory of an idle sandbox";
    let series = vec![guest, whole];
    Ok(vec![Figure::new("idle", title, Unit::Mebibytes, series)])
}
