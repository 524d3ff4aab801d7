//! How option values are written: bytes, durations, shares of memory, addresses, log levels.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

/// A number of bytes, written `1048576`, `1MiB` or `1MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl Bytes {
    /// As a size in memory; more than fits is all there is.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= size && self.0.is_multiple_of(size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// A share of a hundred, from 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub u8);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

const BYTE_UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

pub(super) fn parse_bytes(text: &str) -> Result<Bytes, String> {
    let (number, unit) = number_and_unit(text);
    let size = BYTE_UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name)).map(|(_, size)| *size);
    match (number.parse::<u64>(), size) {
        (Ok(number), Some(size)) => number.checked_mul(size).map(Bytes).ok_or_else(|| "too many bytes".to_owned()),
        _ => Err("write bytes as 1048576, 512KiB, 64MiB, 4GiB or 4GB".to_owned()),
    }
}

/// A message's length is an `int4` on the wire, and PostgreSQL itself takes no more than 1 GiB.
pub(super) fn parse_message_bytes(text: &str) -> Result<Bytes, String> {
    let bytes = parse_bytes(text)?;
    if (16 << 10..=1 << 30).contains(&bytes.0) { Ok(bytes) } else { Err("must be from 16KiB to 1GiB".to_owned()) }
}

/// Bytes, or `60%` of the memory that this process can have.
pub(super) fn parse_memory(text: &str) -> Result<Bytes, String> {
    let Some(percent) = text.trim().strip_suffix('%') else {
        let bytes = parse_bytes(text)?;
        return if bytes.0 == 0 { Err("must be more than 0".to_owned()) } else { Ok(bytes) };
    };
    match percent.trim().parse::<u64>() {
        Ok(percent @ 1..=100) => Ok(memory_total().map_or(MEMORY_UNKNOWN, |total| Bytes(total / 100 * percent))),
        _ => Err("a share of memory goes from 1% to 100%".to_owned()),
    }
}

/// `50%` or `50`: a share of what all have together.
pub(super) fn parse_share(text: &str) -> Result<Percent, String> {
    let number = text.trim().strip_suffix('%').unwrap_or(text).trim();
    match number.parse::<u8>() {
        Ok(percent @ 1..=100) => Ok(Percent(percent)),
        _ => Err("a share goes from 1% to 100%".to_owned()),
    }
}

/// What queries may use where the machine does not say how much memory it has.
const MEMORY_UNKNOWN: Bytes = Bytes(4 << 30);

/// The machine's memory, or less where a control group allows less.
fn memory_total() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory_in_meminfo(&text));
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    match (machine, group) {
        (Some(machine), Some(group)) => Some(machine.min(group)),
        (machine, _) => machine,
    }
}

fn memory_in_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// How long something is kept: a duration that may be many days.
pub(super) fn parse_retention(text: &str) -> Result<Duration, String> {
    let millis = parse_millis(text)?;
    if millis > RETENTION_MILLIS_MAX {
        Err("must not be longer than 36500d".to_owned())
    } else {
        Ok(Duration::from_millis(millis))
    }
}

/// A hundred years: times before it are times that no record has.
const RETENTION_MILLIS_MAX: u64 = 36_500 * 86_400_000;

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    // PostgreSQL's own timeouts are an int4 of milliseconds.
    match parse_millis(text) {
        Ok(millis) if i32::try_from(millis).is_ok() => Ok(Duration::from_millis(millis)),
        Ok(_) => Err("must not be longer than 24d".to_owned()),
        Err(wrong) => Err(wrong),
    }
}

fn parse_millis(text: &str) -> Result<u64, String> {
    let (number, unit) = number_and_unit(text);
    let wrong = || "write a duration as 0, 500ms, 10s, 5min, 2h or 1d".to_owned();
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis_per_unit = match unit {
        "" if number == 0 => 0,
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    Ok(number.saturating_mul(millis_per_unit))
}

fn number_and_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    (number, unit.trim_start())
}

/// `127.0.0.1:5433`, `[::1]:5433`, or a name that stands for an address, such as `localhost:5433`.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let wrong = || "write an address and a port, for example 127.0.0.1:5433 or [::1]:5433".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    if host.is_empty() || host.contains(':') {
        return Err(wrong());
    }
    let mut addresses = (host, port).to_socket_addrs().map_err(|e| format!("the name {host} has no address: {e}"))?;
    addresses.next().ok_or_else(|| format!("the name {host} has no address"))
}

pub(super) fn parse_log_level(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_both_counts() {
        for (text, bytes) in [
            ("0", 0),
            ("123", 123),
            ("123B", 123),
            ("1KiB", 1024),
            ("64 MiB", 64 << 20),
            ("4gib", 4 << 30),
            ("2TiB", 2 << 40),
            ("1kB", 1000),
            ("5GB", 5_000_000_000),
        ] {
            assert_eq!(parse_bytes(text), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "-1", "x", "1.5GiB", "10 apples", "MiB", "99999999999TiB", "1 %"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        for bytes in [Bytes(0), Bytes(1023), Bytes(1 << 20), Bytes(3 << 30), Bytes(1_000_000)] {
            assert_eq!(parse_bytes(&bytes.to_string()), Ok(bytes));
        }
        assert_eq!(Bytes(64 << 20).to_string(), "64MiB");
    }

    #[test]
    fn messages_have_bounds() {
        assert_eq!(parse_message_bytes("1GiB"), Ok(Bytes(1 << 30)));
        assert!(parse_message_bytes("1KiB").is_err());
        assert!(parse_message_bytes("1025MiB").is_err());
    }

    #[test]
    fn memory_as_bytes_and_as_a_share() {
        assert_eq!(parse_memory("2GiB"), Ok(Bytes(2 << 30)));
        let (half, all) = (parse_memory("50%").expect("bytes"), parse_memory("100 %").expect("bytes"));
        assert!(half.0 > 0 && half <= all);
        for text in ["0", "0%", "101%", "-5%", "x%", "%"] {
            assert!(parse_memory(text).is_err(), "{text}");
        }
        assert_eq!(memory_in_meminfo("MemTotal:       16316412 kB\nMemFree: 1 kB\n"), Some(16_316_412 * 1024));
        assert_eq!(memory_in_meminfo("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn shares_are_percents() {
        assert_eq!(parse_share("50%"), Ok(Percent(50)));
        assert_eq!(parse_share(" 100 % "), Ok(Percent(100)));
        assert_eq!(parse_share(&Percent(1).to_string()), Ok(Percent(1)));
        assert_eq!(parse_share("7"), Ok(Percent(7)));
        for text in ["", "0%", "101%", "-1%", "%", "half", "1GiB", "5%%"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_name_their_unit() {
        for (text, millis) in [
            ("0", 0),
            ("500ms", 500),
            ("10s", 10_000),
            ("5 min", 300_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "-1s", "s", "1 week", "25d", "99999999999999999999s", "1.5s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_and_names() {
        for text in ["127.0.0.1:0", "[::1]:5433", "localhost:5433"] {
            assert!(parse_address(text).is_ok_and(|address| address.ip().is_loopback()), "{text}");
        }
        for text in ["", "5433", "127.0.0.1", "::1:5433", ":5433", "localhost:x", "127.0.0.1:70000"] {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn log_levels_and_directives() {
        assert!(parse_log_level("info").is_ok() && parse_log_level("warn,pgmesh=debug").is_ok());
        assert!(parse_log_level("pgmesh=loud").is_err());
    }
}
