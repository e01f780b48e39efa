//! Requests and their answers: each is one use case of the engine, or two.

use bytes::Bytes;
use pinfold_engine::{DirectoryCursor, FileKind, MakeDirectory, MoveFile};
use russh_sftp::de::from_bytes;
use russh_sftp::extensions::{self, HardlinkExtension};
use russh_sftp::protocol::{
    Attrs, Data, Extended, ExtendedReply, File, FileAttributes, Handle, Name, Open as OpenRequest,
    OpenFlags, Packet, StatusCode, Version,
};

use super::attributes::{attributes, listed, mode_of_new, wished_mode};
use super::failure::Failure;
use super::handles::{Directory, Handles, Open};
use super::paths::{absolute, unmistakable};
use super::reading::Reading;
use super::writing::Writing;
use super::{DATA_MAX_BYTES, PACKET_MAX_BYTES};
use crate::channel::Place;

/// Entries of one answer: they fit into a packet whatever their names are.
const NAMES_MAX: usize = 150;
/// An extension of OpenSSH (PROTOCOL, section 4.3).
const POSIX_RENAME: &str = "posix-rename@openssh.com";

type Answer = Result<Packet, Failure>;

/// The files of one channel.
pub(super) struct Files {
    place: Place,
    handles: Handles,
}

impl Files {
    pub(super) fn new(place: Place) -> Self {
        let room = place.connection.files.clone();
        Self {
            place,
            handles: Handles::new(room),
        }
    }

    /// Whether everything that was written is in its place.
    pub(super) fn are_whole(&self) -> bool {
        !self.handles.is_writing()
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
            Packet::RealPath(request) => Ok(name(id, File::dummy(self.path(&request.path)?))),
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
            Packet::ReadDir(request) => self.read_directory(id, &request.handle).await,
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

    fn path(&self, path: &str) -> Result<String, Failure> {
        Ok(absolute(&self.place.login.workdir(), unmistakable(path)?))
    }

    async fn stat(&self, id: u32, path: &str) -> Answer {
        let (engine, ctx, sandbox) = self.place.engine();
        let entry = engine.stat_target(ctx, sandbox, &self.path(path)?).await?;
        Ok(attrs(id, attributes(&entry)))
    }

    async fn stat_link(&self, id: u32, path: &str) -> Answer {
        let (engine, ctx, sandbox) = self.place.engine();
        let entry = engine.stat_file(ctx, sandbox, &self.path(path)?).await?;
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
            let path = self.path(path)?;
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
        let (path, room) = (self.path(&request.filename)?, self.handles.room()?);
        let open = if request.pflags.contains(OpenFlags::WRITE) {
            let writing = Writing::open(&self.place, path, request.pflags, &request.attrs).await?;
            Open::Writing(Box::new(writing))
        } else {
            Open::Reading(Box::new(Reading::open(&self.place, path).await?))
        };
        let handle = self.handles.add(open, room);
        Ok(Packet::Handle(Handle { id, handle }))
    }

    async fn close(&mut self, id: u32, handle: &str) -> Answer {
        let (open, _room) = self.handles.take(handle)?;
        if let Open::Writing(writing) = open {
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
        let (path, room) = (self.path(path)?, self.handles.room()?);
        let begin = DirectoryCursor::default();
        // Says whether it is one, and may be read.
        engine
            .directory_page(ctx, sandbox, &path, &begin, 1)
            .await?;
        let next = Some(begin);
        let directory = Open::Directory(Directory { path, next });
        let handle = self.handles.add(directory, room);
        Ok(Packet::Handle(Handle { id, handle }))
    }

    async fn read_directory(&mut self, id: u32, handle: &str) -> Answer {
        let Open::Directory(directory) = self.handles.get(handle)? else {
            return Err(Failure::new("no directory"));
        };
        let Some(after) = &directory.next else {
            return Err(Failure::end());
        };
        let (engine, ctx, sandbox) = self.place.engine();
        let page = engine.directory_page(ctx, sandbox, &directory.path, after, NAMES_MAX);
        let page = page.await?;
        directory.next = page.next;
        let files: Vec<_> = page.entries.iter().map(listed).collect();
        match (files.is_empty(), &directory.next) {
            (false, _) => Ok(Packet::Name(Name { id, files })),
            (true, None) => Err(Failure::end()),
            // An end would say that this was all.
            (true, Some(_)) => Err(Failure::new(
                "the directory is being changed; list it again",
            )),
        }
    }

    async fn make_directory(&self, id: u32, path: &str, wished: &FileAttributes) -> Answer {
        let (engine, ctx, sandbox) = self.place.engine();
        let request = MakeDirectory {
            path: self.path(path)?,
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
        let path = self.path(path)?;
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
            from: self.path(from)?,
            to: self.path(to)?,
            overwrite,
            within: None,
        };
        engine.move_file(ctx, sandbox, request).await?;
        Ok(done(id))
    }

    async fn read_link(&self, id: u32, path: &str) -> Answer {
        let (engine, ctx, sandbox) = self.place.engine();
        let entry = engine.stat_file(ctx, sandbox, &self.path(path)?).await?;
        match entry.target {
            Some(target) => Ok(name(id, File::dummy(unmistakable(&target)?))),
            None => Err(Failure::new("no symbolic link")),
        }
    }

    async fn extended(&self, id: u32, request: Extended) -> Answer {
        match request.request.as_str() {
            POSIX_RENAME => {
                // Two paths, as in that other one.
                let paths = from_bytes::<HardlinkExtension>(&mut Bytes::from(request.data));
                let Ok(paths) = paths else {
                    return Ok(Packet::error(id, StatusCode::BadMessage));
                };
                self.rename(id, &paths.oldpath, &paths.newpath, true).await
            }
            extensions::LIMITS => Ok(Packet::ExtendedReply(ExtendedReply {
                id,
                data: [
                    PACKET_MAX_BYTES,
                    DATA_MAX_BYTES,
                    DATA_MAX_BYTES,
                    self.place.connection.shared.limits.files as u32,
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
    for extension in [POSIX_RENAME, extensions::LIMITS] {
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
