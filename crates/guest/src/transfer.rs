//! Bulk work: bytes between the sandbox's files and a host's pipe, in a worker of its own.

mod archive;
mod data;
mod extract;
mod read;
mod watch;
mod write;

use std::os::fd::OwnedFd;

use pinfold_proto::{Done, FailureKind, Path, Transfer, TransferKind, reply};

use crate::failure::{Outcome, Refusal};
use crate::files;
use crate::worker::{Report, failure};
use data::Data;

#[derive(Debug)]
pub(crate) struct TransferJob {
    path: Path,
    kind: TransferKind,
    request: Transfer,
}

impl TransferJob {
    pub(crate) fn from_request(mut request: Transfer) -> Outcome<Self> {
        let path = files::path(request.at.take())?;
        let kind = request.kind();
        if kind == TransferKind::Invalid {
            let message = "this guest knows no such transfer";
            return Err(Refusal::new(FailureKind::Unsupported, message));
        }
        Ok(Self {
            path,
            kind,
            request,
        })
    }
}

/// Answers when the work has begun, does it, and tells its end. Fails when the host is gone.
pub(crate) fn run(
    job: TransferJob,
    data: OwnedFd,
    control: &OwnedFd,
    report: Report<'_>,
) -> std::io::Result<()> {
    let TransferJob {
        path,
        kind,
        request,
    } = job;
    let begun = match Data::new(data, control) {
        Ok(data) => begin(&path, kind, &request, data),
        Err(errno) => Err(Refusal::kernel("pipe", errno)),
    };
    let (answer, work) = match begun {
        Ok(begun) => begun,
        Err(refusal) => {
            report.answer(failure(refusal.clone()))?;
            return report.ended(Err(refusal));
        }
    };
    report.answer(answer)?;
    report.ended(work())
}

/// What to answer, and the work that is left.
type Begun<'a> = (reply::Body, Box<dyn FnOnce() -> Outcome<u64> + 'a>);

fn begin<'a>(
    path: &'a Path,
    kind: TransferKind,
    request: &'a Transfer,
    data: Data<'a>,
) -> Outcome<Begun<'a>> {
    let done = reply::Body::Done(Done {});
    match kind {
        TransferKind::Read => {
            let (stat, read) = read::begin(path, request)?;
            Ok((reply::Body::Stat(stat), Box::new(move || read.run(data))))
        }
        TransferKind::Write => {
            let write = write::begin(path, request)?;
            Ok((done, Box::new(move || write.run(data))))
        }
        TransferKind::Archive => {
            let archive = archive::begin(path)?;
            Ok((done, Box::new(move || archive.run(data))))
        }
        TransferKind::Extract => {
            let extract = extract::begin(path, request.parents)?;
            Ok((done, Box::new(move || extract.run(data))))
        }
        TransferKind::Watch => {
            let watch = watch::begin(path, request.recursive)?;
            Ok((done, Box::new(move || watch.run(data))))
        }
        TransferKind::Invalid => Err(Refusal::invalid("no such transfer")),
    }
}
