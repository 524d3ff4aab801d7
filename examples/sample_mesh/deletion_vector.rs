//! Deletion vectors as bytes (Delta protocol, "Deletion Vector Format"): a 64-bit RoaringBitmap in the portable format
//! behind a magic number, written into the log or into a file of its own.

/// First four bytes of the serialised bitmap, little endian.
const MAGIC: u32 = 1_681_511_377;
const SERIAL_COOKIE_NO_RUNS: u32 = 12_346;
const Z85: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// The bitmap of `rows`, which must ascend and lie below 65,536: one array container is enough for the sample.
pub fn bitmap(rows: &[u16]) -> Vec<u8> {
    let mut bytes = MAGIC.to_le_bytes().to_vec();
    bytes.extend(1_u64.to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(SERIAL_COOKIE_NO_RUNS.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(0_u16.to_le_bytes());
    bytes.extend((rows.len() as u16 - 1).to_le_bytes());
    // offset of the container from the cookie on: cookie, container count, one descriptor, this offset
    bytes.extend(16_u32.to_le_bytes());
    bytes.extend(rows.iter().flat_map(|row| row.to_le_bytes()));
    bytes
}

/// A deletion vector file that holds one bitmap: version, big-endian length, bitmap, big-endian CRC-32.
pub fn file(bitmap: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend((bitmap.len() as u32).to_be_bytes());
    bytes.extend(bitmap);
    bytes.extend(crc32(bitmap).to_be_bytes());
    bytes
}

/// ZeroMQ's base 85; a length that is no multiple of four is filled up with zeros.
pub fn z85(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(4) {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        let value = u32::from_be_bytes(word);
        for power in [85_u32.pow(4), 85_u32.pow(3), 85_u32.pow(2), 85, 1] {
            text.push(char::from(Z85[(value / power % 85) as usize]));
        }
    }
    text
}

/// CRC-32 as in zlib.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xEDB8_8320 } else { c >> 1 })
    })
}
