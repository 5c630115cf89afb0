/* SPDX-License-Identifier: BSD-3-Clause */
/* The first byte chooses a unit, the rest is its program: operations on tree, bitmap, MPSC queue or
 * SPSC ring, each compared with a model, or text for the number parser and the formatter, compared
 * with libc. */
#include <osv/assert.h>
#include <osv/bitmap.h>
#include <osv/error.h>
#include <osv/fmt.h>
#include <osv/queue_mpsc.h>
#include <osv/ring_spsc.h>
#include <osv/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at, *end;
};

static unsigned next_byte(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

struct item {
    unsigned key;
    struct tree_node node;
};

static bool less(const struct tree_node *a, const struct tree_node *b)
{
    return tree_entry(a, struct item, node)->key < tree_entry(b, struct item, node)->key;
}

static bool before(const struct tree_node *node, const void *key)
{
    return tree_entry(node, struct item, node)->key < *(const unsigned *)key;
}

/* Each byte inserts that key, or removes it when it is there. */
static void fuzz_tree(struct input *in)
{
    struct item items[256];
    bool present[256] = {false};
    struct tree tree = TREE_INIT;
    while (in->at < in->end) {
        unsigned key = next_byte(in);
        if (present[key]) {
            tree_remove(&tree, &items[key].node);
        } else {
            items[key].key = key;
            tree_insert(&tree, &items[key].node, less);
        }
        present[key] = !present[key];
        ASSERT(tree_check(&tree, less));
        const struct tree_node *node = tree_first(&tree);
        for (unsigned i = 0; i < 256; i++) {
            if (!present[i])
                continue;
            ASSERT(node == &items[i].node);
            node = tree_next(node);
        }
        ASSERT(!node);
        unsigned bound = key;
        while (bound < 256 && !present[bound])
            bound++;
        ASSERT(tree_lower_bound(&tree, before, &key) == (bound < 256 ? &items[bound].node : NULL));
    }
}

#define FUZZ_BITS 256

static size_t model_find(const bool *model, size_t bits, size_t from, bool value)
{
    while (from < bits && model[from] != value)
        from++;
    return MIN(from, bits);
}

static size_t model_run(const bool *model, size_t bits, size_t from, size_t count, size_t align)
{
    for (size_t start = ALIGN_UP(from, align); start + count <= bits; start += align)
        if (model_find(model, start + count, start, true) == start + count)
            return start;
    return bits;
}

static void fuzz_bitmap(struct input *in)
{
    size_t bits = 1 + next_byte(in);
    uint64_t *map = calloc(BITMAP_WORDS(bits), sizeof *map); /* exactly, for ASan */
    bool model[FUZZ_BITS] = {false};
    ASSERT(map);
    while (in->at < in->end) {
        unsigned operation = next_byte(in);
        size_t index = next_byte(in) % bits, count = next_byte(in) % (bits - index + 1);
        size_t align = (size_t)1 << (operation >> 4 & 7);
        if (operation & 1) {
            bitmap_set_range(map, index, count);
            memset(model + index, 1, count);
        } else if (operation & 2) {
            bitmap_clear_range(map, index, count);
            memset(model + index, 0, count);
        } else if (operation & 4) {
            bitmap_set(map, index);
            model[index] = true;
        }
        ASSERT(bitmap_test(map, index) == model[index]);
        ASSERT(bitmap_find_set(map, bits, index) == model_find(model, bits, index, true));
        ASSERT(bitmap_find_clear(map, bits, index) == model_find(model, bits, index, false));
        ASSERT(bitmap_find_clear_run(map, bits, index, count + 1, align) ==
               model_run(model, bits, index, count + 1, align));
        size_t total = 0;
        for (size_t i = 0; i < bits; i++)
            total += model[i];
        ASSERT(bitmap_count(map, bits) == total);
    }
    free(map);
}

static void fuzz_mpsc(struct input *in)
{
    struct mpsc queue = MPSC_INIT;
    struct mpsc_node nodes[1024];
    size_t pushed = 0, popped = 0, stacked = 0;
    while (in->at < in->end && pushed < ARRAY_COUNT(nodes)) {
        unsigned operation = next_byte(in);
        if (operation & 1) {
            ASSERT(mpsc_push(&queue, &nodes[pushed++]) == (stacked == 0));
            stacked++;
        } else if (operation & 2) {
            struct mpsc_node *node = mpsc_pop(&queue);
            ASSERT(node == (popped < pushed ? &nodes[popped] : NULL));
            if (popped + stacked == pushed)
                stacked = 0; /* the FIFO was empty, so the stack was taken */
            popped += node != NULL;
        } else {
            for (struct mpsc_node *node = mpsc_take_all(&queue); node; node = node->next)
                ASSERT(node == &nodes[popped++]);
            ASSERT(popped == pushed);
            stacked = 0;
        }
        ASSERT(mpsc_empty(&queue) == (popped == pushed));
    }
}

static void fuzz_ring(struct input *in)
{
    static char numbers[1 << 17];
    size_t capacity = (size_t)8 << next_byte(in) % 4;
    struct ring_spsc *ring = aligned_alloc(
        RING_SPSC_ALIGN, ALIGN_UP(RING_SPSC_BYTES(capacity), (size_t)RING_SPSC_ALIGN));
    size_t pushed = 0, popped = 0;
    ASSERT(ring);
    ring_spsc_init(ring, capacity);
    while (in->at < in->end && pushed + 128 < sizeof numbers) {
        unsigned operation = next_byte(in);
        size_t count = operation & 127, held = pushed - popped, done;
        void *items[128];
        if (operation & 128) {
            for (size_t i = 0; i < count; i++)
                items[i] = &numbers[pushed + i];
            done = count == 1 ? ring_spsc_push(ring, items[0])
                              : ring_spsc_push_batch(ring, items, count);
            ASSERT(done <= MIN(count, capacity - held));
            ASSERT(done > 0 || count == 0 || held == capacity);
            pushed += done;
        } else {
            done = ring_spsc_pop_batch(ring, items, count);
            ASSERT(done <= count && (done > 0 || count == 0 || held == 0));
            for (size_t i = 0; i < done; i++)
                ASSERT(items[i] == &numbers[popped + i]);
            popped += done;
        }
        ASSERT(ring_spsc_empty(ring) == (pushed == popped));
    }
    free(ring);
}

static void fuzz_parse(struct input *in)
{
    unsigned base = next_byte(in) % 38;
    size_t size = (size_t)(in->end - in->at);
    char *text = malloc(size + 1); /* exactly, for ASan */
    ASSERT(text);
    memcpy(text, in->at, size);
    text[size] = '\0';
    const char *end = NULL;
    uint64_t value = 0, whole = 0;
    int error = fmt_parse_u64(text, &end, base, &value);
    int error_whole = fmt_parse_u64(text, NULL, base, &whole);
    if (!error) {
        ASSERT(end > text && end <= text + size);
        ASSERT(*end ? error_whole == -EINVAL : (error_whole == 0 && whole == value));
    } else {
        ASSERT(!end && error_whole != 0);
    }
    /* libc agrees where it reads the same language: a given base, and no blanks, sign or prefix */
    bool digit = (text[0] >= '0' && text[0] <= '9') || (text[0] | 32) >= 'a';
    if (base >= 2 && base <= 36 && digit && base != 16 && base != 2) {
        char *behind;
        errno = 0;
        unsigned long long expected = strtoull(text, &behind, (int)base);
        if (behind == text)
            ASSERT(error == -EINVAL);
        else if (errno == ERANGE)
            ASSERT(error == -ERANGE);
        else
            ASSERT(!error && value == expected && end == behind);
    }
    int64_t negative;
    if (!fmt_parse_i64(text, &end, base, &negative))
        ASSERT(end > text);
    free(text);
}

/* The input is the format. Conversions other than integers are taken out, so that any argument will
 * do. */
static void fuzz_format(struct input *in)
{
    char format[128], text[64];
    size_t length = 0;
    while (in->at < in->end && length < sizeof format - 1) {
        char c = (char)next_byte(in);
        if (c == '\0' || c == 's' || c == 'p' || c == '*')
            c = 'd';
        format[length++] = c;
    }
    format[length] = '\0';
    uint64_t a = 0x0123456789abcdefu;
    int64_t b = -1;
    unsigned conversions = 0;
    for (size_t i = 0; i < length; i++)
        conversions += format[i] == '%';
    if (conversions > 8)
        return;
    const char *volatile opaque = format;
    size_t needs = fmt_format(text, sizeof text, opaque, a, b, a, b, a, b, a, b);
    ASSERT(strlen(text) <= MIN(needs, sizeof text - 1)); /* %c may write a NUL */
    ASSERT(fmt_format(NULL, 0, opaque, a, b, a, b, a, b, a, b) == needs);
    char *exact = malloc(needs + 1);
    ASSERT(exact);
    ASSERT(fmt_format(exact, needs + 1, opaque, a, b, a, b, a, b, a, b) == needs);
    ASSERT(memcmp(exact, text, MIN(needs, sizeof text - 1)) == 0);
    free(exact);
}

/* One conversion with chosen flags, against libc. */
static void fuzz_format_libc(struct input *in)
{
    char format[64], ours[400], libc[400];
    unsigned flags = next_byte(in), width = next_byte(in), precision = next_byte(in);
    char conversion = "duxXo"[next_byte(in) % 5];
    bool is_signed = conversion == 'd', has_base = !is_signed && conversion != 'u';
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | next_byte(in);
    size_t at = 0;
    format[at++] = '%';
    const char *set = is_signed ? "-0+ " : has_base ? "-0#" : "-0";
    for (unsigned i = 0; set[i]; i++)
        if (flags >> i & 1)
            format[at++] = set[i];
    if (flags & 16)
        at += (size_t)sprintf(format + at, "%u", width);
    if (flags & 32)
        at += (size_t)sprintf(format + at, ".%u", precision);
    sprintf(format + at, "ll%c", conversion);
    const char *volatile opaque = format;
    size_t size = flags & 64 ? sizeof ours : width;
    size_t length = fmt_format(ours, size, opaque, value);
    ASSERT(length == (size_t)snprintf(libc, size, opaque, value));
    ASSERT(size == 0 || strcmp(ours, libc) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const units[])(struct input *) = {
        fuzz_tree, fuzz_bitmap, fuzz_mpsc, fuzz_ring, fuzz_parse, fuzz_format, fuzz_format_libc};
    struct input in = {data, data + size};
    units[next_byte(&in) % ARRAY_COUNT(units)](&in);
    return 0;
}
