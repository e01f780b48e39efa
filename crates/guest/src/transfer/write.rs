//! File content in: a nameless file takes the target's place when all of it has come.
//!
//! Nameless, so that nothing is left when this process is killed; only a file system without such
//! files gets a temporary name instead.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use pinfold_proto::{Path, Transfer};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::data::{self, Data};
use super::read::check_regular;
use crate::failure::{Outcome, Refusal};
use crate::files::resolve::{Missing, Place, Resolver, proc_path};
use crate::files::{shown, temporary_name};

const NEW_FILE_MODE: u32 = 0o644;
const MODE_BITS: u32 = 0o7777;

pub(super) struct Write {
    place: Place,
    file: OwnedFd,
    /// Where the file system has no nameless files.
    temporary: Option<CString>,
    exclusive: bool,
    expect: Option<u64>,
    subject: String,
}

pub(super) fn begin(path: &Path, request: &Transfer) -> Outcome<Write> {
    let subject = shown(path);
    let missing = if request.parents {
        Missing::Make
    } else {
        Missing::Refuse
    };
    let place = Resolver::new(path)?.place_or_itself(!path.no_follow, missing)?;
    if place.entry.is_some() {
        if request.exclusive {
            return Err(Refusal::kernel(&subject, Errno::EXIST));
        }
        check_regular(place.kind(), &subject)?;
    }
    let (file, temporary) = new_file(&place).map_err(|errno| Refusal::kernel(&subject, errno))?;
    let (exclusive, expect) = (request.exclusive, request.expect);
    let write = Write {
        place,
        file,
        temporary,
        exclusive,
        expect,
        subject,
    };
    write
        .dress(request.mode)
        .map_err(|errno| write.give_up(write.refusal(errno)))?;
    Ok(write)
}

impl Write {
    pub(super) fn run(self, mut data: Data<'_>) -> Outcome<u64> {
        self.fill(&mut data)
            .map_err(|refusal| self.give_up(refusal))
    }

    fn fill(&self, data: &mut Data<'_>) -> Outcome<u64> {
        data.receive_file(&self.file)
            .map_err(|error| data::refusal(&self.subject, &error))?;
        let came = data.bytes;
        let meant = data.committed()?;
        for wanted in [Some(meant), self.expect].into_iter().flatten() {
            if wanted != came {
                let message = format!("{}: {came} of {wanted} bytes came", self.subject);
                return Err(Refusal::invalid(message));
            }
        }
        self.put_in_place().map_err(|errno| self.refusal(errno))?;
        Ok(came)
    }

    /// The mode and owner that the target has, or those of a new file.
    fn dress(&self, mode: u32) -> rustix::io::Result<()> {
        let replaced = self
            .place
            .entry
            .as_ref()
            .map(rustix::fs::fstat)
            .transpose()?;
        let mode = match &replaced {
            _ if mode != 0 => mode & MODE_BITS,
            Some(stat) => stat.st_mode & MODE_BITS,
            None => NEW_FILE_MODE,
        };
        if let Some(stat) = &replaced {
            let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            // Only root may give files away; anybody else's is their own from now on.
            let _ = rustix::fs::fchown(&self.file, Some(uid), Some(gid));
        }
        rustix::fs::fchmod(&self.file, Mode::from_raw_mode(mode))
    }

    fn put_in_place(&self) -> rustix::io::Result<()> {
        let (parent, name) = (self.place.parent.as_fd(), &self.place.name);
        let link = |name: &CString| {
            let flags = AtFlags::SYMLINK_FOLLOW;
            rustix::fs::linkat(CWD, proc_path(&self.file), parent, name, flags)
        };
        let temporary = match &self.temporary {
            Some(temporary) => temporary.clone(),
            // A link never replaces anything.
            None if self.exclusive || self.place.entry.is_none() => match link(name) {
                Err(Errno::EXIST) if !self.exclusive => {
                    let temporary = temporary_name()?;
                    link(&temporary)?;
                    temporary
                }
                other => return other,
            },
            None => {
                let temporary = temporary_name()?;
                link(&temporary)?;
                temporary
            }
        };
        let renamed = self.rename(&temporary);
        if renamed.is_err() {
            let _ = rustix::fs::unlinkat(parent, &temporary, AtFlags::empty());
        }
        renamed
    }

    fn rename(&self, temporary: &CString) -> rustix::io::Result<()> {
        let (parent, name) = (self.place.parent.as_fd(), &self.place.name);
        if self.exclusive {
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            return rustix::fs::renameat_with(parent, temporary, parent, name, flags);
        }
        rustix::fs::renameat(parent, temporary, parent, name)
    }

    fn refusal(&self, errno: Errno) -> Refusal {
        Refusal::kernel(&self.subject, errno)
    }

    /// Leaves nothing behind.
    fn give_up(&self, refusal: Refusal) -> Refusal {
        if let Some(temporary) = &self.temporary {
            // Renamed or removed already is fine.
            let _ = rustix::fs::unlinkat(&self.place.parent, temporary, AtFlags::empty());
        }
        refusal
    }
}

fn new_file(place: &Place) -> rustix::io::Result<(OwnedFd, Option<CString>)> {
    if place.is_root() {
        return Err(Errno::ISDIR);
    }
    let mode = Mode::from_raw_mode(0o600);
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let nameless = rustix::fs::openat(&place.parent, c".", flags | OFlags::TMPFILE, mode);
    match nameless {
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {}
        other => return Ok((other?, None)),
    }
    let name = temporary_name()?;
    let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    Ok((
        rustix::fs::openat(&place.parent, &name, flags, mode)?,
        Some(name),
    ))
}
