/* SPDX-License-Identifier: BSD-3-Clause */
/* Cross-CPU calls: a push stack a CPU. The pusher that finds it empty interrupts the target, which
 * takes it whole and runs the calls in the order of their arrival. */
#include <osv/cpu.h>

void ipi_call(struct cpu *cpu, struct ipi_call *call)
{
    void *head = atomic_load_relaxed(&cpu->calls);
    do
        call->next = head;
    while (!atomic_cas_release(&cpu->calls, &head,
                               call)); /* C1 publishes the call, pairs with C2 in ipi_call_run */
    if (!head)
        hal_ipi_send(cpu->id, HAL_IPI_CALL);
}

void ipi_call_run(void)
{
    /* C2 takes the calls, pairs with C1 in ipi_call */
    struct ipi_call *taken = atomic_xchg_acquire(&cpu_self()->calls, NULL);
    struct ipi_call *in_order = NULL;
    while (taken) {
        struct ipi_call *next = taken->next;
        taken->next = in_order;
        in_order = taken;
        taken = next;
    }
    while (in_order) {
        struct ipi_call *next = in_order->next; /* fn may reuse the record */
        in_order->fn(in_order);
        in_order = next;
    }
}
