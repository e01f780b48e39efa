//! What people write on the command line, as values: sizes, durations, CPUs, variables, mounts.
//!
//! Only the form is checked here; whether a value makes sense is the engine's to say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pinfold_model::sandbox::{HostMount, MountAccess};
use pinfold_sdk::BindCredential;

const MIB: f64 = (1u64 << 20) as f64;

/// A size with or without a unit (`512m`, `2g`, `1.5GiB`, bytes where there is none), in MiB,
/// rounded up. All units are powers of 1024.
pub(crate) fn size_mib(text: &str) -> Result<u32, String> {
    let (number, unit) = split_unit(text);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("{text:?} is no size; write it like 512m or 2g"))?;
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => MIB,
        "g" | "gb" | "gib" => 1024.0 * MIB,
        "t" | "tb" | "tib" => 1024.0 * 1024.0 * MIB,
        _ => return Err(format!("{unit:?} is no unit of size; use k, m, g or t")),
    };
    let mib = (number * unit / MIB).ceil();
    if mib > f64::from(u32::MAX) {
        return Err(format!("{text:?} is larger than anything there is"));
    }
    // Positive (split_unit takes no sign) and within u32.
    Ok(mib as u32)
}

/// A duration as numbers with units: `500ms`, `90s`, `1h30m`, `7d`; seconds where there is none.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write it like 30s, 10m or 1h30m");
    if text.is_empty() {
        return Err(wrong());
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let (number, tail) = split_unit(rest);
        let end = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let unit = match &tail[..end] {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        seconds += number.parse::<f64>().map_err(|_| wrong())? * unit;
        rest = &tail[end..];
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("{text:?} is too long"))
}

/// For the wire; what does not fit is far beyond every bound.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// CPUs, such as `2` or `0.5`, in thousandths.
pub(crate) fn vcpu_millis(text: &str) -> Result<u32, String> {
    let cpus: f64 = text
        .parse()
        .map_err(|_| format!("{text:?} is no number of CPUs"))?;
    let millis = (cpus * 1000.0).round();
    if !(0.0..=f64::from(u32::MAX)).contains(&millis) {
        return Err(format!("{text:?} is no sensible number of CPUs"));
    }
    Ok(millis as u32)
}

/// `NAME=VALUE`, or `NAME` for the value it has here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    /// `None`: named without a value, and not set here.
    pub(crate) value: Option<String>,
}

pub(crate) fn variable(text: &str) -> Result<Variable, String> {
    if let Some((name, value)) = text.split_once('=') {
        return Ok(Variable {
            name: name.to_owned(),
            value: Some(value.to_owned()),
        });
    }
    match std::env::var(text) {
        Ok(value) => Ok(Variable {
            name: text.to_owned(),
            value: Some(value),
        }),
        Err(std::env::VarError::NotPresent) => Ok(Variable {
            name: text.to_owned(),
            value: None,
        }),
        Err(std::env::VarError::NotUnicode(_)) => Err(format!(
            "the value of {text} is not UTF-8, which a sandbox's environment has to be"
        )),
    }
}

/// `KEY=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// `NAME@HOST`, or `secret=NAME,host=HOST,header=HEADER,format=FORMAT` in any order but that the format,
/// which may hold commas, is last.
pub(crate) fn credential(text: &str) -> Result<BindCredential, String> {
    const FORM: &str = "write it like NAME@HOST, or \
         secret=NAME,host=HOST,header=HEADER,format=FORMAT";
    if let Some((secret, host)) = text.split_once('@')
        && !text.contains('=')
    {
        return Ok(BindCredential {
            secret: secret.to_owned(),
            host: host.to_owned(),
            ..BindCredential::default()
        });
    }
    let (mut secret, mut host, mut header, mut format) = (None, None, None, None);
    let mut rest = text;
    while !rest.is_empty() {
        let (key, tail) = rest.split_once('=').ok_or(FORM)?;
        let (value, next) = match key {
            "format" => (tail, ""),
            _ => tail.split_once(',').unwrap_or((tail, "")),
        };
        let place = match key {
            "secret" => &mut secret,
            "host" => &mut host,
            "header" => &mut header,
            "format" => &mut format,
            _ => return Err(format!("a credential has no {key:?}; {FORM}")),
        };
        if place.replace(value.to_owned()).is_some() {
            return Err(format!("{key} is given twice; {FORM}"));
        }
        rest = next;
    }
    Ok(BindCredential {
        secret: secret.ok_or(FORM)?,
        host: host.ok_or(FORM)?,
        header,
        format,
    })
}

/// `SOURCE:TARGET`, `SOURCE:TARGET:ro` or `SOURCE:TARGET:rw`; a relative source begins here.
pub(crate) fn mount(text: &str) -> Result<HostMount, String> {
    let (paths, access) = match text.rsplit_once(':') {
        Some((paths, "ro")) => (paths, MountAccess::ReadOnly),
        Some((paths, "rw")) => (paths, MountAccess::ReadWrite),
        _ => (text, MountAccess::ReadWrite),
    };
    let (source, target) = paths
        .rsplit_once(':')
        .filter(|(source, target)| !source.is_empty() && !target.is_empty())
        .ok_or_else(|| format!("{text:?} is not SOURCE:TARGET[:ro]"))?;
    let source = existing(Path::new(source))?;
    let source = source
        .into_os_string()
        .into_string()
        .map_err(|path| format!("{} is not UTF-8", Path::new(&path).display()))?;
    let mount = HostMount {
        source,
        target: target.to_owned(),
        access,
    };
    let checked = mount.validate();
    checked.map_err(|error| error.message().to_owned())?;
    Ok(mount)
}

fn existing(path: &Path) -> Result<PathBuf, String> {
    path.canonicalize()
        .map_err(|error| format!("cannot mount {}: {error}", path.display()))
}

/// Digits and dots from the start, and what follows.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024_and_round_up_to_a_mib() {
        for (text, mib) in [
            ("512m", 512),
            ("2g", 2048),
            ("1.5GiB", 1536),
            ("1048577", 2),
            ("1t", 1 << 20),
            ("0", 0),
        ] {
            assert_eq!(size_mib(text), Ok(mib), "{text}");
        }
        for bad in ["", "m", "-1m", "1x", "1.2.3g", "999999999t", "1 g"] {
            assert!(size_mib(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn durations_add_up() {
        for (text, ms) in [
            ("500ms", 500),
            ("90", 90_000),
            ("1h30m", 5_400_000),
            ("0.5s", 500),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "s", "-5s", "1y", "5 m", "9999999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn cpus_are_thousandths() {
        assert_eq!(vcpu_millis("0.25"), Ok(250));
        for bad in ["", "a", "-1", "nan", "inf"] {
            assert!(vcpu_millis(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn variables_without_a_value_are_copied_from_here() {
        let copied = variable("PATH").expect("PATH is text");
        assert_eq!(copied.value, std::env::var("PATH").ok());
        assert_eq!(
            variable("A=b=c").expect("valid").value.as_deref(),
            Some("b=c")
        );
        assert_eq!(
            variable("PINFOLD_NO_SUCH_VARIABLE").expect("valid").value,
            None
        );
    }

    #[test]
    fn credentials_have_a_short_and_a_full_form() {
        let short = credential("TOKEN@*.example.com:8443").expect("valid");
        assert_eq!(
            (&*short.secret, &*short.host),
            ("TOKEN", "*.example.com:8443")
        );
        assert_eq!((short.header, short.format), (None, None));
        let full = "host=a.com,secret=TOKEN,header=x-api-key,format=a={}, b@c";
        let full = credential(full).expect("valid");
        assert_eq!((&*full.secret, &*full.host), ("TOKEN", "a.com"));
        assert_eq!(full.header.as_deref(), Some("x-api-key"));
        assert_eq!(full.format.as_deref(), Some("a={}, b@c"));
        for bad in [
            "",
            "TOKEN",
            "secret=TOKEN",
            "host=a.com",
            "secret=A,secret=B,host=a",
            "secret=A,host=b,x=y",
            "secret=A,host=b,header",
            ",",
        ] {
            assert!(credential(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn mounts_are_made_absolute_and_have_to_exist() {
        let here = std::env::current_dir().expect("a directory");
        let read_only = mount(".:/work:ro").expect("valid");
        assert_eq!(
            Path::new(&read_only.source),
            here.canonicalize().expect("it exists")
        );
        assert_eq!(read_only.access, MountAccess::ReadOnly);
        assert_eq!(
            mount("/:/host").expect("valid").access,
            MountAccess::ReadWrite
        );
        for bad in [
            "",
            "/a",
            ":/a",
            "/no/such/directory:/x",
            "/:",
            "/:work",
            "/:/",
            "/:/../x",
            "/:/a/./b",
        ] {
            assert!(mount(bad).is_err(), "{bad:?}");
        }
    }
}
