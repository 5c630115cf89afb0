/* SPDX-License-Identifier: BSD-3-Clause */
#include <osv/hash.h>
#include <osv/prng.h>

void prng_seed(struct prng *prng, uint64_t seed)
{
    for (size_t i = 0; i < ARRAY_COUNT(prng->state); i++) {
        seed += 0x9e3779b97f4a7c15u;
        prng->state[i] = hash_mix64(seed);
    }
}

void prng_bytes(struct prng *prng, void *to, size_t size)
{
    uint8_t *bytes = to;
    while (size > 0) {
        uint64_t word = prng_next(prng);
        for (unsigned i = 0; i < 8 && size > 0; i++, size--, word >>= 8)
            *bytes++ = (uint8_t)word;
    }
}
