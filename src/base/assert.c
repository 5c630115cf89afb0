/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a broken invariant ends up: with the registered handler, or in a trap before there is one.
 */
#include <osv/assert.h>
#include <osv/atomic.h>

typedef void assert_handler(const char *expression, const char *file, int line);

static _Atomic(assert_handler *) handler; /* set once at boot, read by any context */

void assert_set_handler(void (*new_handler)(const char *expression, const char *file, int line))
{
    atomic_store_release(&handler, new_handler); /* H1 publishes the handler, pairs with H2 */
}

COLD _Noreturn void assert_fail(const char *expression, const char *file, int line)
{
    /* H2 sees all that was set up before registration, pairs with H1 */
    assert_handler *report = atomic_load_acquire(&handler);
    if (report)
        report(expression, file, line);
    __builtin_trap(); /* a handler must not return: the caller's state is broken */
}
