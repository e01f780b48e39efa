//! Requests and their answers: each is one use case of the engine, or two.

use pinfold_engine::{FileKind, MakeDirectory, MoveFile};
use russh_sftp::protocol::{
    Attrs, Data, Extended, ExtendedReply, File, FileAttributes, Handle, Name, Open as OpenRequest,
    OpenFlags, Packet, StatusCode, Version,
};

use super::attributes::{attributes, listed, mode_of_new, wished_mode};
use super::failure::Failure;
use super::handles::{Directory, HANDLES_MAX, Handles, Open};
use super::paths::absolute;
use super::reading::Reading;
use super::writing::Writing;
use super::{DATA_MAX_BYTES, PACKET_MAX_BYTES};
use crate::channel::Place;

/// Entries of one answer.
const NAMES_MAX: usize = 100;
/// Entries of one directory.
const LISTING_MAX: u32 = 20_000;
/// Extensions of OpenSSH (PROTOCOL, section 4).
const POSIX_RENAME: &str = "posix-rename@openssh.com";
const LIMITS: &str = "limits@openssh.com";

type Answer = Result<Packet, Failure>;

/// The files of one channel.
pub(super) struct Files {
    place: Place,
    handles: Handles,
}

impl Files {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            handles: Handles::default(),
        }
    }

    pub(super) async fn answer(&mut self, request: Packet) -> Packet {
        let id = request.get_request_id();
        match self.done(id, request).await {
            Ok(answer) => answer,
            Err(failure) => failure.packet(id),
        }
    }

    async fn done(&mut self, id: u32, request: Packet) -> Answer {
        match request {
            Packet::Init(_) => Ok(version()),
            Packet::RealPath(request) => Ok(name(id, File::dummy(self.path(&request.path)))),
            Packet::Stat(request) => self.stat(id, &request.path).await,
            Packet::Lstat(request) => self.stat_link(id, &request.path).await,
            Packet::Fstat(request) => self.stat_handle(id, &request.handle).await,
            Packet::SetStat(request) => self.set(id, &request.path, &request.attrs).await,
            Packet::FSetStat(request) => self.set_handle(id, &request.handle, &request.attrs).await,
            Packet::Open(request) => self.open(id, request).await,
            Packet::Close(request) => self.close(id, &request.handle).await,
            Packet::Read(request) => {
                let length = request.len.min(DATA_MAX_BYTES) as usize;
                self.read(id, &request.handle, request.offset, length).await
            }
            Packet::Write(request) => {
                self.write(id, &request.handle, request.offset, &request.data)
                    .await
            }
            Packet::OpenDir(request) => self.open_directory(id, &request.path).await,
            Packet::ReadDir(request) => self.read_directory(id, &request.handle),
            Packet::MkDir(request) => self.make_directory(id, &request.path, &request.attrs).await,
            Packet::Remove(request) => self.remove(id, &request.filename, FileKind::File).await,
            Packet::RmDir(request) => self.remove(id, &request.path, FileKind::Directory).await,
            Packet::Rename(request) => {
                self.rename(id, &request.oldpath, &request.newpath, false)
                    .await
            }
            Packet::ReadLink(request) => self.read_link(id, &request.path).await,
            Packet::Symlink(_) => Err(Failure::unsupported("use ln -s in the sandbox")),
            Packet::Extended(request) => self.extended(id, request).await,
            _ => Ok(Packet::error(id, StatusCode::BadMessage)),
        }
    }

    fn path(&self, path: &str) -> String {
        absolute(&self.place.login.workdir(), path)
    }

    async fn stat(&self, id: u32, path: &str) -> Answer {
        let (engine, ctx, sandbox) = self.place.engine();
        let entry = engine.stat_target(ctx, sandbox, &self.path(path)).await?;
        Ok(attrs(id, attributes(&entry)))
    }

    async fn stat_link(&self, id: u32, path: &str) -> Answer {
        let (engine, ctx, sandbox) = self.place.engine();
        let entry = engine.stat_file(ctx, sandbox, &self.path(path)).await?;
        Ok(attrs(id, attributes(&entry)))
    }

    async fn stat_handle(&mut self, id: u32, handle: &str) -> Answer {
        match self.handles.get(handle)? {
            Open::Reading(reading) => {
                let path = reading.path().to_owned();
                self.stat(id, &path).await
            }
            Open::Writing(writing) => {
                let mut attributes = FileAttributes::empty();
                attributes.size = Some(writing.size());
                Ok(attrs(id, attributes))
            }
            Open::Directory(_) => Err(Failure::new("a directory is looked at by its path")),
        }
    }

    /// Permission bits alone can be set.
    async fn set(&self, id: u32, path: &str, wished: &FileAttributes) -> Answer {
        if wished.size.is_some() {
            return Err(Failure::unsupported("a file is cut by writing it anew"));
        }
        if let Some(mode) = wished_mode(wished) {
            let (engine, ctx, sandbox) = self.place.engine();
            let path = self.path(path);
            engine.set_file_mode(ctx, sandbox, &path, mode).await?;
        }
        only_mode(wished)?;
        Ok(done(id))
    }

    async fn set_handle(&mut self, id: u32, handle: &str, wished: &FileAttributes) -> Answer {
        let path = match self.handles.get(handle)? {
            Open::Writing(writing) => {
                writing.change(wished)?;
                only_mode(wished)?;
                return Ok(done(id));
            }
            Open::Reading(reading) => reading.path().to_owned(),
            Open::Directory(_) => return Err(Failure::new("no file")),
        };
        self.set(id, &path, wished).await
    }

    async fn open(&mut self, id: u32, request: OpenRequest) -> Answer {
        let path = self.path(&request.filename);
        let open = if request.pflags.contains(OpenFlags::WRITE) {
            let writing = Writing::open(&self.place, path, request.pflags, &request.attrs).await?;
            Open::Writing(Box::new(writing))
        } else {
            Open::Reading(Box::new(Reading::open(&self.place, path).await?))
        };
        let handle = self.handles.add(open)?;
        Ok(Packet::Handle(Handle { id, handle }))
    }

    async fn close(&mut self, id: u32, handle: &str) -> Answer {
        if let Open::Writing(writing) = self.handles.take(handle)? {
            writing.close(&self.place).await?;
        }
        Ok(done(id))
    }

    async fn read(&mut self, id: u32, handle: &str, offset: u64, length: usize) -> Answer {
        let Open::Reading(reading) = self.handles.get(handle)? else {
            return Err(Failure::new("the file was not opened for reading"));
        };
        let data = reading.read(&self.place, offset, length).await?;
        Ok(Packet::Data(Data { id, data }))
    }

    async fn write(&mut self, id: u32, handle: &str, offset: u64, bytes: &[u8]) -> Answer {
        let Open::Writing(writing) = self.handles.get(handle)? else {
            return Err(Failure::new("the file was not opened for writing"));
        };
        writing.write(&self.place, offset, bytes).await?;
        Ok(done(id))
    }

    async fn open_directory(&mut self, id: u32, path: &str) -> Answer {
        let (engine, ctx, sandbox) = self.place.engine();
        let path = self.path(path);
        let listing = engine.list_directory(ctx, sandbox, &path, LISTING_MAX);
        let listing = listing.await?;
        let handle = self.handles.add(Open::Directory(Directory {
            entries: listing.entries.into_iter(),
            truncated: listing.truncated,
        }))?;
        Ok(Packet::Handle(Handle { id, handle }))
    }

    fn read_directory(&mut self, id: u32, handle: &str) -> Answer {
        let Open::Directory(directory) = self.handles.get(handle)? else {
            return Err(Failure::new("no directory"));
        };
        let entries = directory.entries.by_ref().take(NAMES_MAX);
        let files: Vec<_> = entries.map(|entry| listed(&entry)).collect();
        match (files.is_empty(), directory.truncated) {
            (false, _) => Ok(Packet::Name(Name { id, files })),
            (true, false) => Err(Failure::end()),
            // An end would say that this was all.
            (true, true) => Err(Failure::new("the directory holds more than is listed")),
        }
    }

    async fn make_directory(&self, id: u32, path: &str, wished: &FileAttributes) -> Answer {
        let (engine, ctx, sandbox) = self.place.engine();
        let request = MakeDirectory {
            path: self.path(path),
            parents: false,
            mode: mode_of_new(wished),
            within: None,
        };
        engine.make_directory(ctx, sandbox, request).await?;
        Ok(done(id))
    }

    /// A directory is removed as such and nothing else is.
    async fn remove(&self, id: u32, path: &str, kind: FileKind) -> Answer {
        let (engine, ctx, sandbox) = self.place.engine();
        let path = self.path(path);
        let entry = engine.stat_file(ctx, sandbox, &path).await?;
        let directory = entry.kind == FileKind::Directory;
        if directory != (kind == FileKind::Directory) {
            let is = if directory {
                "is a directory"
            } else {
                "is no directory"
            };
            return Err(Failure::new(format!("{path} {is}")));
        }
        engine.remove_file(ctx, sandbox, &path, false).await?;
        Ok(done(id))
    }

    async fn rename(&self, id: u32, from: &str, to: &str, overwrite: bool) -> Answer {
        let (engine, ctx, sandbox) = self.place.engine();
        let request = MoveFile {
            from: self.path(from),
            to: self.path(to),
            overwrite,
            within: None,
        };
        engine.move_file(ctx, sandbox, request).await?;
        Ok(done(id))
    }

    async fn read_link(&self, id: u32, path: &str) -> Answer {
        let (engine, ctx, sandbox) = self.place.engine();
        let entry = engine.stat_file(ctx, sandbox, &self.path(path)).await?;
        match entry.target {
            Some(target) => Ok(name(id, File::dummy(target))),
            None => Err(Failure::new("no symbolic link")),
        }
    }

    async fn extended(&self, id: u32, request: Extended) -> Answer {
        match request.request.as_str() {
            POSIX_RENAME => {
                let mut rest = request.data.as_slice();
                let (Some(from), Some(to)) = (string(&mut rest), string(&mut rest)) else {
                    return Ok(Packet::error(id, StatusCode::BadMessage));
                };
                self.rename(id, from, to, true).await
            }
            LIMITS => Ok(Packet::ExtendedReply(ExtendedReply {
                id,
                data: [
                    PACKET_MAX_BYTES,
                    DATA_MAX_BYTES,
                    DATA_MAX_BYTES,
                    HANDLES_MAX as u32,
                ]
                .iter()
                .flat_map(|bound| u64::from(*bound).to_be_bytes())
                .collect(),
            })),
            _ => Err(Failure::unsupported("no such extension")),
        }
    }
}

fn version() -> Packet {
    let mut version = Version::new();
    for extension in [POSIX_RENAME, LIMITS] {
        version
            .extensions
            .insert(extension.to_owned(), "1".to_owned());
    }
    Packet::Version(version)
}

fn only_mode(wished: &FileAttributes) -> Result<(), Failure> {
    let owner = wished.uid.is_some() || wished.gid.is_some();
    if owner || wished.atime.is_some() || wished.mtime.is_some() {
        return Err(Failure::unsupported(
            "owners and times of files are not set",
        ));
    }
    Ok(())
}

/// The next text of what stands behind an extension's name.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (text, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    std::str::from_utf8(text).ok()
}

fn attrs(id: u32, attrs: FileAttributes) -> Packet {
    Packet::Attrs(Attrs { id, attrs })
}

fn name(id: u32, file: File) -> Packet {
    Packet::Name(Name {
        id,
        files: vec![file],
    })
}

fn done(id: u32) -> Packet {
    Packet::status(id, StatusCode::Ok, "", "en")
}

#[cfg(test)]
mod tests {
    use super::string;

    #[test]
    fn texts_of_extensions_end_where_they_say() {
        let mut rest: &[u8] = b"\0\0\0\x02ab\0\0\0\0\0\0\0\x09x";
        assert_eq!(string(&mut rest), Some("ab"));
        assert_eq!(string(&mut rest), Some(""));
        assert_eq!(string(&mut rest), None);
        assert_eq!(string(&mut (b"\xff\xff\xff\xff".as_slice())), None);
        assert_eq!(string(&mut (b"\0\0\0\x01\xff".as_slice())), None);
    }
}
