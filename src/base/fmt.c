/* SPDX-License-Identifier: BSD-3-Clause */
/* printf's formats (C11 7.21.6.1) without floating point, and number parsing. */
#include <osv/error.h>
#include <osv/fmt.h>
#include <osv/string.h>

#define WIDTH_MAX 65535u /* a width or precision beyond it counts as this */

struct output {
    char *at;
    char *limit; /* where the NUL goes at the latest */
    size_t length;
};

struct spec {
    bool left, zero, plus, space, alternate;
    unsigned width;
    int precision; /* -1: none given */
    unsigned size; /* bytes of an integer argument */
};

/* An integer on its way out: its sign or 0x, then its digits. */
struct number {
    char digits[24]; /* 22 octal digits of 64 bits; filled from the back */
    char *first;
    char prefix[3];
    unsigned prefix_length;
    bool zero;
};

static void put(struct output *out, const char *text, size_t length)
{
    if (out->at < out->limit) {
        size_t fits = MIN(length, (size_t)(out->limit - out->at));
        memcpy(out->at, text, fits);
        out->at += fits;
    }
    out->length += length;
}

static void pad(struct output *out, char c, size_t count)
{
    if (out->at < out->limit) {
        size_t fits = MIN(count, (size_t)(out->limit - out->at));
        memset(out->at, c, fits);
        out->at += fits;
    }
    out->length += count;
}

static void put_text(struct output *out, const struct spec *spec, const char *text, size_t length)
{
    size_t fill = spec->width > length ? spec->width - length : 0;
    if (!spec->left)
        pad(out, ' ', fill);
    put(out, text, length);
    if (spec->left)
        pad(out, ' ', fill);
}

static void number_digits(struct number *number, uint64_t value, unsigned base, bool upper)
{
    const char *set = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char *at = number->digits + sizeof number->digits;
    number->zero = value == 0;
    number->prefix_length = 0;
    if (base == 10) { /* constant divisors: shifts and a multiplication, never a division */
        do {
            *--at = (char)('0' + value % 10);
        } while ((value /= 10) != 0);
    } else {
        unsigned shift = base == 16 ? 4 : 3;
        do {
            *--at = set[value & (base - 1)];
        } while ((value >>= shift) != 0);
    }
    number->first = at;
}

static void number_prefix(struct number *number, char c)
{
    number->prefix[number->prefix_length++] = c;
}

static void put_number(struct output *out, const struct spec *spec, const struct number *number)
{
    size_t digits = (size_t)(number->digits + sizeof number->digits - number->first);
    if (spec->precision == 0 && number->zero)
        digits = 0;
    size_t zeros = 0;
    if (spec->precision >= 0 && (size_t)spec->precision > digits)
        zeros = (size_t)spec->precision - digits;
    size_t length = number->prefix_length + zeros + digits;
    size_t fill = spec->width > length ? spec->width - length : 0;
    if (spec->zero && !spec->left && spec->precision < 0) {
        zeros += fill;
        fill = 0;
    }
    if (!spec->left)
        pad(out, ' ', fill);
    put(out, number->prefix, number->prefix_length);
    pad(out, '0', zeros);
    put(out, number->first, digits);
    if (spec->left)
        pad(out, ' ', fill);
}

static void put_signed(struct output *out, const struct spec *spec, int64_t value)
{
    struct number number;
    number_digits(&number, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10, false);
    if (value < 0)
        number_prefix(&number, '-');
    else if (spec->plus)
        number_prefix(&number, '+');
    else if (spec->space)
        number_prefix(&number, ' ');
    put_number(out, spec, &number);
}

static void put_unsigned(struct output *out, struct spec *spec, uint64_t value, char conversion)
{
    unsigned base = conversion == 'o' ? 8 : conversion == 'u' ? 10 : 16;
    struct number number;
    number_digits(&number, value, base, conversion == 'X');
    if (conversion == 'p' || (spec->alternate && base == 16 && value != 0)) {
        number_prefix(&number, '0');
        number_prefix(&number, conversion == 'X' ? 'X' : 'x');
    }
    /* for octal, "#" asks for one more digit of precision where the first would not be a zero */
    int digits = (int)(number.digits + sizeof number.digits - number.first);
    if (spec->alternate && base == 8) {
        if (value != 0 && spec->precision <= digits)
            *--number.first = '0';
        else if (value == 0 && spec->precision == 0)
            spec->precision = 1;
    }
    put_number(out, spec, &number);
}

static const char *parse_flags(const char *at, struct spec *spec)
{
    for (;; at++) {
        switch (*at) {
        case '-':
            spec->left = true;
            break;
        case '0':
            spec->zero = true;
            break;
        case '+':
            spec->plus = true;
            break;
        case ' ':
            spec->space = true;
            break;
        case '#':
            spec->alternate = true;
            break;
        default:
            return at;
        }
    }
}

static const char *parse_count(const char *at, unsigned *count)
{
    *count = 0;
    for (; *at >= '0' && *at <= '9'; at++)
        *count = MIN(*count * 10 + (unsigned)(*at - '0'), WIDTH_MAX);
    return at;
}

static const char *parse_length(const char *at, struct spec *spec)
{
    spec->size = sizeof(int);
    switch (*at) {
    case 'h':
        spec->size = at[1] == 'h' ? sizeof(char) : sizeof(short);
        return at[1] == 'h' ? at + 2 : at + 1;
    case 'l':
        spec->size = at[1] == 'l' ? sizeof(long long) : sizeof(long);
        return at[1] == 'l' ? at + 2 : at + 1;
    case 'z':
        spec->size = sizeof(size_t);
        return at + 1;
    case 'j':
        spec->size = sizeof(intmax_t);
        return at + 1;
    case 't':
        spec->size = sizeof(ptrdiff_t);
        return at + 1;
    default:
        return at;
    }
}

/* va_list may be an array type, so it travels in a struct. */
struct arguments {
    va_list list;
};

static const char *parse_spec(const char *at, struct spec *spec, struct arguments *args)
{
    *spec = (struct spec){.precision = -1};
    at = parse_flags(at, spec);
    if (*at == '*') {
        int width = va_arg(args->list, int);
        spec->left = spec->left || width < 0;
        unsigned magnitude = width < 0 ? 0u - (unsigned)width : (unsigned)width;
        spec->width = MIN(magnitude, WIDTH_MAX);
        at++;
    } else {
        at = parse_count(at, &spec->width);
    }
    if (*at == '.') {
        if (at[1] == '*') {
            int precision = va_arg(args->list, int);
            spec->precision = precision < 0 ? -1 : MIN(precision, (int)WIDTH_MAX);
            at += 2;
        } else {
            unsigned precision;
            at = parse_count(at + 1, &precision);
            spec->precision = (int)precision;
        }
    }
    return parse_length(at, spec);
}

static int64_t take_signed(const struct spec *spec, struct arguments *args)
{
    if (spec->size == 8)
        return va_arg(args->list, int64_t);
    int value = va_arg(args->list, int);
    return spec->size == 1 ? (signed char)value : spec->size == 2 ? (short)value : value;
}

static uint64_t take_unsigned(const struct spec *spec, struct arguments *args)
{
    if (spec->size == 8)
        return va_arg(args->list, uint64_t);
    unsigned value = va_arg(args->list, unsigned);
    return spec->size == 1 ? (uint8_t)value : spec->size == 2 ? (uint16_t)value : value;
}

/* Writes one conversion; false when it is not one of ours, and then no argument was taken for it.
 */
static bool convert(struct output *out, struct spec *spec, char conversion, struct arguments *args)
{
    switch (conversion) {
    case 'd':
    case 'i':
        put_signed(out, spec, take_signed(spec, args));
        return true;
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        put_unsigned(out, spec, take_unsigned(spec, args), conversion);
        return true;
    case 'p':
        put_unsigned(out, spec, (uintptr_t)va_arg(args->list, void *), conversion);
        return true;
    case 'c': {
        char c = (char)va_arg(args->list, int);
        put_text(out, spec, &c, 1);
        return true;
    }
    case 's': {
        const char *text = va_arg(args->list, const char *);
        if (!text)
            text = "(null)";
        /* with a precision the text need not be terminated */
        put_text(out, spec, text,
                 spec->precision < 0 ? strlen(text) : strnlen(text, (size_t)spec->precision));
        return true;
    }
    case '%':
        put(out, "%", 1);
        return true;
    default:
        return false;
    }
}

size_t fmt_vformat(char *buffer, size_t size, const char *format, va_list list)
{
    struct output out = {buffer, size > 0 ? buffer + size - 1 : buffer, 0};
    struct arguments args;
    va_copy(args.list, list);
    for (const char *at = format; *at;) {
        const char *start = at;
        if (*at != '%') {
            while (*at && *at != '%')
                at++;
            put(&out, start, (size_t)(at - start));
            continue;
        }
        struct spec spec;
        at = parse_spec(at + 1, &spec, &args);
        if (!convert(&out, &spec, *at, &args))
            put(&out, start, (size_t)(at - start) + (*at != '\0'));
        if (*at)
            at++;
    }
    va_end(args.list);
    if (size > 0)
        *out.at = '\0';
    return out.length;
}

size_t fmt_format(char *buffer, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t length = fmt_vformat(buffer, size, format, args);
    va_end(args);
    return length;
}

/* The value of a digit, 36 when it is none. */
static unsigned digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'z')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'Z')
        return (unsigned)(c - 'A') + 10;
    return 36;
}

int fmt_parse_u64(const char *text, const char **end, unsigned base, uint64_t *out)
{
    if (base == 1 || base > 36)
        return -EINVAL;
    if (base == 0) {
        base = 10;
        if (text[0] == '0') {
            base = text[1] == 'x' ? 16 : text[1] == 'o' ? 8 : text[1] == 'b' ? 2 : 10;
            text += base == 10 ? 0 : 2;
        }
    }
    const char *at = text;
    uint64_t value = 0;
    bool overflow = false;
    for (unsigned digit; (digit = digit_value(*at)) < base; at++) {
        overflow = overflow || __builtin_mul_overflow(value, base, &value) ||
                   __builtin_add_overflow(value, digit, &value);
    }
    if (at == text || (!end && *at))
        return -EINVAL;
    if (overflow)
        return -ERANGE;
    if (end)
        *end = at;
    *out = value;
    return 0;
}

int fmt_parse_i64(const char *text, const char **end, unsigned base, int64_t *out)
{
    bool negative = *text == '-';
    if (*text == '-' || *text == '+')
        text++;
    const char *behind;
    uint64_t magnitude;
    int error = fmt_parse_u64(text, end ? &behind : NULL, base, &magnitude);
    if (error)
        return error;
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return -ERANGE;
    *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    if (end)
        *end = behind;
    return 0;
}
