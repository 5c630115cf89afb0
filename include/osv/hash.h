/* SPDX-License-Identifier: BSD-3-Clause */
/* Hashing. Wherever an outsider chooses what is hashed (flows, names, futex addresses) the keyed
 * functions are the ones to use: SipHash, J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast
 * short-input PRF", INDOCRYPT 2012. SipHash-1-3 is for tables that are private to the kernel;
 * SipHash-2-4, the conservative parameters, for values that the outside gets to see (sequence
 * numbers, cookies). Context: any. Pure functions that cannot fail. */
#pragma once
#include <osv/types.h>

struct hash_key {
    uint64_t k0, k1; /* secret and random; drawn at boot */
};

/* SipHash of size bytes. */
uint64_t hash_sip13(const struct hash_key *key, const void *data, size_t size);
uint64_t hash_sip24(const struct hash_key *key, const void *data, size_t size);

struct hash_sip_ {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t hash_rotate_left_(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

ALWAYS_INLINE void hash_sip_rounds_(struct hash_sip_ *s, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = hash_rotate_left_(s->v1, 13) ^ s->v0;
        s->v3 = hash_rotate_left_(s->v3, 16) ^ s->v2;
        s->v0 = hash_rotate_left_(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = hash_rotate_left_(s->v1, 17) ^ s->v2;
        s->v3 = hash_rotate_left_(s->v3, 21) ^ s->v0;
        s->v2 = hash_rotate_left_(s->v2, 32);
    }
}

ALWAYS_INLINE struct hash_sip_ hash_sip_begin_(const struct hash_key *key)
{
    return (struct hash_sip_){key->k0 ^ 0x736f6d6570736575u, key->k1 ^ 0x646f72616e646f6du,
                              key->k0 ^ 0x6c7967656e657261u, key->k1 ^ 0x7465646279746573u};
}

ALWAYS_INLINE void hash_sip_word_(struct hash_sip_ *s, uint64_t word, int rounds)
{
    s->v3 ^= word;
    hash_sip_rounds_(s, rounds);
    s->v0 ^= word;
}

ALWAYS_INLINE uint64_t hash_sip_end_(struct hash_sip_ *s, int rounds)
{
    s->v2 ^= 0xff;
    hash_sip_rounds_(s, rounds);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* SipHash-1-3 of one or two words: what hash_sip13() gives for their little-endian bytes, inline.
 */
static inline uint64_t hash_u64(const struct hash_key *key, uint64_t word)
{
    struct hash_sip_ s = hash_sip_begin_(key);
    hash_sip_word_(&s, word, 1);
    hash_sip_word_(&s, (uint64_t)8 << 56, 1);
    return hash_sip_end_(&s, 3);
}

static inline uint64_t hash_u64_pair(const struct hash_key *key, uint64_t first, uint64_t second)
{
    struct hash_sip_ s = hash_sip_begin_(key);
    hash_sip_word_(&s, first, 1);
    hash_sip_word_(&s, second, 1);
    hash_sip_word_(&s, (uint64_t)16 << 56, 1);
    return hash_sip_end_(&s, 3);
}

/* A bijection that spreads every input bit over all output bits; no secret, so only for keys that
 * we choose ourselves. D. Stafford's "Mix13" of MurmurHash3's finaliser (2011), which SplitMix64
 * uses. */
static inline uint64_t hash_mix64(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}
