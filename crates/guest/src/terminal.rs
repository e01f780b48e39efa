//! A command's terminal: bytes between its master side and the host's two pipes.
//!
//! At most one buffer is under way in each direction; a side that cannot take more stops the other
//! one, so nothing is lost and nothing grows.

use std::os::fd::{AsFd, OwnedFd};

use pinfold_proto::Window;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::{InputModes, OptionalActions, SpecialCodeIndex, Winsize};

use crate::boot::nonblocking;
use crate::failure::{Outcome, Refusal};
use crate::poller::{Interest, Poller, Registration, Token};
use crate::users::User;

/// What one read takes. The kernel hands out a terminal's bytes in smaller pieces anyway.
const CHUNK_BYTES: usize = 8 << 10;
/// Chunks moved in one go, so that one busy terminal does not starve the loop.
const CHUNKS_PER_PUMP: u32 = 16;
/// What the kernel can hold of a terminal's output, and some more: after the command's end no more
/// than this can be its own.
const DRAIN_MAX_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct Terminal {
    master: OwnedFd,
    master_registration: Registration,
    input: Flow,
    output: Flow,
    /// What the terminal takes for the end of its input; to be sent once.
    end_of_file: Option<u8>,
    /// Output that may still be the command's own, once it has ended.
    drain_left: Option<usize>,
    drained: bool,
}

/// One direction: its pipe and what is under way.
#[derive(Debug)]
struct Flow {
    pipe: Option<OwnedFd>,
    registration: Registration,
    bytes: Vec<u8>,
}

/// What a [`Terminal::pump`] found.
#[derive(Debug, Default)]
pub(crate) struct Pumped {
    /// Nobody has the terminal open.
    pub(crate) hung_up: bool,
    /// Nobody has it open, but the command lives and may open it again.
    pub(crate) look_again: bool,
}

/// A new terminal and the side that becomes the command's.
pub(crate) fn open(
    window: Window,
    user: &User,
    input: OwnedFd,
    output: OwnedFd,
) -> Outcome<(Terminal, OwnedFd)> {
    make(window, user, input, output).map_err(|errno| Refusal::kernel("terminal", errno))
}

fn make(
    window: Window,
    user: &User,
    input: OwnedFd,
    output: OwnedFd,
) -> rustix::io::Result<(Terminal, OwnedFd)> {
    nonblocking(&input)?;
    nonblocking(&output)?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let master = rustix::fs::open(c"/dev/ptmx", flags, Mode::empty())?;
    rustix::pty::unlockpt(&master)?;
    let slave_flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, slave_flags)?;
    // Without CAP_CHOWN the terminal belongs to whom it must already.
    let _ = rustix::fs::fchown(&slave, Some(Uid::from_raw(user.uid)), None::<Gid>);
    let mut modes = rustix::termios::tcgetattr(&slave)?;
    modes.input_modes |= InputModes::IUTF8;
    rustix::termios::tcsetattr(&slave, OptionalActions::Now, &modes)?;
    let terminal = Terminal {
        master,
        master_registration: Registration::default(),
        input: Flow::new(input),
        output: Flow::new(output),
        end_of_file: Some(modes.special_codes[SpecialCodeIndex::VEOF]),
        drain_left: None,
        drained: false,
    };
    rustix::termios::tcsetwinsize(&terminal.master, size(window))?;
    Ok((terminal, slave))
}

impl Flow {
    fn new(pipe: OwnedFd) -> Self {
        Self {
            pipe: Some(pipe),
            registration: Registration::default(),
            bytes: Vec::new(),
        }
    }
}

impl Terminal {
    pub(crate) fn resize(&self, window: Window) -> Outcome<()> {
        rustix::termios::tcsetwinsize(&self.master, size(window))
            .map_err(|errno| Refusal::kernel("terminal", errno))
    }

    /// The process group that ^C would reach.
    pub(crate) fn foreground(&self) -> Option<u32> {
        let group = rustix::termios::tcgetpgrp(&self.master).ok()?;
        u32::try_from(group.as_raw_nonzero().get())
            .ok()
            .filter(|group| *group > 1)
    }

    /// The command has ended: what the kernel holds now is the last that is its own.
    pub(crate) fn begin_drain(&mut self) {
        self.drain_left = Some(DRAIN_MAX_BYTES);
    }

    /// All output of the ended command has reached the pipe.
    pub(crate) fn is_drained(&self) -> bool {
        self.drained && self.output.bytes.is_empty()
    }

    /// Moves bytes both ways until neither can go on, and asks to be woken when one can.
    pub(crate) fn pump(&mut self, serial: u32, poller: &Poller) -> Pumped {
        let hung_up = self.pump_output();
        self.pump_input();
        self.register(serial, poller, hung_up);
        Pumped {
            hung_up,
            look_again: hung_up && self.drain_left.is_none(),
        }
    }

    /// Returns whether nobody has the terminal open.
    fn pump_output(&mut self) -> bool {
        for _ in 0..CHUNKS_PER_PUMP {
            if !self.flush_output() {
                return false;
            }
            let mut chunk = [0; CHUNK_BYTES];
            match rustix::io::read(&self.master, &mut chunk) {
                Ok(len) if len > 0 => {
                    self.output.bytes.extend_from_slice(&chunk[..len]);
                    if let Some(left) = &mut self.drain_left {
                        *left = left.saturating_sub(len);
                        self.drained |= *left == 0;
                    }
                }
                Err(Errno::AGAIN) => {
                    self.drained |= self.drain_left.is_some();
                    return false;
                }
                Err(Errno::INTR) => {}
                // EIO: every slave is closed.
                Ok(_) | Err(_) => {
                    self.drained |= self.drain_left.is_some();
                    return true;
                }
            }
        }
        self.flush_output();
        false
    }

    /// Whether everything under way has gone into the pipe.
    fn flush_output(&mut self) -> bool {
        let Some(pipe) = &self.output.pipe else {
            self.output.bytes.clear();
            return true;
        };
        while !self.output.bytes.is_empty() {
            match rustix::io::write(pipe, &self.output.bytes) {
                Ok(len) => drop(self.output.bytes.drain(..len)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return false,
                // Nobody can read it any more, not even through us.
                Err(_) => {
                    self.output.bytes.clear();
                    self.output.pipe = None;
                    return true;
                }
            }
        }
        true
    }

    fn pump_input(&mut self) {
        for _ in 0..CHUNKS_PER_PUMP {
            while !self.input.bytes.is_empty() {
                match rustix::io::write(&self.master, &self.input.bytes) {
                    Ok(len) if len > 0 => drop(self.input.bytes.drain(..len)),
                    Err(Errno::INTR) => {}
                    Ok(_) | Err(_) => return,
                }
            }
            let Some(pipe) = &self.input.pipe else { return };
            let mut chunk = [0; CHUNK_BYTES];
            match rustix::io::read(pipe, &mut chunk) {
                Ok(len) if len > 0 => self.input.bytes.extend_from_slice(&chunk[..len]),
                Err(Errno::AGAIN | Errno::INTR) => return,
                Ok(_) | Err(_) => {
                    self.input.bytes.extend(self.end_of_file.take());
                    self.input.pipe = None;
                }
            }
        }
    }

    /// A registration that fails leaves its side silent until the other one moves; there is nobody
    /// to tell, and the kernel only refuses for want of memory.
    fn register(&mut self, serial: u32, poller: &Poller, hung_up: bool) {
        let wanted = Interest {
            read: self.output.bytes.is_empty() && !hung_up,
            write: !self.input.bytes.is_empty() && !hung_up,
        };
        let master = Token::Master(serial);
        let _ = poller.set(&self.master, master, &mut self.master_registration, wanted);
        if let Some(pipe) = &self.input.pipe {
            let wanted = Interest {
                read: self.input.bytes.is_empty(),
                write: false,
            };
            let registration = &mut self.input.registration;
            let _ = poller.set(pipe.as_fd(), Token::Input(serial), registration, wanted);
        }
        if let Some(pipe) = &self.output.pipe {
            let wanted = Interest {
                read: false,
                write: !self.output.bytes.is_empty(),
            };
            let registration = &mut self.output.registration;
            let _ = poller.set(pipe.as_fd(), Token::Output(serial), registration, wanted);
        }
    }
}

fn size(window: Window) -> Winsize {
    let cells = |count: u32| u16::try_from(count).unwrap_or(u16::MAX);
    Winsize {
        ws_row: cells(window.rows),
        ws_col: cells(window.cols),
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
