//! Reading server-sent events from any split of the bytes (WHATWG HTML, section 9.2.6).

use pinfold_wire::bound::MESSAGE_BYTES;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: String,
}

/// An event outgrew its bound or is not text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event stream is malformed")]
pub(crate) struct Malformed;

/// Takes bytes as they come, gives events as they are complete.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    /// The last byte was a carriage return: a line feed right after belongs to it.
    after_return: bool,
}

impl Parser {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Malformed> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|b| matches!(b, b'\n' | b'\r')) {
            let (before, from) = rest.split_at(at);
            let second_half = self.after_return && at == 0 && from[0] == b'\n';
            self.after_return = from[0] == b'\r';
            if !second_half {
                self.line.extend_from_slice(before);
                events.extend(self.end_line()?);
            }
            rest = &from[1..];
        }
        if !rest.is_empty() {
            self.after_return = false;
            self.line.extend_from_slice(rest);
        }
        if self.line.len() + self.event.data.len() > MESSAGE_BYTES {
            return Err(Malformed);
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Result<Option<Event>, Malformed> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| Malformed)?;
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok(std::mem::take(&mut self.has_data).then_some(event));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            // Comments (heartbeats), ids (also inside the data) and what newer servers add.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event {
            name: name.into(),
            data: data.into(),
        }
    }

    #[test]
    fn events_are_the_same_at_every_split() {
        let text = ": heartbeat\n\nevent: output\nid: 1\ndata: {\"a\":\"ü\"}\n\nevent:end\r\ndata:x\r\n\
                    data: y\r\n\r\nevent: cut\ndata: never";
        let expected = [event("output", "{\"a\":\"ü\"}"), event("end", "x\ny")];
        let bytes = text.as_bytes();
        for split in 0..=bytes.len() {
            let mut parser = Parser::default();
            let mut events = parser.push(&bytes[..split]).expect("well formed");
            events.extend(parser.push(&bytes[split..]).expect("well formed"));
            assert_eq!(events, expected, "split at {split}");
        }
        let mut parser = Parser::default();
        let each = bytes
            .chunks(1)
            .flat_map(|b| parser.push(b).expect("well formed"));
        assert_eq!(each.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_endless_line_and_an_endless_event_are_refused() {
        // As if it had come in pieces: looking through so much takes long without optimization.
        let mut parser = Parser {
            line: vec![b'x'; MESSAGE_BYTES - 1],
            ..Parser::default()
        };
        assert_eq!(parser.push(b"x"), Ok(vec![]));
        assert_eq!(parser.push(b"x"), Err(Malformed));
        let mut parser = Parser::default();
        parser.event.data = "x".repeat(MESSAGE_BYTES - 1);
        assert_eq!(parser.push(b"x"), Ok(vec![]));
        assert_eq!(parser.push(b"x"), Err(Malformed));
    }
}
