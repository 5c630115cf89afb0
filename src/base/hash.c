/* SPDX-License-Identifier: BSD-3-Clause */
/* SipHash over bytes; the round function and the source are in hash.h. */
#include <osv/hash.h>

/* Up to 8 bytes, little-endian on any machine; compilers make one load of the whole word. */
ALWAYS_INLINE uint64_t load_bytes(const uint8_t *bytes, size_t count)
{
    uint64_t word = 0;
    for (size_t i = 0; i < count; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

ALWAYS_INLINE uint64_t sip(const struct hash_key *key, const void *data, size_t size,
                           int rounds_each, int rounds_end)
{
    const uint8_t *bytes = data;
    struct hash_sip_ s = hash_sip_begin_(key);
    size_t left = size;
    for (; left >= 8; left -= 8, bytes += 8)
        hash_sip_word_(&s, load_bytes(bytes, 8), rounds_each);
    hash_sip_word_(&s, load_bytes(bytes, left) | (uint64_t)size << 56, rounds_each);
    return hash_sip_end_(&s, rounds_end);
}

uint64_t hash_sip13(const struct hash_key *key, const void *data, size_t size)
{
    return sip(key, data, size, 1, 3);
}

uint64_t hash_sip24(const struct hash_key *key, const void *data, size_t size)
{
    return sip(key, data, size, 2, 4);
}
