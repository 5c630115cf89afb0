/* SPDX-License-Identifier: BSD-3-Clause */
/* SipHash against published vectors and against each other; the mixer against its properties. */
#include "test.h"
#include <osv/hash.h>
#include <osv/prng.h>
#include <osv/string.h>

static const struct hash_key paper_key = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

static void sip24_gives_the_published_values(void)
{
    uint8_t data[64];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)i;
    /* appendix A of the paper, and the reference code's vectors.h for lengths 0, 1, 7, 8 and 63 */
    CHECK(hash_sip24(&paper_key, data, 15) == 0xa129ca6149be45e5u);
    CHECK(hash_sip24(&paper_key, data, 0) == 0x726fdb47dd0e0e31u);
    CHECK(hash_sip24(&paper_key, data, 1) == 0x74f839c593dc67fdu);
    CHECK(hash_sip24(&paper_key, data, 7) == 0xab0200f58b01d137u);
    CHECK(hash_sip24(&paper_key, data, 8) == 0x93f5f5799a932462u);
    CHECK(hash_sip24(&paper_key, data, 63) == 0x958a324ceb064572u);
}

static void sip13_gives_the_values_of_another_implementation(void)
{
    /* CPython 3.11 hashes bytes with SipHash-1-3; PYTHONHASHSEED=0 makes the key zero */
    static const struct {
        size_t size;
        uint64_t hash;
    } expected[] = {{1, 0x68a914128e01e473u}, {7, 0x2f098ab0c751325au},  {8, 0xead411e67ebe2eeau},
                    {9, 0x75927f9d95124362u}, {16, 0x8972188433a5c5b7u}, {33, 0x7fb71d24dfa4c9f6u}};
    static const struct hash_key zero;
    uint8_t data[64];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)i;
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++)
        CHECK(hash_sip13(&zero, data, expected[i].size) == expected[i].hash);
}

static void the_inline_forms_are_sip13_of_little_endian_bytes(void)
{
    struct prng prng;
    prng_seed(&prng, 5);
    for (size_t i = 0; i < test_scaled(1000); i++) {
        struct hash_key key = {prng_next(&prng), prng_next(&prng)};
        uint64_t words[2] = {prng_next(&prng), prng_next(&prng)};
        uint8_t bytes[16];
        for (unsigned b = 0; b < 16; b++)
            bytes[b] = (uint8_t)(words[b / 8] >> (b % 8 * 8));
        CHECK(hash_u64(&key, words[0]) == hash_sip13(&key, bytes, 8));
        CHECK(hash_u64_pair(&key, words[0], words[1]) == hash_sip13(&key, bytes, 16));
    }
}

static void alignment_does_not_matter(void)
{
    uint8_t buffer[48];
    for (size_t shift = 0; shift < 8; shift++) {
        for (size_t i = 0; i < 32; i++)
            buffer[shift + i] = (uint8_t)(i * 7);
        uint8_t copy[32];
        memcpy(copy, buffer + shift, sizeof copy);
        CHECK(hash_sip13(&paper_key, buffer + shift, 29) == hash_sip13(&paper_key, copy, 29));
        CHECK(hash_sip24(&paper_key, buffer + shift, 29) == hash_sip24(&paper_key, copy, 29));
    }
}

static void mix64_spreads_each_input_bit(void)
{
    /* the first output of SplitMix64 with seed 0 is the mix of the golden gamma */
    CHECK(hash_mix64(0x9e3779b97f4a7c15u) == 0xe220a8397b1dcdafu);
    struct prng prng;
    prng_seed(&prng, 6);
    for (unsigned bit = 0; bit < 64; bit++) {
        unsigned changed = 0;
        for (int i = 0; i < 256; i++) {
            uint64_t x = prng_next(&prng);
            changed +=
                (unsigned)__builtin_popcountll(hash_mix64(x) ^ hash_mix64(x ^ (uint64_t)1 << bit));
        }
        CHECK(changed > 256 * 30 && changed < 256 * 34); /* 32 on average, 8 standard errors */
    }
}

TEST_CASES_BEGIN
    {.name = "hash: sip24 gives the published values",
     .run = sip24_gives_the_published_values},
    {.name = "hash: sip13 gives the values of another implementation",
     .run = sip13_gives_the_values_of_another_implementation},
    {.name = "hash: the inline forms are sip13 of little-endian bytes",
     .run = the_inline_forms_are_sip13_of_little_endian_bytes},
    {.name = "hash: alignment does not matter", .run = alignment_does_not_matter},
    {.name = "hash: mix64 spreads each input bit", .run = mix64_spreads_each_input_bit},
TEST_CASES_END
