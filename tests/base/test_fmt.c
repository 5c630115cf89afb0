/* SPDX-License-Identifier: BSD-3-Clause */
/* Formatting against libc's snprintf on random formats, and number parsing against what it must
 * accept. */
#include "test.h"
#include <osv/error.h>
#include <osv/fmt.h>
#include <osv/prng.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 400

#define CHECK_TEXT(expected, ...)                                                                  \
    do {                                                                                           \
        char got_[TEXT_MAX];                                                                       \
        CHECK_EQ(fmt_format(got_, sizeof got_, __VA_ARGS__), strlen(expected));                    \
        CHECK(strcmp(got_, expected) == 0);                                                        \
    } while (0)

/* Both sides get the same format and arguments, and a buffer that may be too small. */
#define COMPARE(format, size, ...)                                                                 \
    do {                                                                                           \
        char ours_[TEXT_MAX], libc_[TEXT_MAX];                                                     \
        memset(ours_, 0x55, sizeof ours_);                                                         \
        memset(libc_, 0x55, sizeof libc_);                                                         \
        size_t length_ = fmt_format(ours_, size, format, __VA_ARGS__);                             \
        int expected_ = snprintf(libc_, size, format, __VA_ARGS__);                                \
        if (length_ != (size_t)expected_ || memcmp(ours_, libc_, sizeof ours_) != 0)               \
            test_note("format '%s' size %zu: '%.*s' is not '%.*s'", format, (size_t)(size),        \
                      (int)(size), ours_, (int)(size), libc_);                                     \
        CHECK_EQ(length_, expected_);                                                              \
        CHECK(memcmp(ours_, libc_, sizeof ours_) == 0);                                            \
    } while (0)

static const char *random_format(struct prng *prng, char *to, char conversion, const char *length)
{
    /* only combinations that C defines; libc's may do as they like with the others */
    const char *flags = strchr("di", conversion)    ? "-+ 0"
                        : strchr("xXo", conversion) ? "-#0"
                        : conversion == 'u'         ? "-0"
                                                    : "-";
    char *at = to;
    at += sprintf(at, "<%%");
    for (const char *flag = flags; *flag; flag++)
        if (prng_below(prng, 3) == 0)
            *at++ = *flag;
    if (prng_below(prng, 2))
        at += sprintf(at, "%d", 1 + (int)prng_below(prng, 40));
    if (!strchr("cp", conversion) && prng_below(prng, 2))
        at +=
            prng_below(prng, 5) ? sprintf(at, ".%d", (int)prng_below(prng, 30)) : sprintf(at, ".");
    sprintf(at, "%s%c>", length, conversion);
    return to;
}

/* Numbers of every magnitude, with the extremes. */
static uint64_t random_number(struct prng *prng)
{
    uint64_t number = prng_next(prng) >> prng_below(prng, 64);
    switch (prng_below(prng, 8)) {
    case 0:
        return 0;
    case 1:
        return 0 - number;
    case 2:
        return (uint64_t)1 << prng_below(prng, 64);
    case 3:
        return ~(uint64_t)0;
    default:
        return number;
    }
}

static void random_formats_match_libc(void)
{
    static const char *const lengths[] = {"", "hh", "h", "l", "ll", "z", "j", "t"};
    struct prng prng;
    prng_seed(&prng, 15);
    for (size_t i = 0; i < test_scaled(300000); i++) {
        char format[64], text[32];
        uint64_t number = random_number(&prng);
        size_t size = prng_below(&prng, 3) ? TEXT_MAX : prng_below(&prng, 50);
        char conversion = "diuxXocsp"[prng_below(&prng, 9)];
        const char *length = lengths[prng_below(&prng, ARRAY_COUNT(lengths))];
        bool wide = strchr("lzjt", *length) && *length;
        switch (conversion) {
        case 'c':
            random_format(&prng, format, conversion, "");
            COMPARE(format, size, (int)(1 + number % 127));
            break;
        case 's':
            sprintf(text, "%.*s", (int)(number % 30), "the quick brown fox jumps over");
            random_format(&prng, format, conversion, "");
            COMPARE(format, size, text);
            break;
        case 'p':
            random_format(&prng, format, conversion, "");
            COMPARE(format, size, (void *)(uintptr_t)(number | 1));
            break;
        default:
            random_format(&prng, format, conversion, length);
            if (wide)
                COMPARE(format, size, number);
            else
                COMPARE(format, size, (int)(uint32_t)number);
        }
    }
}

static void several_arguments_keep_their_places(void)
{
    struct prng prng;
    prng_seed(&prng, 16);
    for (size_t i = 0; i < test_scaled(20000); i++) {
        int a = (int)random_number(&prng), width = (int)prng_below(&prng, 41) - 20;
        int precision = (int)prng_below(&prng, 20) - 2;
        long long b = (long long)random_number(&prng);
        const char *format = "%d|%*d|%.*llx|%*.*s|100%%|%hhd|%s";
        size_t size = prng_below(&prng, 120);
        COMPARE(format, size, a, width, a, precision, (unsigned long long)b, width, precision,
                "some text", (signed char)a, "end");
    }
}

static void truncation_always_terminates(void)
{
    char buffer[8];
    memset(buffer, 'x', sizeof buffer);
    CHECK_EQ(fmt_format(buffer, 4, "%s", "abcdef"), 6);
    CHECK(memcmp(buffer, "abc\0xxxx", 8) == 0);
    CHECK_EQ(fmt_format(buffer, 1, "%d", 12345), 5);
    CHECK_EQ(buffer[0], 0);
    buffer[0] = 'x';
    CHECK_EQ(fmt_format(buffer, 0, "%d", 12345), 5);
    CHECK_EQ(buffer[0], 'x');
    CHECK_EQ(fmt_format(NULL, 0, "%s", "abc"), 3);
}

static void what_is_not_printfs_is_as_documented(void)
{
    /* volatile: the compiler would refuse to see these */
    const char *volatile unknown = "a%qb%", *volatile odd = "%-08.3lvz", *volatile null = NULL;
    CHECK_TEXT("(null)", "%s", null);
    CHECK_TEXT("  (nu", "%5.3s", null);
    CHECK_TEXT("0x0", "%p", (void *)0);
    CHECK_TEXT("a%qb%", unknown, 0);
    CHECK_TEXT("%-08.3lvz", odd, 0);
    CHECK_TEXT("", "%s", "");
}

static void a_precision_bounds_what_is_read(void)
{
    const char text[3] = {'a', 'b', 'c'}; /* not terminated: ASan would see a read behind it */
    CHECK_TEXT("abc", "%.3s", text);
    CHECK_TEXT("ab", "%.*s", 2, text);
}

static void absurd_widths_are_capped(void)
{
    char buffer[4];
    const char *volatile format = "%*d";
    CHECK_EQ(fmt_format(buffer, sizeof buffer, format, INT32_MIN, 1), 65535);
    CHECK(memcmp(buffer, "1  ", 4) == 0);
    format = "%99999999999999999999d";
    CHECK_EQ(fmt_format(buffer, sizeof buffer, format, 1), 65535);
}

static void numbers_round_trip_in_every_base(void)
{
    struct prng prng;
    prng_seed(&prng, 17);
    for (size_t i = 0; i < test_scaled(20000); i++) {
        uint64_t number = random_number(&prng), got = 0;
        for (unsigned base = 2; base <= 36; base++) {
            char text[70], *at = text + sizeof text;
            uint64_t left = number;
            bool upper = prng_below(&prng, 2);
            *--at = 0;
            do {
                *--at = (upper ? "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               : "0123456789abcdefghijklmnopqrstuvwxyz")[left % base];
            } while ((left /= base) != 0);
            CHECK_EQ(fmt_parse_u64(at, NULL, base, &got), 0);
            CHECK(got == number);
        }
    }
}

static void parsing_refuses_what_is_no_number(void)
{
    static const struct {
        const char *text;
        unsigned base;
        int error;
        uint64_t value;
    } cases[] = {
        {"0", 0, 0, 0},
        {"0x1F", 0, 0, 31},
        {"0o17", 0, 0, 15},
        {"0b101", 0, 0, 5},
        {"010", 0, 0, 10},
        {"18446744073709551615", 10, 0, UINT64_MAX},
        {"18446744073709551616", 10, -ERANGE, 0},
        {"99999999999999999999999", 0, -ERANGE, 0},
        {"0x10000000000000000", 0, -ERANGE, 0},
        {"99999999999999999999999z", 0, -EINVAL, 0},
        {"", 10, -EINVAL, 0},
        {"0x", 0, -EINVAL, 0},
        {"-1", 10, -EINVAL, 0},
        {"+1", 10, -EINVAL, 0},
        {" 1", 10, -EINVAL, 0},
        {"1 ", 10, -EINVAL, 0},
        {"12a", 10, -EINVAL, 0},
        {"8", 8, -EINVAL, 0},
        {"1", 1, -EINVAL, 0},
        {"1", 37, -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t got = 77;
        CHECK_EQ(fmt_parse_u64(cases[i].text, NULL, cases[i].base, &got), cases[i].error);
        CHECK(got == (cases[i].error ? 77 : cases[i].value));
    }
    const char *text = "512M", *end = NULL;
    uint64_t got;
    CHECK_EQ(fmt_parse_u64(text, &end, 10, &got), 0);
    CHECK(end == text + 3 && got == 512);
    const char *before = end;
    CHECK_EQ(fmt_parse_u64("M", &end, 10, &got), -EINVAL);
    CHECK(end == before);
}

static void signed_numbers_reach_both_ends(void)
{
    static const struct {
        const char *text;
        int error;
        int64_t value;
    } cases[] = {{"-9223372036854775808", 0, INT64_MIN},
                 {"-9223372036854775809", -ERANGE, 0},
                 {"9223372036854775807", 0, INT64_MAX},
                 {"9223372036854775808", -ERANGE, 0},
                 {"+5", 0, 5},
                 {"-0", 0, 0},
                 {"--1", -EINVAL, 0},
                 {"-", -EINVAL, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t got = 77;
        CHECK_EQ(fmt_parse_i64(cases[i].text, NULL, 10, &got), cases[i].error);
        CHECK_EQ(got, cases[i].error ? 77 : cases[i].value);
    }
    const char *text = "-12,5", *end = NULL;
    int64_t got;
    CHECK_EQ(fmt_parse_i64(text, &end, 0, &got), 0);
    CHECK(end == text + 3 && got == -12);
}

TEST_CASES_BEGIN
    {.name = "fmt: random formats match libc", .run = random_formats_match_libc},
    {.name = "fmt: several arguments keep their places",
     .run = several_arguments_keep_their_places},
    {.name = "fmt: truncation always terminates", .run = truncation_always_terminates},
    {.name = "fmt: what is not printf's is as documented",
     .run = what_is_not_printfs_is_as_documented},
    {.name = "fmt: a precision bounds what is read", .run = a_precision_bounds_what_is_read},
    {.name = "fmt: absurd widths are capped", .run = absurd_widths_are_capped},
    {.name = "fmt: numbers round-trip in every base", .run = numbers_round_trip_in_every_base},
    {.name = "fmt: parsing refuses what is no number", .run = parsing_refuses_what_is_no_number},
    {.name = "fmt: signed numbers reach both ends", .run = signed_numbers_reach_both_ends},
TEST_CASES_END
