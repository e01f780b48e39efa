//! Functions of SQLite whose time grows with the product of the lengths they are given, done in a straight
//! line instead: nothing can interrupt one while it runs.

use std::collections::HashSet;

use pinfold_sys::sqlite::unbounded;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error, Result};

/// Takes the place of SQLite's own; `value_bytes` bounds what one answers.
pub(crate) fn replace_slow_ones(connection: &Connection, value_bytes: i32) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    let max = usize::try_from(value_bytes).unwrap_or(0);
    connection.create_scalar_function("instr", 2, flags, instr)?;
    connection.create_scalar_function("replace", 3, flags, move |given| replace(given, max))?;
    connection.create_scalar_function("unhex", 2, flags, unhex)?;
    connection.create_scalar_function("trim", 2, flags, |given| trim(given, true, true))?;
    connection.create_scalar_function("ltrim", 2, flags, |given| trim(given, true, false))?;
    connection.create_scalar_function("rtrim", 2, flags, |given| trim(given, false, true))
}

/// Of a blob in a blob the place in bytes, else that of a text in a text in characters.
fn instr(given: &Context<'_>) -> Result<Value> {
    let Some([within, wanted]) = bytes(given) else {
        return Ok(Value::Null);
    };
    let Some(at) = memchr::memmem::find(&within, &wanted) else {
        return Ok(Value::Integer(0));
    };
    let blobs = (0..2).all(|n| matches!(raw(given, n), ValueRef::Blob(_)));
    let before = match blobs {
        true => at,
        false => characters(&within[..at]),
    };
    Ok(Value::Integer(
        i64::try_from(before).unwrap_or(i64::MAX) + 1,
    ))
}

/// Pairs of hexadecimal digits, with characters of the second text between them and nothing else.
fn unhex(given: &Context<'_>) -> Result<Value> {
    let Some([digits, passed]) = bytes(given) else {
        return Ok(Value::Null);
    };
    let passed: HashSet<char> = String::from_utf8_lossy(&passed).chars().collect();
    let digits = String::from_utf8_lossy(&digits);
    let mut digits = digits.chars();
    let mut found = Vec::new();
    while let Some(one) = digits.next() {
        match (one.to_digit(16), passed.contains(&one)) {
            (Some(high), _) => {
                let Some(low) = digits.next().and_then(|two| two.to_digit(16)) else {
                    return Ok(Value::Null);
                };
                found.push((high << 4 | low) as u8);
            }
            (None, true) => {}
            (None, false) => return Ok(Value::Null),
        }
    }
    Ok(Value::Blob(found))
}

fn replace(given: &Context<'_>, max: usize) -> Result<Value> {
    let Some([within, wanted, instead]) = bytes(given) else {
        return Ok(Value::Null);
    };
    if wanted.is_empty() {
        return Ok(text(within));
    }
    let found = memchr::memmem::find_iter(&within, &wanted).count();
    let length = within.len() - found * wanted.len() + found.saturating_mul(instead.len());
    if length > max {
        return Err(Error::UserFunctionError("string or blob too big".into()));
    }
    let mut replaced = Vec::with_capacity(length);
    let mut from = 0;
    for at in memchr::memmem::find_iter(&within, &wanted) {
        replaced.extend_from_slice(&within[from..at]);
        replaced.extend_from_slice(&instead);
        from = at + wanted.len();
    }
    replaced.extend_from_slice(&within[from..]);
    Ok(text(replaced))
}

fn trim(given: &Context<'_>, left: bool, right: bool) -> Result<Value> {
    let Some([within, set]) = bytes(given) else {
        return Ok(Value::Null);
    };
    let (within, set) = (
        String::from_utf8_lossy(&within),
        String::from_utf8_lossy(&set),
    );
    let set: HashSet<char> = set.chars().collect();
    let mut rest = within.as_ref();
    if left {
        rest = rest.trim_start_matches(|c| set.contains(&c));
    }
    if right {
        rest = rest.trim_end_matches(|c| set.contains(&c));
    }
    Ok(Value::Text(rest.to_owned()))
}

/// What was given as the bytes of its text; `None` where one of it is NULL.
fn bytes<const N: usize>(given: &Context<'_>) -> Option<[Vec<u8>; N]> {
    let mut all = [const { Vec::new() }; N];
    for (n, bytes) in all.iter_mut().enumerate() {
        *bytes = match raw(given, n) {
            ValueRef::Null => return None,
            ValueRef::Integer(number) => number.to_string().into_bytes(),
            // With a point, as SQLite writes one.
            ValueRef::Real(number) => format!("{number:?}").into_bytes(),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
        };
    }
    Some(all)
}

/// Reading a value may take memory, and the library takes it as given that there is some.
fn raw<'a>(given: &'a Context<'_>, n: usize) -> ValueRef<'a> {
    unbounded(|| given.get_raw(n))
}

fn text(bytes: Vec<u8>) -> Value {
    Value::Text(
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

/// Bytes that begin a character.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}
