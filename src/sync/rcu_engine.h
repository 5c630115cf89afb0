/* SPDX-License-Identifier: BSD-3-Clause */
/* What detects grace periods. Two files implement it, and a program links one: rcu_own.c here, on
 * any backend, and platform/host/rcu_urcu.c on liburcu's QSBR flavour. */
#pragma once
#include <osv/types.h>

#define RCU_BATCH_CPUS 64u /* queues that the RCU thread empties for one grace period */

const char *rcu_engine_name(void);
int rcu_engine_init(void); /* registers the scheduler's hooks */
void rcu_engine_wait(
    void); /* sleeps until every CPU has been quiescent; called by one thread at a time */
