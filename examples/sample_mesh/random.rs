//! Chance and dates without a clock: a small generator whose numbers are the same on every machine.
//!
//! Only additions, multiplications and divisions: no function of libm, whose last digit differs between systems.

use chrono::{DateTime, NaiveDate};

pub const HOUR: i64 = 3_600;
pub const DAY: i64 = 86_400;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(u64);

impl Random {
    /// A stream of its own for `subject`, so that a change to one table leaves the others as they are.
    pub fn new(seed: u64, subject: &str) -> Self {
        Self(seed ^ hash(subject))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// In `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[(self.next() % items.len() as u64) as usize]
    }

    /// Picks by the weight that stands beside each item.
    pub fn weighted<T: Copy>(&mut self, items: &[(T, u32)]) -> T {
        let total: u32 = items.iter().map(|(_, weight)| weight).sum();
        let mut left = (self.next() % u64::from(total)) as u32;
        for (item, weight) in items {
            if left < *weight {
                return *item;
            }
            left -= weight;
        }
        items[0].0
    }

    /// An index below `count`; the low ones come up far more often, as regular customers do.
    pub fn skewed(&mut self, count: usize) -> usize {
        let unit = self.unit();
        ((unit * unit * count as f64) as usize).min(count - 1)
    }

    /// Bell-shaped around `mean`, never further away than `3 * spread`.
    pub fn bell(&mut self, mean: f64, spread: f64) -> f64 {
        let sum: f64 = (0..12).map(|_| self.unit()).sum();
        mean + (sum - 6.0).clamp(-3.0, 3.0) * spread
    }

    /// A second of the day, mostly in the afternoon.
    pub fn time_of_day(&mut self) -> i64 {
        (self.bell(14.5 * 3_600.0, 3.0 * 3_600.0) as i64).rem_euclid(DAY)
    }
}

/// FNV-1a.
pub fn hash(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// Sixteen bytes that look like a random UUID and follow from `text` alone.
pub fn uuid_bytes(text: &str) -> [u8; 16] {
    let mut stream = Random(hash(text));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&stream.next().to_be_bytes());
    bytes[8..].copy_from_slice(&stream.next().to_be_bytes());
    bytes[6] = (bytes[6] & 0x0F) | 0x40;
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
    bytes
}

/// The same in the usual notation.
pub fn uuid(text: &str) -> String {
    let number = u128::from_be_bytes(uuid_bytes(text));
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        number >> 96,
        number >> 80 & 0xFFFF,
        number >> 64 & 0xFFFF,
        number >> 48 & 0xFFFF,
        number & 0xFFFF_FFFF_FFFF
    )
}

/// Midnight UTC of a day, in seconds since 1970.
pub fn day(year: i32, month: u32, day: u32) -> i64 {
    NaiveDate::from_ymd_opt(year, month, day)
        .and_then(|date| date.and_hms_opt(0, 0, 0))
        .map_or(0, |t| t.and_utc().timestamp())
}

/// Seconds since 1970, formatted in UTC.
pub fn format_time(seconds: i64, pattern: &str) -> String {
    DateTime::from_timestamp(seconds, 0).map(|time| time.format(pattern).to_string()).unwrap_or_default()
}
