//! The write-ahead file's bytes: a header, then framed records. Pure: bytes to records and back.
//!
//! ```text
//! segment   "pgmesh-w" id[16] first[8] acknowledged[8] crc32c[4]          then frames
//! frame     crc32c[4] length[4] sequence[8] acknowledged[8] stream[1] payload[length]
//! ```
//! Numbers are little-endian; each sum covers what follows it in a frame, and what precedes it in a header. Sequence
//! numbers grow by one within a segment.
//!
//! INVARIANT: `acknowledged` is the last record that was synced before the frame was written. Only one group of records
//! is ever written and not yet synced, so a broken frame is either the torn end of a group that nobody heard of, and then no
//! later frame says that it was acknowledged; or it is damage to something that was, and then one does.

use std::ops::Range;

use crc::{CRC_32_ISCSI, Crc, Table};
use uuid::Uuid;

/// CRC-32C (Castagnoli).
const SUM: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);
const MAGIC: &[u8; 8] = b"pgmesh-w";
/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: usize = 8 + 16 + 8 + 8 + 4;
/// Bytes of a frame beside its payload.
pub(super) const FRAME_HEADER_BYTES: usize = 4 + 4 + 8 + 8 + 1;
/// The longest payload, in bytes.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// What a segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Of the write-ahead file that the segment belongs to.
    pub(super) id: Uuid,
    /// Sequence number of its first record.
    pub(super) first: u64,
    /// The last record that was acknowledged before the segment was begun.
    pub(super) acknowledged: u64,
}

/// A record in a segment's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) sequence: u64,
    pub(super) stream: u8,
    pub(super) payload: Range<usize>,
    acknowledged: u64,
}

/// What a segment's bytes hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    pub(super) frames: Vec<Frame>,
    /// Sequence numbers of acknowledged records that cannot be read.
    pub(super) lost: Vec<Range<u64>>,
    /// Where the readable frames end; what follows was never acknowledged.
    pub(super) end: usize,
    /// The sequence number that comes next.
    pub(super) next: u64,
}

pub(super) fn write_header(header: &Header) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(header.id.as_bytes());
    bytes.extend_from_slice(&header.first.to_le_bytes());
    bytes.extend_from_slice(&header.acknowledged.to_le_bytes());
    bytes.extend_from_slice(&SUM.checksum(&bytes).to_le_bytes());
    bytes
}

/// `None` when there is no whole header.
pub(super) fn read_header(bytes: &[u8]) -> Option<Header> {
    let (said, sum) = bytes.get(..SEGMENT_HEADER_BYTES)?.split_at(SEGMENT_HEADER_BYTES - 4);
    if !said.starts_with(MAGIC) || SUM.checksum(said).to_le_bytes() != sum {
        return None;
    }
    Some(Header { id: Uuid::from_slice(&said[8..24]).ok()?, first: number(said, 24)?, acknowledged: number(said, 32)? })
}

/// Appends a frame. The payload must not be longer than [`PAYLOAD_BYTES_MAX`].
pub(super) fn write_frame(bytes: &mut Vec<u8>, sequence: u64, acknowledged: u64, stream: u8, payload: &[u8]) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(&acknowledged.to_le_bytes());
    bytes.push(stream);
    bytes.extend_from_slice(payload);
    let sum = SUM.checksum(&bytes[start + 4..]);
    bytes[start..start + 4].copy_from_slice(&sum.to_le_bytes());
}

/// Reads frames from `start` on, the first of which should be number `next`. `acknowledged` tells the last record that
/// counts, where that is known from elsewhere: whatever comes after it is left out, and all before it must be there.
pub(super) fn scan(bytes: &[u8], start: usize, next: u64, acknowledged: Option<u64>) -> Scanned {
    let mut scanned = Scanned { end: start, next, ..Scanned::default() };
    let last = acknowledged.unwrap_or(u64::MAX);
    while scanned.next <= last {
        let frame = frame_at(bytes, scanned.end).filter(|frame| frame.sequence == scanned.next);
        let Some(frame) = frame.or_else(|| resume(bytes, &scanned, acknowledged)) else { break };
        if frame.sequence > last {
            break;
        }
        if frame.sequence > scanned.next {
            scanned.lost.push(scanned.next..frame.sequence);
        }
        scanned.end = frame.payload.end;
        scanned.next = frame.sequence + 1;
        scanned.frames.push(frame);
    }
    if let Some(last) = acknowledged
        && scanned.next <= last
    {
        scanned.lost.push(scanned.next..last + 1);
        scanned.next = last + 1;
        scanned.end = bytes.len();
    }
    scanned
}

/// Behind a place where no frame can be read: the next one that can, if what lies between was acknowledged.
fn resume(bytes: &[u8], scanned: &Scanned, acknowledged: Option<u64>) -> Option<Frame> {
    let mut first: Option<Frame> = None;
    let mut counted = acknowledged.is_some_and(|last| last >= scanned.next);
    let mut at = scanned.end + 1;
    while at + FRAME_HEADER_BYTES <= bytes.len() {
        let Some(frame) = frame_at(bytes, at).filter(|frame| frame.sequence > scanned.next) else {
            at += 1;
            continue;
        };
        at = frame.payload.end;
        counted |= frame.acknowledged >= scanned.next;
        let frame = first.get_or_insert(frame);
        if counted {
            return Some(frame.clone());
        }
    }
    None
}

fn frame_at(bytes: &[u8], at: usize) -> Option<Frame> {
    let length = u32::from_le_bytes(bytes.get(at + 4..at + 8)?.try_into().ok()?) as usize;
    let payload = at + FRAME_HEADER_BYTES..at + FRAME_HEADER_BYTES + length;
    if length > PAYLOAD_BYTES_MAX || payload.end > bytes.len() {
        return None;
    }
    let sum = SUM.checksum(&bytes[at + 4..payload.end]);
    if bytes[at..at + 4] != sum.to_le_bytes() {
        return None;
    }
    let (sequence, acknowledged) = (number(bytes, at + 8)?, number(bytes, at + 16)?);
    Some(Frame { sequence, acknowledged, stream: bytes[at + 24], payload })
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "losses are lists of ranges")]
mod tests {
    use super::*;

    /// Groups of records: each group is written at once, when all before it are acknowledged.
    fn segment(groups: &[&[&str]]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = write_header(&Header { id: Uuid::nil(), first: 1, acknowledged: 0 });
        let (mut sequence, mut ends) = (0, vec![bytes.len()]);
        for group in groups {
            let acknowledged = sequence;
            for payload in *group {
                sequence += 1;
                write_frame(&mut bytes, sequence, acknowledged, 7, payload.as_bytes());
                ends.push(bytes.len());
            }
        }
        (bytes, ends)
    }

    fn texts(bytes: &[u8], scanned: &Scanned) -> Vec<String> {
        scanned.frames.iter().map(|f| String::from_utf8(bytes[f.payload.clone()].to_vec()).unwrap()).collect()
    }

    const GROUPS: &[&[&str]] = &[&["a", "bb"], &["ccc"], &["dddd", "", "f"]];

    #[test]
    fn what_is_written_is_read() {
        let (bytes, ends) = segment(GROUPS);
        let header = read_header(&bytes).unwrap();
        assert_eq!(header, Header { id: Uuid::nil(), first: 1, acknowledged: 0 });
        let scanned = scan(&bytes, SEGMENT_HEADER_BYTES, 1, None);
        assert_eq!(texts(&bytes, &scanned), ["a", "bb", "ccc", "dddd", "", "f"]);
        assert!(scanned.frames.iter().all(|frame| frame.stream == 7));
        assert_eq!((scanned.lost.len(), scanned.end, scanned.next), (0, bytes.len(), 7));
        let rest = scan(&bytes, ends[3], 4, None);
        assert_eq!(texts(&bytes, &rest), ["dddd", "", "f"]);
        assert_eq!(SUM.checksum(b"123456789"), 0xe306_9283, "CRC-32C's own check value");
    }

    #[test]
    fn a_file_cut_at_any_byte_keeps_its_whole_records_and_loses_no_other() {
        let (bytes, ends) = segment(GROUPS);
        for cut in SEGMENT_HEADER_BYTES..bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let scanned = scan(&bytes[..cut], SEGMENT_HEADER_BYTES, 1, None);
            assert_eq!(
                (scanned.frames.len(), scanned.end, scanned.next),
                (whole, ends[whole], whole as u64 + 1),
                "{cut}"
            );
            assert!(scanned.lost.is_empty(), "{cut}");
        }
        for cut in 0..SEGMENT_HEADER_BYTES {
            assert_eq!(read_header(&bytes[..cut]), None);
        }
    }

    #[test]
    fn every_broken_byte_is_found_and_only_acknowledged_records_are_reported_lost() {
        let (good, ends) = segment(GROUPS);
        for at in SEGMENT_HEADER_BYTES..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0x40;
            let broken = ends.iter().filter(|end| **end <= at).count() as u64;
            let scanned = scan(&bytes, SEGMENT_HEADER_BYTES, 1, None);
            if broken <= 3 {
                // a later group says that it was acknowledged, so all others are read and the loss is told
                assert_eq!(scanned.lost, [broken..broken + 1], "{at}");
                assert_eq!(scanned.frames.len(), 5, "{at}");
                assert_eq!(scanned.next, 7);
            } else {
                // the last group may never have been synced: it is cut at the broken frame
                assert!(scanned.lost.is_empty(), "{at}");
                assert_eq!((scanned.frames.len() as u64, scanned.next), (broken - 1, broken), "{at}");
            }
        }
    }

    #[test]
    fn what_was_refused_is_left_out_and_what_was_acknowledged_must_be_there() {
        let (bytes, ends) = segment(GROUPS);
        let refused = scan(&bytes, SEGMENT_HEADER_BYTES, 1, Some(3));
        assert_eq!((refused.frames.len(), refused.end, refused.next), (3, ends[3], 4));
        let cut = scan(&bytes[..ends[4]], SEGMENT_HEADER_BYTES, 1, Some(6));
        assert_eq!((cut.frames.len(), cut.lost.as_slice(), cut.next), (4, [5..7].as_slice(), 7));
        let mut torn = bytes.clone();
        torn[ends[3] + 5] ^= 1;
        let known = scan(&torn, SEGMENT_HEADER_BYTES, 1, Some(6));
        assert_eq!((known.frames.len(), known.lost.as_slice()), (5, [4..5].as_slice()));
    }

    #[test]
    fn rubbish_is_no_record() {
        for rubbish in [&[][..], &[0; 200], &[0xff; 200], b"pgmesh-wpgmesh-wpgmesh-wpgmesh-wpgmesh-wpgmesh-w"] {
            assert_eq!(read_header(rubbish), None);
            assert_eq!(scan(rubbish, 0, 1, None), Scanned { end: 0, next: 1, ..Scanned::default() });
        }
    }
}
