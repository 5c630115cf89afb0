/* SPDX-License-Identifier: BSD-3-Clause */
/* The generator against published outputs, and the bounded form against its promise of equal odds.
 */
#include "test.h"
#include <osv/prng.h>
#include <osv/string.h>

static void next_gives_the_published_sequence(void)
{
    /* xoshiro256starstar.c of the authors with state 1, 2, 3, 4, as published with rand_xoshiro */
    static const uint64_t expected[] = {11520u,
                                        0u,
                                        1509978240u,
                                        1215971899390074240u,
                                        1216172134540287360u,
                                        607988272756665600u,
                                        16172922978634559625u,
                                        8476171486693032832u,
                                        10595114339597558777u,
                                        2904607092377533576u};
    struct prng prng = {{1, 2, 3, 4}};
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++)
        CHECK(prng_next(&prng) == expected[i]);
}

static void seeding_is_splitmix64(void)
{
    static const uint64_t expected[] = {1985237415132408290u, 2979275885539914483u,
                                        13511426838097143398u, 8488337342461049707u};
    struct prng prng;
    prng_seed(&prng, 1477776061723855037u);
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++)
        CHECK(prng.state[i] == expected[i]);
}

static void below_is_in_range_and_even(void)
{
    struct prng prng;
    prng_seed(&prng, 7);
    for (uint64_t bound = 1; bound < 40; bound++) {
        size_t hits[40] = {0}, rounds = 2000;
        for (size_t i = 0; i < bound * rounds; i++) {
            uint64_t got = prng_below(&prng, bound);
            CHECK(got < bound);
            hits[got]++;
        }
        for (uint64_t i = 0; i < bound; i++) /* 7 standard deviations of about 45 */
            CHECK(hits[i] > rounds - 315 && hits[i] < rounds + 315);
    }
}

/* With a bound of 3/4 of the range, plain scaling would hit one residue in three twice as often. */
static void below_is_unbiased_for_huge_bounds(void)
{
    struct prng prng;
    prng_seed(&prng, 8);
    uint64_t bound = (uint64_t)3 << 62;
    size_t hits[3] = {0};
    for (int i = 0; i < 30000; i++) {
        uint64_t got = prng_below(&prng, bound);
        CHECK(got < bound);
        hits[got % 3]++;
    }
    for (int i = 0; i < 3; i++)
        CHECK(hits[i] > 9400 && hits[i] < 10600);
}

static void bytes_are_the_sequence_and_end_where_they_should(void)
{
    for (size_t size = 0; size < 30; size++) {
        struct prng a, b;
        prng_seed(&a, 9);
        prng_seed(&b, 9);
        uint8_t got[40];
        memset(got, 0xa5, sizeof got);
        prng_bytes(&a, got, size);
        for (size_t i = 0; i < sizeof got; i += 8) {
            uint64_t word = prng_next(&b);
            for (size_t k = i; k < i + 8; k++)
                CHECK_EQ(got[k], k < size ? (uint8_t)(word >> (k - i) * 8) : 0xa5);
        }
    }
}

TEST_CASES_BEGIN
    {.name = "prng: next gives the published sequence",
     .run = next_gives_the_published_sequence},
    {.name = "prng: seeding is SplitMix64", .run = seeding_is_splitmix64},
    {.name = "prng: below is in range and even", .run = below_is_in_range_and_even},
    {.name = "prng: below is unbiased for huge bounds", .run = below_is_unbiased_for_huge_bounds},
    {.name = "prng: bytes are the sequence and end where they should",
     .run = bytes_are_the_sequence_and_end_where_they_should},
TEST_CASES_END
