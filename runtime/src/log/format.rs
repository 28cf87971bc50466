//! The format of a log segment: a header, then consecutive records. Pure: no file access.
//!
//! *Invariant:* a record is valid only if its checksum matches, and the checksum covers the segment's salt (new at
//! every reuse of the file) and the record's own offset. So neither a record of the file's earlier use nor
//! bytes inside a client's value can pass as a record of this segment.
//!
//! *Invariant:* every record carries the offset at which its round (one write, one fdatasync) began. Everything
//! before that was durable when the record was written, which distinguishes damage from a torn last round.

/// Little endian throughout.
const MAGIC: [u8; 8] = *b"dkcdlog\n";
pub const FORMAT_VERSION: u16 = dkc_core::versions::LOG_FORMAT as u16;
/// A separate page, so that writing records never rewrites the header.
pub const HEADER_BYTES: usize = 4096;
const HEADER_USED_BYTES: usize = 40;
/// checksum 4, payload length 4, generation (low half) 4, round 4, index 8, group 2, kind 1, zero 5.
pub const RECORD_HEADER_BYTES: usize = 32;
/// Records are aligned to this, which narrows the search for surviving records.
const ALIGN_BYTES: usize = 8;
/// Space that every segment reserves for its last record.
pub const SEAL_BYTES: usize = RECORD_HEADER_BYTES;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Increments with each segment: the order of the log.
    pub generation: u64,
    /// Random, new for each use of the file.
    pub salt: u64,
    pub segment_bytes: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum BadHeader {
    Damaged(&'static str),
    Version(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// An entry; truncates earlier ones from its index on.
    Entry = 1,
    /// A copy of a live entry from a segment about to be dropped; truncates nothing.
    Rewritten = 2,
    Vote = 3,
    Committed = 4,
    /// Truncates all entries from the index on.
    Truncate = 5,
    /// Purges all entries up to the index; the payload is the caller's name of the last one.
    Purge = 6,
    /// The group has left this node: records before this one are obsolete.
    Drop = 7,
    /// At the head of a segment: the group's first live index at that time.
    First = 8,
    /// Records only that everything before its round is durable.
    Mark = 9,
    /// The last record of a segment that has a successor.
    Seal = 10,
}

impl RecordKind {
    fn from_byte(byte: u8) -> Option<RecordKind> {
        use RecordKind::*;
        [Entry, Rewritten, Vote, Committed, Truncate, Purge, Drop, First, Mark, Seal]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRecord<'a> {
    pub kind: RecordKind,
    pub group: u16,
    pub index: u64,
    pub round: u32,
    pub payload: &'a [u8],
}

/// The space of a record with a payload of this length.
pub fn record_bytes(payload_length: usize) -> usize {
    (RECORD_HEADER_BYTES + payload_length).next_multiple_of(ALIGN_BYTES)
}

pub fn encode_header(header: &SegmentHeader) -> [u8; HEADER_BYTES] {
    let mut page = [0; HEADER_BYTES];
    page[0..8].copy_from_slice(&MAGIC);
    page[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    page[12..20].copy_from_slice(&header.generation.to_le_bytes());
    page[20..28].copy_from_slice(&header.salt.to_le_bytes());
    page[28..36].copy_from_slice(&header.segment_bytes.to_le_bytes());
    let checksum = crc32fast::hash(&page[0..36]);
    page[36..HEADER_USED_BYTES].copy_from_slice(&checksum.to_le_bytes());
    page
}

/// The version is checked before the checksum: a later format may place its checksum elsewhere.
pub fn decode_header(page: &[u8]) -> Result<SegmentHeader, BadHeader> {
    if page.len() < HEADER_BYTES {
        return Err(BadHeader::Damaged("the file is shorter than a header"));
    }
    if page[0..8] != MAGIC {
        return Err(BadHeader::Damaged("the file is not a log segment"));
    }
    let version = u16::from_le_bytes([page[8], page[9]]);
    if version != FORMAT_VERSION {
        return Err(BadHeader::Version(version));
    }
    if crc32fast::hash(&page[0..36]) != u32_at(page, 36) {
        return Err(BadHeader::Damaged("checksum mismatch in the segment's header"));
    }
    Ok(SegmentHeader {
        generation: u64_at(page, 12),
        salt: u64_at(page, 20),
        segment_bytes: u64_at(page, 28),
    })
}

/// Appends the record to `buffer`; `offset` is its position in the segment.
pub fn encode(buffer: &mut Vec<u8>, segment: &SegmentHeader, offset: u32, record: &LogRecord<'_>) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&(record.payload.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&(segment.generation as u32).to_le_bytes());
    buffer.extend_from_slice(&record.round.to_le_bytes());
    buffer.extend_from_slice(&record.index.to_le_bytes());
    buffer.extend_from_slice(&record.group.to_le_bytes());
    buffer.push(record.kind as u8);
    buffer.extend_from_slice(&[0; 5]);
    buffer.extend_from_slice(record.payload);
    let checksum = checksum(segment, offset, &buffer[start + 4..]);
    buffer[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
    buffer.resize(start + record_bytes(record.payload.len()), 0);
}

/// The record that begins at `bytes[0]`, at `offset` of the segment; `None` if there is none.
pub fn decode<'a>(bytes: &'a [u8], segment: &SegmentHeader, offset: u32) -> Option<LogRecord<'a>> {
    let header = bytes.get(..RECORD_HEADER_BYTES)?;
    if u32_at(header, 8) != segment.generation as u32 {
        return None;
    }
    let whole = bytes.get(..RECORD_HEADER_BYTES.checked_add(u32_at(header, 4) as usize)?)?;
    let kind = RecordKind::from_byte(header[26])?;
    if checksum(segment, offset, &whole[4..]) != u32_at(header, 0) {
        return None;
    }
    Some(LogRecord {
        kind,
        group: u16::from_le_bytes([header[24], header[25]]),
        index: u64_at(header, 16),
        round: u32_at(header, 12),
        payload: &whole[RECORD_HEADER_BYTES..],
    })
}

/// The end of a segment's chain of records.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// Sealed: there is a later segment.
    Sealed,
    /// At this offset; `has_leftovers` if whole records of a torn round follow it.
    Open { at: u32, has_leftovers: bool },
    /// At this offset, though a record further on was written when this place was already durable.
    Damaged { at: u32, witness: u32 },
}

/// Visits the records of a segment in order and returns how the chain ends.
pub fn scan<E>(
    bytes: &[u8],
    segment: &SegmentHeader,
    mut visit: impl FnMut(u32, LogRecord<'_>) -> Result<(), E>,
) -> Result<Ending, E> {
    let mut at = HEADER_BYTES;
    while let Some(record) = bytes.get(at..).and_then(|rest| decode(rest, segment, at as u32)) {
        if record.kind == RecordKind::Seal {
            return Ok(Ending::Sealed);
        }
        visit(at as u32, record)?;
        at += record_bytes(record.payload.len());
    }
    Ok(judge_end(bytes, segment, at))
}

fn judge_end(bytes: &[u8], segment: &SegmentHeader, at: usize) -> Ending {
    let mut has_leftovers = false;
    let mut place = at + ALIGN_BYTES;
    while place + RECORD_HEADER_BYTES <= bytes.len() {
        match decode(&bytes[place..], segment, place as u32) {
            Some(record) if record.round as usize > at => {
                return Ending::Damaged { at: at as u32, witness: place as u32 };
            }
            Some(record) => {
                has_leftovers = true;
                place += record_bytes(record.payload.len());
            }
            None => place += ALIGN_BYTES,
        }
    }
    Ending::Open { at: at as u32, has_leftovers }
}

fn checksum(segment: &SegmentHeader, offset: u32, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut place = [0; 12];
    place[0..8].copy_from_slice(&segment.salt.to_le_bytes());
    place[8..12].copy_from_slice(&offset.to_le_bytes());
    hasher.update(&place);
    hasher.update(body);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: SegmentHeader =
        SegmentHeader { generation: 7, salt: 0x1122_3344_5566_7788, segment_bytes: 8192 };

    fn record(index: u64, round: u32, payload: &[u8]) -> LogRecord<'_> {
        LogRecord { kind: RecordKind::Entry, group: 3, index, round, payload }
    }

    /// A segment with these records, and where each begins.
    fn segment_of(records: &[LogRecord<'_>]) -> (Vec<u8>, Vec<u32>) {
        let mut bytes = encode_header(&SEGMENT).to_vec();
        let mut places = Vec::new();
        for record in records {
            let place = bytes.len() as u32;
            places.push(place);
            encode(&mut bytes, &SEGMENT, place, record);
        }
        bytes.resize(SEGMENT.segment_bytes as usize, 0);
        (bytes, places)
    }

    fn check(bytes: &[u8], want_indexes: &[u64], want: Ending) {
        let mut indexes = Vec::new();
        let ending = scan(bytes, &SEGMENT, |_, record| {
            indexes.push(record.index);
            Ok::<(), ()>(())
        });
        assert_eq!((indexes.as_slice(), ending), (want_indexes, Ok(want)));
    }

    #[test]
    fn format_one_has_these_bytes_for_ever() {
        let header = SegmentHeader { generation: 1, salt: 2, segment_bytes: 3 };
        assert_eq!(
            hex(&encode_header(&header)[..HEADER_USED_BYTES]),
            "646b63646c6f670a01000000010000000000000002000000000000000300000000000000ac11dbb7"
        );
        let mut bytes = Vec::new();
        encode(&mut bytes, &header, 4096, &record(5, 4096, b"abc"));
        assert_eq!(
            hex(&bytes),
            "3f503dfd030000000100000000100000050000000000000003000100000000006162630000000000"
        );
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn records_are_read_back_in_order() {
        let (bytes, _) =
            segment_of(&[record(1, 4096, b""), record(2, 4096, b"x"), record(3, 4096, &[9; 100])]);
        check(&bytes, &[1, 2, 3], Ending::Open { at: 4096 + 32 + 40 + 136, has_leftovers: false });
    }

    #[test]
    fn damage_before_a_durable_place_is_told_from_a_torn_last_round() {
        let (whole, places) =
            segment_of(&[record(1, 4096, b"a"), record(2, 4136, b"b"), record(3, 4136, b"c")]);
        let mut damaged = whole.clone();
        damaged[places[0] as usize + 32] ^= 1;
        check(&damaged, &[], Ending::Damaged { at: places[0], witness: places[1] });
        let mut torn = whole;
        torn[places[1] as usize + 32] ^= 1;
        check(&torn, &[1], Ending::Open { at: places[1], has_leftovers: true });
    }

    #[test]
    fn a_record_of_another_life_or_another_place_does_not_count() {
        let (bytes, places) = segment_of(&[record(1, 4096, b"a")]);
        let at = places[0] as usize;
        assert!(decode(&bytes[at..], &SEGMENT, places[0]).is_some());
        assert!(decode(&bytes[at..], &SegmentHeader { salt: 1, ..SEGMENT }, places[0]).is_none());
        assert!(decode(&bytes[at..], &SegmentHeader { generation: 8, ..SEGMENT }, places[0]).is_none());
        assert!(decode(&bytes[at..], &SEGMENT, places[0] + 8).is_none());
    }

    #[test]
    fn a_header_that_is_not_ours_is_refused() {
        let good = encode_header(&SEGMENT);
        assert_eq!(decode_header(&good), Ok(SEGMENT));
        let mut later = good;
        later[8] = 2;
        assert_eq!(decode_header(&later), Err(BadHeader::Version(2)));
        let mut flipped = good;
        flipped[13] ^= 1;
        assert!(matches!(decode_header(&flipped), Err(BadHeader::Damaged(_))));
        assert!(matches!(decode_header(&[0; HEADER_BYTES]), Err(BadHeader::Damaged(_))));
        assert!(matches!(decode_header(&good[..100]), Err(BadHeader::Damaged(_))));
    }
}
