/* SPDX-License-Identifier: BSD-3-Clause */
/* Bitmaps of 64-bit words, bit i being bit i % 64 of word i / 64. "bits" is always the size of the
 * map; bits of the last word behind it are ignored by every search. A search that finds nothing
 * returns bits.
 *
 * Locks: bitmap_... needs the owner's lock; bitmap_atomic_... works on words that any context
 * changes at any time. Context: any. None can fail; all but the searches and ranges are O(1). */
#pragma once
#include <osv/assert.h>
#include <osv/atomic.h>
#include <osv/types.h>

#define BITMAP_WORD_BITS 64
#define BITMAP_WORDS(bits) (((size_t)(bits) + BITMAP_WORD_BITS - 1) / BITMAP_WORD_BITS)

static inline uint64_t bitmap_mask_(size_t index)
{
    return (uint64_t)1 << (index % BITMAP_WORD_BITS);
}

static inline bool bitmap_test(const uint64_t *map, size_t index)
{
    return map[index / BITMAP_WORD_BITS] >> (index % BITMAP_WORD_BITS) & 1;
}

static inline void bitmap_set(uint64_t *map, size_t index)
{
    map[index / BITMAP_WORD_BITS] |= bitmap_mask_(index);
}

static inline void bitmap_clear(uint64_t *map, size_t index)
{
    map[index / BITMAP_WORD_BITS] &= ~bitmap_mask_(index);
}

/* Set or clear count bits from index on. */
void bitmap_set_range(uint64_t *map, size_t index, size_t count);
void bitmap_clear_range(uint64_t *map, size_t index, size_t count);

/* The set bits of a word: Warren, "Hacker's Delight", figure 5-2; the builtin may become a call
 * into libgcc. */
static inline unsigned bitmap_count_word(uint64_t word)
{
    word -= word >> 1 & 0x5555555555555555u;
    word = (word & 0x3333333333333333u) + (word >> 2 & 0x3333333333333333u);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (unsigned)(word * 0x0101010101010101u >> 56);
}

/* How many bits are set. */
size_t bitmap_count(const uint64_t *map, size_t bits);

/* invert is all ones to look for a clear bit. */
ALWAYS_INLINE size_t bitmap_find_(const uint64_t *map, size_t bits, size_t from, uint64_t invert)
{
    if (from >= bits)
        return bits;
    size_t word_index = from / BITMAP_WORD_BITS;
    uint64_t word = (map[word_index] ^ invert) & ~(uint64_t)0 << (from % BITMAP_WORD_BITS);
    while (!word) {
        if (++word_index >= BITMAP_WORDS(bits))
            return bits;
        word = map[word_index] ^ invert;
    }
    size_t index = word_index * BITMAP_WORD_BITS + (size_t)__builtin_ctzll(word);
    return index < bits ? index : bits;
}

/* The first set (clear) bit at or behind from. */
static inline size_t bitmap_find_set(const uint64_t *map, size_t bits, size_t from)
{
    return bitmap_find_(map, bits, from, 0);
}

static inline size_t bitmap_find_clear(const uint64_t *map, size_t bits, size_t from)
{
    return bitmap_find_(map, bits, from, ~(uint64_t)0);
}

/* The first run of count > 0 clear bits that starts at or behind from at a multiple of align, a
 * power of two. */
size_t bitmap_find_clear_run(const uint64_t *map, size_t bits, size_t from, size_t count,
                             size_t align);

/* Over the set bits in rising order; the body may clear the bit that it is at. */
#define bitmap_for_each_set(index, map, bits)                                                      \
    for (size_t index = bitmap_find_set(map, bits, 0); index < (size_t)(bits);                     \
         index = bitmap_find_set(map, bits, index + 1))

/* One bit, acquire. */
static inline bool bitmap_atomic_test(const _Atomic(uint64_t) *map, size_t index)
{
    return atomic_load_acquire(&map[index / BITMAP_WORD_BITS]) >> (index % BITMAP_WORD_BITS) & 1;
}

/* Each returns what the bit was. Wait-free where the processor has the instruction, else lock-free.
 * Both are acquire and release, so that a bit may serve as a try-lock or as a published flag. */
static inline bool bitmap_atomic_set(_Atomic(uint64_t) *map, size_t index)
{
    uint64_t mask = bitmap_mask_(index);
    return (atomic_or_acq_rel(&map[index / BITMAP_WORD_BITS], mask) & mask) != 0;
}

static inline bool bitmap_atomic_clear(_Atomic(uint64_t) *map, size_t index)
{
    uint64_t mask = bitmap_mask_(index);
    return (atomic_and_acq_rel(&map[index / BITMAP_WORD_BITS], ~mask) & mask) != 0;
}

/* The first bit at or behind from that was set when its word was read: a hint by the time it is
 * returned. */
size_t bitmap_atomic_find_set(const _Atomic(uint64_t) *map, size_t bits, size_t from);

/* Finds a clear bit at or behind from and sets it, or returns bits: then every word was full when
 * it was read. Lock-free; acquire and release on the word it changes. */
MUST_CHECK size_t bitmap_atomic_take(_Atomic(uint64_t) *map, size_t bits, size_t from);
