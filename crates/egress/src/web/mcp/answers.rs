//! Lists of tools in what an MCP server says, cut down to those that may be used. Pure.
//!
//! Any result with `tools` is such a list, whatever it answers: an answer may come on another stream than
//! the one that was asked on, also later. The server is the project's own choice; it is nobody that hides
//! its lists from us.

use bytes::Bytes;
use pinfold_model::gateway::Tools;
use serde_json::Value;

/// Of one list, so that looking through it takes no time to speak of; no server has as many.
const TOOLS_MAX: usize = 2_000;

/// One answer, or a batch of them. `None` where it is no JSON.
pub(super) fn cut(bytes: &Bytes, tools: &Tools) -> Option<Bytes> {
    let mut message: Value = serde_json::from_slice(bytes).ok()?;
    match cut_lists(&mut message, tools) {
        true => Some(Bytes::from(message.to_string())),
        false => Some(bytes.clone()),
    }
}

/// Whether there was one.
fn cut_lists(message: &mut Value, tools: &Tools) -> bool {
    if let Value::Array(batch) = message {
        let mut cut = false;
        for one in batch {
            cut |= cut_lists(one, tools);
        }
        return cut;
    }
    let list = message.pointer_mut("/result/tools");
    let Some(Value::Array(list)) = list else {
        return false;
    };
    list.truncate(TOOLS_MAX);
    list.retain(|tool| {
        let name = tool.get("name").and_then(Value::as_str);
        name.is_some_and(|name| tools.allow(name))
    });
    true
}

/// A stream of server-sent events, taken apart at its blank lines.
pub(super) struct Events {
    tools: Tools,
    max: usize,
    buffer: Vec<u8>,
    /// Up to where the buffer has been looked at, and where the line begins that it is in.
    looked: usize,
    line: usize,
}

/// One event is larger than what is held of a stream.
#[derive(Debug, thiserror::Error)]
#[error("an event of more than {0} bytes")]
pub(super) struct TooLarge(usize);

impl Events {
    pub(super) fn new(tools: Tools, max: usize) -> Self {
        Self {
            tools,
            max,
            buffer: Vec::new(),
            looked: 0,
            line: 0,
        }
    }

    /// Whole events, as far as they are.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<u8>, TooLarge> {
        self.buffer.extend_from_slice(bytes);
        let mut out = Vec::new();
        let mut from = 0;
        while let Some(end) = self.end() {
            self.put(&self.buffer[from..end], &mut out);
            from = end;
        }
        self.buffer.drain(..from);
        (self.looked, self.line) = (self.looked - from, self.line - from);
        match self.buffer.len() > self.max {
            true => Err(TooLarge(self.max)),
            false => Ok(out),
        }
    }

    /// What came behind the last blank line.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let rest = std::mem::take(&mut self.buffer);
        self.put(&rest, &mut out);
        out
    }

    /// The end of the first event in the buffer: behind its blank line. Lines end with LF, CR or both.
    fn end(&mut self) -> Option<usize> {
        while let Some(&byte) = self.buffer.get(self.looked) {
            let ends = match (byte, self.buffer.get(self.looked + 1)) {
                (b'\n', _) => 1,
                // The other half of it may be on its way.
                (b'\r', None) => return None,
                (b'\r', Some(b'\n')) => 2,
                (b'\r', Some(_)) => 1,
                _ => {
                    self.looked += 1;
                    continue;
                }
            };
            let is_blank = self.looked == self.line;
            self.looked += ends;
            self.line = self.looked;
            if is_blank {
                return Some(self.looked);
            }
        }
        None
    }

    fn put(&self, event: &[u8], out: &mut Vec<u8>) {
        match self.cut(event) {
            Some(cut) => out.extend_from_slice(&cut),
            None => out.extend_from_slice(event),
        }
    }

    /// The event anew, where it has a list of tools.
    fn cut(&self, event: &[u8]) -> Option<Vec<u8>> {
        let lines = event
            .split(|b| matches!(b, b'\n' | b'\r'))
            .filter(|line| !line.is_empty());
        let data_of = |line: &[u8]| {
            let rest = line.strip_prefix(b"data")?;
            match rest.split_first() {
                None => Some(Vec::new()),
                Some((b':', rest)) => Some(rest.strip_prefix(b" ").unwrap_or(rest).to_vec()),
                Some(_) => None,
            }
        };
        let (mut data, mut out) = (Vec::new(), Vec::new());
        for line in lines {
            match data_of(line) {
                Some(part) => data.push(part),
                None => {
                    out.extend_from_slice(line);
                    out.push(b'\n');
                }
            }
        }
        let mut message: Value = serde_json::from_slice(&data.join(&b'\n')).ok()?;
        if !cut_lists(&mut message, &self.tools) {
            return None;
        }
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(message.to_string().as_bytes());
        out.extend_from_slice(b"\n\n");
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::gateway::ToolPattern;

    fn tools() -> Tools {
        let pattern = ToolPattern::try_from("get_*".to_owned());
        Tools::new("x", vec![pattern.expect("a pattern")])
    }

    const LIST: &str =
        r#"{"id":1,"result":{"tools":[{"name":"get_a","x":1},{"name":"put_b"},{"name":7}]}}"#;
    const SHORT: &str = r#"{"id":1,"result":{"tools":[{"name":"get_a","x":1}]}}"#;

    #[test]
    fn lists_are_cut_and_other_answers_stay_as_they_were() {
        let cut = |text: &str| cut(&Bytes::from(text.to_owned()), &tools());
        assert_eq!(cut(LIST).expect("JSON"), SHORT);
        assert_eq!(
            cut(&format!("[{LIST}]")).expect("JSON"),
            format!("[{SHORT}]")
        );
        let other = r#"{"id":12345678901234567890123, "result":{"content":[{"tools":[{"name":"put_b"}]}]}}"#;
        assert_eq!(cut(other).expect("JSON"), other);
        assert_eq!(cut("no JSON"), None);
    }

    #[test]
    fn events_are_cut_wherever_the_stream_is_split() {
        let (head, tail) = LIST.split_at(LIST.find('[').expect("a list") + 1);
        let stream = format!(
            ": hello\n\nevent: message\r\nid: 7\r\ndata: {LIST}\r\n\r\ndata:{{\"id\":2}}\n\n\
             data: {head}\ndata: {tail}\nretry: 5\n\nid: 9\rdata: \r\r data: {LIST}\n\ndata: {LIST}"
        );
        let expected = format!(
            ": hello\n\nevent: message\nid: 7\ndata: {SHORT}\n\ndata:{{\"id\":2}}\n\n\
             retry: 5\ndata: {SHORT}\n\nid: 9\rdata: \r\r data: {LIST}\n\ndata: {SHORT}\n\n"
        );
        for size in 1..stream.len() {
            let mut events = Events::new(tools(), 1 << 20);
            let mut out = Vec::new();
            for part in stream.as_bytes().chunks(size) {
                out.extend(events.feed(part).expect("small"));
            }
            out.extend(events.finish());
            assert_eq!(String::from_utf8_lossy(&out), expected, "{size}");
        }
    }

    #[test]
    fn an_event_without_end_is_not_held_for_ever() {
        let mut events = Events::new(tools(), 100);
        assert!(events.feed(&[b'x'; 100]).is_ok());
        assert!(events.feed(b"x").is_err());
        let mut events = Events::new(tools(), 100);
        for _ in 0..100 {
            assert_eq!(events.feed(b"data: 1\n\n").expect("small"), b"data: 1\n\n");
        }
    }
}
