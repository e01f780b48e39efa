//! Expanding variables as Dockerfiles have them: `$A`, `${A}`, `${A:-x}`, `${A-x}`, `${A:+x}`,
//! `${A+x}`, `${A:?x}`; quotes are taken away, single ones keep what is in them.

use std::iter::Peekable;
use std::str::Chars;

use super::Variables;
use super::room::Room;

/// Of one expanded text: variables may hold variables, and each may be long.
const EXPANDED_MAX_BYTES: usize = 1 << 20;
/// Words within words within words.
const DEPTH_MAX: usize = 16;

/// Where a name is looked up: the first that has it wins.
type Scopes<'v> = [&'v Variables];

/// A word: quotes go, variables are replaced.
pub(super) fn word(
    text: &str,
    escape: char,
    variables: &Scopes<'_>,
    room: &mut Room,
) -> Result<String, String> {
    expand(text, escape, variables, room, Quotes::Taken)
}

/// The text of a file: quotes are part of it.
pub(super) fn text(
    text: &str,
    escape: char,
    variables: &Scopes<'_>,
    room: &mut Room,
) -> Result<String, String> {
    expand(text, escape, variables, room, Quotes::Kept)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Taken,
    Kept,
}

fn expand(
    text: &str,
    escape: char,
    variables: &Scopes<'_>,
    room: &mut Room,
    quotes: Quotes,
) -> Result<String, String> {
    let mut expander = Expander {
        chars: text.chars().peekable(),
        escape,
        variables,
        quotes,
        depth: 0,
        out: String::with_capacity(text.len()),
    };
    expander.run()?;
    room.take(expander.out.len())?;
    Ok(expander.out)
}

struct Expander<'t> {
    chars: Peekable<Chars<'t>>,
    escape: char,
    variables: &'t Scopes<'t>,
    quotes: Quotes,
    depth: usize,
    out: String,
}

impl<'t> Expander<'t> {
    fn run(&mut self) -> Result<(), String> {
        let mut quote: Option<char> = None;
        while let Some(c) = self.chars.next() {
            let is_quote = self.quotes == Quotes::Taken && (c == '\'' || c == '"');
            match quote {
                Some('\'') if c == '\'' => quote = None,
                Some('\'') => self.out.push(c),
                Some('"') if c == '"' => quote = None,
                None if is_quote => quote = Some(c),
                _ if c == self.escape => self.escaped(quote.is_some()),
                _ if c == '$' => self.variable()?,
                _ => self.out.push(c),
            }
            if self.out.len() > EXPANDED_MAX_BYTES {
                return Err("it is too long once its variables are expanded".to_owned());
            }
        }
        match quote {
            Some(open) => Err(format!("the quote {open} is not closed")),
            None => Ok(()),
        }
    }

    /// In double quotes only what means something there is escaped.
    fn escaped(&mut self, quoted: bool) {
        let keeps = quoted || self.quotes == Quotes::Kept;
        match self.chars.next() {
            Some(c) if keeps && !matches!(c, '"' | '$') && c != self.escape => {
                self.out.push(self.escape);
                self.out.push(c);
            }
            Some('"') if self.quotes == Quotes::Kept => {
                self.out.push(self.escape);
                self.out.push('"');
            }
            Some(c) => self.out.push(c),
            None => self.out.push(self.escape),
        }
    }

    fn variable(&mut self) -> Result<(), String> {
        match self.chars.peek() {
            Some('{') => {
                self.chars.next();
                self.braced()
            }
            Some(c) if c.is_ascii_alphabetic() || *c == '_' => {
                let name = self.name();
                self.put(&name);
                Ok(())
            }
            _ => {
                self.out.push('$');
                Ok(())
            }
        }
    }

    fn put(&mut self, name: &str) {
        if let Some(value) = self.value(name) {
            self.out.push_str(value);
        }
    }

    fn value(&self, name: &str) -> Option<&'t str> {
        let mut values = self.variables.iter().filter_map(|scope| scope.get(name));
        values.next().map(String::as_str)
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self
            .chars
            .next_if(|c| c.is_ascii_alphanumeric() || *c == '_')
        {
            name.push(c);
        }
        name
    }

    fn braced(&mut self) -> Result<(), String> {
        let name = self.name();
        if !super::words::is_name(&name) {
            return Err("${ has to be followed by the name of a variable".to_owned());
        }
        let (unless_empty, operator) = match self.chars.next() {
            Some('}') => {
                self.put(&name);
                return Ok(());
            }
            Some(':') => (true, self.chars.next()),
            operator => (false, operator),
        };
        let Some(operator @ ('-' | '+' | '?')) = operator else {
            return Err(format!(
                "${{{name}...}}: only the forms :-, -, :+, +, :? and ? are known here"
            ));
        };
        let rest = self.up_to_brace(&name)?;
        let value = self.value(&name);
        let set = value.is_some_and(|value| !(unless_empty && value.is_empty()));
        match (operator, set) {
            ('-', true) | ('?', true) => self.put(&name),
            ('-', false) | ('+', true) => self.nested(&rest)?,
            ('?', false) => return Err(format!("${{{name}}} is not set: {rest}")),
            _ => {}
        }
        Ok(())
    }

    /// Up to the brace that closes this one.
    fn up_to_brace(&mut self, name: &str) -> Result<String, String> {
        let mut rest = String::new();
        let mut open = 0_usize;
        while let Some(c) = self.chars.next() {
            match c {
                '}' if open == 0 => return Ok(rest),
                '}' => open -= 1,
                '{' => open += 1,
                _ => {}
            }
            rest.push(c);
            if c == self.escape {
                rest.extend(self.chars.next());
            }
        }
        Err(format!("${{{name}: the brace is not closed"))
    }

    fn nested(&mut self, text: &str) -> Result<(), String> {
        if self.depth >= DEPTH_MAX {
            return Err("variables are nested too deep".to_owned());
        }
        let mut inner = Expander {
            chars: text.chars().peekable(),
            escape: self.escape,
            variables: self.variables,
            quotes: self.quotes,
            depth: self.depth + 1,
            out: String::new(),
        };
        inner.run()?;
        self.out.push_str(&inner.out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        word(text, '\\', &[&variables()], &mut Room::default())
    }

    fn variables() -> Variables {
        let of = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        [("A", "1"), ("E", ""), ("P", "/a b")].map(of).into()
    }

    #[test]
    fn every_form_of_a_variable_is_expanded() {
        for (text, expected) in [
            ("$A", "1"),
            ("${A}x", "1x"),
            ("$Ax", ""),
            ("a$", "a$"),
            ("$1", "$1"),
            ("${E:-d}", "d"),
            ("${E-d}", ""),
            ("${N-d}", "d"),
            ("${A:+y}", "y"),
            ("${E:+y}", ""),
            ("${E+y}", "y"),
            ("${N:-${A:-z}}", "1"),
            ("${N:-${M:-'a b'}}", "a b"),
            ("\"$P c\"", "/a b c"),
            ("'$A'", "$A"),
            (r"\$A", "$A"),
            (r#""\$A \n \"""#, "$A \\n \""),
            (r"a\ b", "a b"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn malformed_variables_are_refused() {
        for bad in [
            "${",
            "${}",
            "${A",
            "${A:",
            "${A:=x}",
            "${A#x}",
            "${N:?gone}",
            "\"",
            "'",
        ] {
            assert!(expanded(bad).is_err(), "{bad}");
        }
        let deep = format!("{}x{}", "${N:-".repeat(40), "}".repeat(40));
        assert!(expanded(&deep).is_err());
    }

    #[test]
    fn expansion_is_bounded() {
        let big = Variables::from([("B".to_owned(), "x".repeat(1 << 16))]);
        let mut room = Room::default();
        assert!(word(&"$B".repeat(100), '\\', &[&big], &mut room).is_err());
        let mut times = (0..2000).map(|_| word("$B", '\\', &[&big], &mut room));
        assert!(times.any(|word| word.is_err()), "the room is for all");
    }

    #[test]
    fn files_keep_their_quotes() {
        let expanded = text(
            "a \"$A\" '$A' \\$A \\\"\n",
            '\\',
            &[&variables()],
            &mut Room::default(),
        );
        assert_eq!(expanded.as_deref(), Ok("a \"1\" '1' $A \\\"\n"));
    }
}
