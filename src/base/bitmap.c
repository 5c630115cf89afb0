/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts of bitmap.h that loop over words. */
#include <osv/bitmap.h>

#define WORD_FULL (~(uint64_t)0)

/* count ones from bit offset on; offset + count is at most 64 and count at least 1. */
static uint64_t word_mask(size_t offset, size_t count)
{
    return WORD_FULL >> (BITMAP_WORD_BITS - count) << offset;
}

void bitmap_set_range(uint64_t *map, size_t index, size_t count)
{
    while (count > 0) {
        size_t offset = index % BITMAP_WORD_BITS;
        size_t here = MIN(count, BITMAP_WORD_BITS - offset);
        map[index / BITMAP_WORD_BITS] |= word_mask(offset, here);
        index += here;
        count -= here;
    }
}

void bitmap_clear_range(uint64_t *map, size_t index, size_t count)
{
    while (count > 0) {
        size_t offset = index % BITMAP_WORD_BITS;
        size_t here = MIN(count, BITMAP_WORD_BITS - offset);
        map[index / BITMAP_WORD_BITS] &= ~word_mask(offset, here);
        index += here;
        count -= here;
    }
}

size_t bitmap_count(const uint64_t *map, size_t bits)
{
    size_t count = 0;
    size_t whole = bits / BITMAP_WORD_BITS, rest = bits % BITMAP_WORD_BITS;
    for (size_t i = 0; i < whole; i++)
        count += bitmap_count_word(map[i]);
    if (rest)
        count += bitmap_count_word(map[whole] & word_mask(0, rest));
    return count;
}

size_t bitmap_find_clear_run(const uint64_t *map, size_t bits, size_t from, size_t count,
                             size_t align)
{
    DASSERT(count > 0 && align > 0 && (align & (align - 1)) == 0);
    if (count > bits)
        return bits;
    for (;;) {
        size_t clear = bitmap_find_clear(map, bits, from);
        size_t start = ALIGN_UP(clear, align);
        if (start < clear || start > bits - count)
            return bits;
        size_t set = bitmap_find_set(map, start + count, start);
        if (set == start + count)
            return start;
        from = set + 1;
    }
}

size_t bitmap_atomic_find_set(const _Atomic(uint64_t) *map, size_t bits, size_t from)
{
    uint64_t usable = WORD_FULL << (from % BITMAP_WORD_BITS);
    for (size_t i = from / BITMAP_WORD_BITS; i < BITMAP_WORDS(bits); i++, usable = WORD_FULL) {
        uint64_t word = atomic_load_acquire(&map[i]) & usable;
        if (word)
            return MIN(i * BITMAP_WORD_BITS + (size_t)__builtin_ctzll(word), bits);
    }
    return bits;
}

size_t bitmap_atomic_take(_Atomic(uint64_t) *map, size_t bits, size_t from)
{
    uint64_t usable = WORD_FULL << (from % BITMAP_WORD_BITS);
    for (size_t i = from / BITMAP_WORD_BITS; i < BITMAP_WORDS(bits); i++, usable = WORD_FULL) {
        uint64_t word = atomic_load_relaxed(&map[i]);
        while (~word & usable) {
            size_t index = i * BITMAP_WORD_BITS + (size_t)__builtin_ctzll(~word & usable);
            if (index >= bits)
                return bits;
            if (atomic_cas_acq_rel(&map[i], &word, word | bitmap_mask_(index)))
                return index;
        }
    }
    return bits;
}
