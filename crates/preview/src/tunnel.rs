//! WebSockets: after the upgrade, bytes both ways until one side, the preview or the server ends.

use std::future::Future;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use metrics::Counter;
use tokio::io::copy_bidirectional;
use tokio_util::io::InspectReader;

use crate::body::Held;

/// Both sides of a WebSocket, each of them about to be upgraded.
pub(crate) struct Tunnel {
    pub(crate) outside: OnUpgrade,
    pub(crate) inside: OnUpgrade,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    /// The sandbox is in use for as long as the tunnel is open.
    pub(crate) held: Held,
}

impl Tunnel {
    /// Returns when it is over.
    pub(crate) async fn run(
        self,
        ended: impl Future<Output = ()>,
        draining: impl Future<Output = ()>,
    ) {
        let open = metrics::gauge!("pinfold_preview_websockets_open");
        let carried = async {
            let (outside, inside) = match tokio::try_join!(self.outside, self.inside) {
                Ok(both) => both,
                Err(error) => {
                    tracing::debug!(%error, "no WebSocket came of an upgrade");
                    return;
                }
            };
            open.increment(1.0);
            let _open = Decrement(open.clone());
            let mut outside = counted(outside, self.bytes_in);
            let mut inside = counted(inside, self.bytes_out);
            if let Err(error) = copy_bidirectional(&mut outside, &mut inside).await {
                tracing::debug!(%error, "a WebSocket broke off");
            }
        };
        tokio::select! {
            () = carried => {}
            () = ended => {}
            () = draining => {}
        }
        drop(self.held);
    }
}

struct Decrement(metrics::Gauge);

impl Drop for Decrement {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

fn counted(
    upgraded: Upgraded,
    counter: Counter,
) -> InspectReader<TokioIo<Upgraded>, impl FnMut(&[u8])> {
    let count = move |bytes: &[u8]| counter.increment(bytes.len() as u64);
    InspectReader::new(TokioIo::new(upgraded), count)
}
