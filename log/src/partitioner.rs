//! Which partition the events of a user belong to.
//!
//! The hash is the one of Kafka's default partitioner (murmur2 of the key, sign bit cleared, modulo the
//! number of partitions), so that events lie in the same partitions whichever log holds them. As in
//! Kafka, adding partitions moves users to other ones.

use tidegate_model::PartitionId;

/// The partition of the events of `user_id` among `partitions`, which is at least 1.
pub fn partition_of(user_id: &[u8], partitions: u32) -> PartitionId {
    PartitionId((murmur2(user_id) & 0x7fff_ffff) % partitions)
}

fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    // Kafka's length is a 32-bit int; no key is longer than that.
    let length = u32::try_from(data.len() & 0xffff_ffff).expect("it was masked to 32 bits");
    let mut hash = SEED ^ length;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    for (index, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * index);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_kafkas_own_tests() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_negative_hash_gives_a_partition_too() {
        assert_eq!(partition_of(b"21", 6), PartitionId((-973_932_308_i32).cast_unsigned() % (1 << 31) % 6));
        assert_eq!(partition_of(b"anyone", 1), PartitionId(0));
    }
}
