/* SPDX-License-Identifier: BSD-3-Clause */
/* Bitmaps against arrays of bool, in sizes around the ends of words. */
#include "test.h"
#include <osv/bitmap.h>
#include <osv/prng.h>

#define BITS_MAX 200

static const size_t sizes[] = {1, 7, 63, 64, 65, 127, 128, 130, BITS_MAX};

static size_t model_find(const bool *model, size_t bits, size_t from, bool value)
{
    for (size_t i = from; i < bits; i++)
        if (model[i] == value)
            return i;
    return bits;
}

static size_t model_run(const bool *model, size_t bits, size_t from, size_t count, size_t align)
{
    for (size_t start = ALIGN_UP(from, align); start + count <= bits; start += align)
        if (model_find(model, start + count, start, true) == start + count)
            return start;
    return bits;
}

static void check_same(const uint64_t *map, const bool *model, size_t bits, struct prng *prng)
{
    size_t count = 0, last = 0;
    for (size_t i = 0; i < bits; i++) {
        CHECK_EQ(bitmap_test(map, i), model[i]);
        count += model[i];
    }
    CHECK_EQ(bitmap_count(map, bits), count);
    bitmap_for_each_set(i, map, bits)
    {
        CHECK_EQ(i, model_find(model, bits, last, true));
        last = i + 1;
        count--;
    }
    CHECK_EQ(count, 0);
    size_t from = prng_below(prng, bits + 2), run = 1 + prng_below(prng, 40);
    size_t align = (size_t)1 << prng_below(prng, 5);
    CHECK_EQ(bitmap_find_set(map, bits, from),
             from >= bits ? bits : model_find(model, bits, from, true));
    CHECK_EQ(bitmap_find_clear(map, bits, from),
             from >= bits ? bits : model_find(model, bits, from, false));
    CHECK_EQ(bitmap_find_clear_run(map, bits, from, run, align),
             model_run(model, bits, from, run, align));
}

static void random_operations_match_an_array(void)
{
    struct prng prng;
    prng_seed(&prng, 3);
    for (size_t s = 0; s < ARRAY_COUNT(sizes); s++) {
        size_t bits = sizes[s];
        uint64_t map[BITMAP_WORDS(BITS_MAX)] = {0};
        bool model[BITS_MAX] = {false};
        /* what is behind the end must not matter */
        for (size_t i = bits; i < BITMAP_WORDS(bits) * BITMAP_WORD_BITS; i++)
            if (prng_below(&prng, 2))
                bitmap_set(map, i);
        for (size_t step = 0; step < test_scaled(4000); step++) {
            size_t index = prng_below(&prng, bits), count = prng_below(&prng, bits - index + 1);
            unsigned kind = (unsigned)prng_below(&prng, 8);
            if (kind == 0)
                bitmap_set_range(map, index, count);
            else if (kind == 1)
                bitmap_clear_range(map, index, count);
            else if (kind < 4)
                bitmap_set(map, index);
            else
                bitmap_clear(map, index);
            for (size_t i = index; kind < 2 && i < index + count; i++)
                model[i] = kind == 0;
            if (kind >= 2)
                model[index] = kind < 4;
            check_same(map, model, bits, &prng);
        }
    }
}

static void words_are_counted(void)
{
    CHECK_EQ(bitmap_count_word(0), 0);
    CHECK_EQ(bitmap_count_word(~(uint64_t)0), 64);
    CHECK_EQ(bitmap_count_word(0x8000000000000001u), 2);
}

static void runs_beyond_the_end_are_not_found(void)
{
    uint64_t map[2] = {0, 0};
    CHECK_EQ(bitmap_find_clear_run(map, 128, 0, 128, 1), 0);
    CHECK_EQ(bitmap_find_clear_run(map, 128, 0, 129, 1), 128);
    CHECK_EQ(bitmap_find_clear_run(map, 127, 0, 64, 64), 0);
    CHECK_EQ(bitmap_find_clear_run(map, 127, 1, 64, 64), 127);
    CHECK_EQ(bitmap_find_clear_run(map, 127, SIZE_MAX, 1, 64), 127);
}

static void atomic_operations_return_the_old_bit(void)
{
    struct prng prng;
    prng_seed(&prng, 4);
    static _Atomic(uint64_t) map[BITMAP_WORDS(BITS_MAX)];
    bool model[BITS_MAX] = {false};
    for (size_t step = 0; step < test_scaled(20000); step++) {
        size_t index = prng_below(&prng, BITS_MAX);
        switch (prng_below(&prng, 4)) {
        case 0:
            CHECK_EQ(bitmap_atomic_set(map, index), model[index]);
            model[index] = true;
            break;
        case 1:
            CHECK_EQ(bitmap_atomic_clear(map, index), model[index]);
            model[index] = false;
            break;
        case 2:
            CHECK_EQ(bitmap_atomic_find_set(map, BITS_MAX, index),
                     model_find(model, BITS_MAX, index, true));
            break;
        default: {
            size_t free = model_find(model, BITS_MAX, index, false);
            CHECK_EQ(bitmap_atomic_take(map, BITS_MAX, index), free);
            if (free < BITS_MAX)
                model[free] = true;
        }
        }
        CHECK_EQ(bitmap_atomic_test(map, index), model[index]);
    }
}

TEST_CASES_BEGIN
    {.name = "bitmap: random operations match an array",
     .run = random_operations_match_an_array},
    {.name = "bitmap: words are counted", .run = words_are_counted},
    {.name = "bitmap: runs beyond the end are not found", .run = runs_beyond_the_end_are_not_found},
    {.name = "bitmap: atomic operations return the old bit",
     .run = atomic_operations_return_the_old_bit},
TEST_CASES_END
