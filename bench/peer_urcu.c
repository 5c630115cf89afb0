/* SPDX-License-Identifier: BSD-3-Clause */
#define URCU_INLINE_SMALL_FUNCTIONS
#define _LGPL_SOURCE
#include "peer_urcu.h"
#include <urcu/urcu-memb.h>

void peer_urcu_register(void)
{
    urcu_memb_register_thread();
}

void peer_urcu_unregister(void)
{
    urcu_memb_unregister_thread();
}

void peer_urcu_pairs(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        urcu_memb_read_lock();
        urcu_memb_read_unlock();
        __asm__ volatile("" : : "r"(i) : "memory");
    }
}
