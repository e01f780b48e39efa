//! What a client says about a session before it starts something in it.

use std::collections::BTreeMap;

use pinfold_model::WindowSize;

use super::requests::window;

/// Variables of one session, and bytes of each.
const VARIABLES_MAX: usize = 64;
const NAME_MAX_BYTES: usize = 128;
const VALUE_MAX_BYTES: usize = 8 << 10;
const TERM_MAX_BYTES: usize = 64;

/// Pure: the handler and the channel's task each have one, are told the same and agree.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    pub(crate) terminal: Option<WindowSize>,
    /// What the client sends along, and `TERM`. It may hold secrets.
    pub(crate) variables: BTreeMap<String, String>,
    started: bool,
}

impl Setup {
    /// Whether the session gets a terminal now.
    pub(crate) fn terminal(&mut self, term: &str, columns: u32, rows: u32) -> bool {
        let good = term.len() <= TERM_MAX_BYTES && !term.contains(char::is_control);
        if self.started || self.terminal.is_some() || !good {
            return false;
        }
        self.terminal = Some(window(columns, rows));
        if !term.is_empty() {
            self.variables.insert("TERM".to_owned(), term.to_owned());
        }
        true
    }

    /// Whether the program gets that variable. It is the client's own sandbox, so any name will do.
    pub(crate) fn variable(&mut self, name: &str, value: &str) -> bool {
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let good = (1..=NAME_MAX_BYTES).contains(&name.len())
            && name.chars().all(letters)
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && value.len() <= VALUE_MAX_BYTES
            && !value.contains('\0');
        let room = self.variables.len() < VARIABLES_MAX || self.variables.contains_key(name);
        if self.started || !good || !room {
            return false;
        }
        self.variables.insert(name.to_owned(), value.to_owned());
        true
    }

    /// Whether something starts now: a session has one program.
    pub(crate) fn start(&mut self) -> bool {
        !std::mem::replace(&mut self.started, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_one_program_and_is_told_everything_before_it() {
        let mut setup = Setup::default();
        assert!(setup.terminal("xterm-256color", 0, 0x1_0000));
        assert!(!setup.terminal("xterm", 80, 24), "one terminal");
        let size = setup.terminal.expect("a terminal");
        assert_eq!((size.cols, size.rows), (80, u16::MAX));
        assert!(setup.variable("LANG", "C.UTF-8"));
        assert!(setup.start());
        assert!(!setup.start());
        assert!(!setup.variable("LATE", "x"));
        assert_eq!(setup.variables["TERM"], "xterm-256color");
        assert_eq!(setup.variables.len(), 2);
    }

    #[test]
    fn variables_have_bounds() {
        let mut setup = Setup::default();
        let long = "x".repeat(VALUE_MAX_BYTES + 1);
        for (name, value) in [
            ("", "x"),
            ("1A", "x"),
            ("A=B", "x"),
            ("A", "a\0b"),
            ("A", &*long),
        ] {
            assert!(!setup.variable(name, value), "{name:?}");
        }
        for n in 0..VARIABLES_MAX {
            assert!(setup.variable(&format!("V{n}"), "x"));
        }
        assert!(!setup.variable("ONE_MORE", "x"));
        assert!(setup.variable("V1", "another value"));
    }
}
