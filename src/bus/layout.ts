/**
 * Owns the bytes of a ring: the picture and the offsets, nothing else. Little endian.
 *
 * HEADER, 4096 bytes. Each word that several threads write has a 128-byte line of its own.
 *
 *      0  magic u32 | version u32 | capacity u32 | groupCount u32 | partition u32 | - | baseOffset i64
 *     64  topicNameLength u8 | topicName                       written once, by the creator
 *    128  lock i32 | lockWaiters i32                           0 = free, else the id of the actor that appends
 *    256  tail i64 | intent i64                                tail: published end, the only word that makes a record exist
 *                                                              intent: highest end that was ever begun; bytes below
 *                                                              intent - capacity may be overwritten at any moment
 *    384  signal i32 | waiters i32                             +1 a publish; consumers park here
 *    512  space i32 | spaceWaiters i32                         +1 a commit; appenders and acks park here
 *    640  appendedRecords f64 | paddingBytes f64               written under the lock
 *         pendingRecords f64 | pendingEnd f64                  what the append in progress will have made of them
 *         rejected i64                                         appends answered BACK_PRESSURED
 *   1024 + 128 g   one group, g < 24
 *      0  committed i64 | committedRecords f64 | lapped f64 | lostRecords f64
 *     32  owner i32 | epoch i32 | attempts i32 | mode i32 | fence i32
 *     64  nameLength u8 | name
 *
 * DATA, `capacity` bytes. The record at offset o begins at byte o % capacity and is never split: what
 * is left at the end is one padding record, published together with the record that did not fit.
 *
 *      0                 4                 8                 12
 *      +-----------------+--------+--------+-----------------+-----------------+
 *      | length u32      | type   | flags  | stamp u32       | sequence u32    |
 *      +-----------------+--------+--------+-----------------+-----------------+
 *   16 | correlation u32 | keyLen | actor  | timestamp_ms f64                  |
 *      +-----------------+--------+--------+-----------------------------------+
 *   32 | key bytes | value bytes | up to 31 bytes that nobody reads            |
 *      +-----------------------------------------------------------------------+
 *
 *   length    header + key + value, not rounded up; a padding record's is all that is left
 *   stamp     offset / 32, low 32 bits: the reader knows what it must be, anything else is a crash
 *   sequence  number of the record in this ring, low 32 bits: the reader sees a gap or a repeat
 *   actor     low 16 bits of the appender's id, for people
 */
export const RING_MAGIC = 0x31474e52 // "RNG1"
export const RING_VERSION = 1

export const HEADER_LENGTH = 4096
export const CAPACITY_BYTES_MIN = 4096
export const CAPACITY_BYTES_MAX = 256 * 1024 * 1024
/** A longer record would let one appender starve the rest; with its padding it never needs more than half. */
export const RECORDS_PER_RING_MIN = 4
export const GROUPS_MAX = 24
export const NAME_LENGTH_MAX = 63
export const KEY_LENGTH_MAX = 0xffff
export const TYPE_MAX = 0xffff

export const MAGIC_OFFSET = 0
export const VERSION_OFFSET = 4
export const CAPACITY_OFFSET = 8
export const GROUP_COUNT_OFFSET = 12
export const PARTITION_OFFSET = 16
export const BASE_OFFSET = 24
export const TOPIC_NAME_OFFSET = 64
export const LOCK_OFFSET = 128
export const LOCK_WAITERS_OFFSET = 132
export const TAIL_OFFSET = 256
export const INTENT_OFFSET = 264
export const SIGNAL_OFFSET = 384
export const SIGNAL_WAITERS_OFFSET = 388
export const SPACE_OFFSET = 512
export const SPACE_WAITERS_OFFSET = 516
export const APPENDED_RECORDS_OFFSET = 640
export const PADDING_BYTES_OFFSET = 648
export const PENDING_RECORDS_OFFSET = 656
export const PENDING_END_OFFSET = 664
export const REJECTED_OFFSET = 672

export const GROUPS_OFFSET = 1024
export const GROUP_LENGTH = 128
export const COMMITTED_OFFSET = 0
export const COMMITTED_RECORDS_OFFSET = 8
export const LAPPED_OFFSET = 16
export const LOST_RECORDS_OFFSET = 24
export const OWNER_OFFSET = 32
export const EPOCH_OFFSET = 36
export const ATTEMPTS_OFFSET = 40
export const MODE_OFFSET = 44
export const FENCE_OFFSET = 48
export const GROUP_NAME_OFFSET = 64

export const MODE_GATING = 1
export const MODE_LOSSY = 2

export const RECORD_ALIGNMENT = 32
export const RECORD_HEADER_LENGTH = 32
export const LENGTH_FIELD = 0
export const TYPE_FIELD = 4
export const FLAGS_FIELD = 6
export const STAMP_FIELD = 8
export const SEQUENCE_FIELD = 12
export const CORRELATION_FIELD = 16
export const KEY_LENGTH_FIELD = 20
export const ACTOR_FIELD = 22
export const TIMESTAMP_FIELD = 24

/** The type of the record that fills the end of the ring; no topic may use it. */
export const PADDING_TYPE = 0
