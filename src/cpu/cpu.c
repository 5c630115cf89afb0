/* SPDX-License-Identifier: BSD-3-Clause */
#include <osv/cpu.h>
#include <osv/log.h>
#include <osv/string.h>

struct cpu *cpu_table[CPU_MAX];

static unsigned count;                /* immutable after boot */
static void (*resched_handler)(void); /* immutable after boot */

unsigned cpu_count(void)
{
    return count;
}

static void cpu_setup(struct cpu *cpu, unsigned id)
{
    memset(cpu, 0, sizeof *cpu);
    cpu->id = id;
    cpu_table[id] = cpu;
}

void cpu_init(struct cpu *boot_cpu, struct task *boot_task)
{
    count = hal_cpu_count();
    ASSERT(count >= 1 && count <= CPU_MAX);
    resched_handler = NULL;
    memset(cpu_table, 0, sizeof cpu_table);
    cpu_setup(boot_cpu, 0);
    memset(boot_task, 0, sizeof *boot_task);
    hal_ctx_adopt(&boot_task->ctx);
    boot_task->cpu = boot_cpu;
    boot_task->preempt_off = 1; /* there is no scheduler yet */
    atomic_store_relaxed(&boot_cpu->current, boot_task);
}

void cpu_add(struct cpu *cpu, unsigned id)
{
    ASSERT(id > 0 && id < count && !cpu_table[id]);
    cpu_setup(cpu, id);
}

void cpu_set_resched_handler(void (*handler)(void))
{
    resched_handler = handler;
}

NOINLINE void preempt_resched(void)
{
    /* In an interrupt, or with interrupts off, the switch happens in osv_irq_exit() or later. */
    if (resched_handler && hal_irq_enabled())
        resched_handler();
}

#if OSV_DEBUG
NOINLINE void preempt_record_site(struct task *self)
{
    self->preempt_site = CALL_SITE();
}
#endif
