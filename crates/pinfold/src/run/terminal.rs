//! Our own terminal: in raw mode while a command of a sandbox has the use of it, silent for secrets.

use std::io;

use pinfold_model::WindowSize;
use rustix::termios::{
    LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};

/// Raw until it is dropped, which also happens when a panic unwinds.
#[derive(Debug)]
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    /// Every key goes to the command; `^C`, `^Z` and `^\` are keys like others.
    pub(crate) fn enter() -> io::Result<Self> {
        let before = tcgetattr(rustix::stdio::stdin())?;
        let raw = Self { before };
        raw.again()?;
        Ok(raw)
    }

    /// Raw again, after [`Raw::pause`].
    pub(crate) fn again(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        raw.make_raw();
        Ok(tcsetattr(
            rustix::stdio::stdin(),
            OptionalActions::Drain,
            &raw,
        )?)
    }

    /// As it was, for as long as this process is stopped.
    pub(crate) fn pause(&self) {
        // A terminal that has gone needs no restoring.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.before);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.pause();
    }
}

/// A terminal that does not show what is typed, until this is dropped.
#[derive(Debug)]
pub(crate) struct Hidden {
    before: Termios,
}

impl Hidden {
    pub(crate) fn begin() -> io::Result<Self> {
        let before = tcgetattr(rustix::stdio::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // What was typed before may have been shown already: it is no part of the answer.
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that has gone needs no restoring.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Whether keys come from, and output goes to, a terminal.
pub(crate) fn is_interactive() -> bool {
    isatty(rustix::stdio::stdin()) && isatty(rustix::stdio::stdout())
}

/// The size of the terminal that shows our output; the usual one where it has none.
pub(crate) fn size() -> WindowSize {
    match tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => WindowSize {
            rows: size.ws_row,
            cols: size.ws_col,
        },
        _ => WindowSize::default(),
    }
}
