/* SPDX-License-Identifier: BSD-3-Clause */
/* Fast pseudo-random numbers for scheduling, sampling and tests; predictable, so never for secrets.
 * xoshiro256**: D. Blackman and S. Vigna, "Scrambled Linear Pseudorandom Number Generators", ACM
 * TOMS 47(4), 2021. Context: any; a struct prng belongs to one CPU or thread. Nothing can fail. */
#pragma once
#include <osv/types.h>

struct prng {
    uint64_t state[4]; /* never all zero */
};

/* The same seed gives the same numbers on every machine. The state comes from SplitMix64 (Steele,
 * Lea and Flood, OOPSLA 2014), as the authors of xoshiro advise, so that any seed is a good one. */
void prng_seed(struct prng *prng, uint64_t seed);

static inline uint64_t prng_rotate_left_(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

/* The next 64 random bits. */
static inline uint64_t prng_next(struct prng *prng)
{
    uint64_t *s = prng->state;
    uint64_t result = prng_rotate_left_(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = prng_rotate_left_(s[3], 45);
    return result;
}

/* A number below bound > 0, all equally likely: D. Lemire, "Fast Random Integer Generation in an
 * Interval", ACM TOMACS 29(1), 2019. A division happens with probability bound / 2^64. */
static inline uint64_t prng_below(struct prng *prng, uint64_t bound)
{
    unsigned __int128 product = (unsigned __int128)prng_next(prng) * bound;
    if (unlikely((uint64_t)product < bound)) {
        uint64_t reject = (0 - bound) % bound;
        while ((uint64_t)product < reject)
            product = (unsigned __int128)prng_next(prng) * bound;
    }
    return (uint64_t)(product >> 64);
}

/* Fills size bytes. */
void prng_bytes(struct prng *prng, void *to, size_t size);
