//! Size limits of entries and appends. A request admitted by the node port fits into an entry, and an entry fits into an append
//! next to whatever else is read with it: a tablet never has an entry that cannot be sent.

use dkc_core::kv::{KEY_MAX_BYTES, VALUE_MAX_BYTES_LIMIT};
use dkc_core::wire::FRAME_MAX_BYTES;

/// Bytes of one entry, unless a single write is larger: a follower's append stays short.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Upper bound of an item's size in an entry besides its key and value.
pub const ITEM_REST_MAX_BYTES: usize = 192;
/// The largest entry: the bound of several writes, or the largest write alone.
pub const ENTRY_MAX_BYTES: usize =
    BATCH_BYTES_MAX + KEY_MAX_BYTES + VALUE_MAX_BYTES_LIMIT + ITEM_REST_MAX_BYTES;
/// Bytes read for one append request, far below the largest frame, so that a lagging
/// follower costs the leader little memory. The entry that exceeds it is the last one.
pub const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of an append request besides its entries.
const APPEND_REST_MAX_BYTES: usize = 64 * 1024;
const _: () = assert!(READ_BYTES_MAX + ENTRY_MAX_BYTES + APPEND_REST_MAX_BYTES <= FRAME_MAX_BYTES);
