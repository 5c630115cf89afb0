/* SPDX-License-Identifier: BSD-3-Clause */
/* The boot order, one line a step, and the upcalls of hal.h: the only place where lower ranks reach
 * higher ones. */
#include <osv/hal.h>
#include <osv/heap.h>
#include <osv/log.h>
#include <osv/page.h>
#include <osv/rcu.h>
#include <osv/run.h>
#include <osv/sched.h>
#include <osv/string.h>
#include <osv/timer.h>
#include <osv/trace.h>

static const struct hal_bootinfo *boot_info; /* immutable after boot */

/* A step that fails this early has nothing to fall back on. */
static void must(const char *step, int error)
{
    if (error < 0)
        panic("boot: %s failed with error %d; is there enough memory?", step, -error);
}

static void *boot_alloc(const char *what, size_t size)
{
    void *memory = page_alloc_range(DIV_UP(size, PAGE_SIZE));
    if (!memory)
        panic("boot: no memory for %s (%zu bytes)", what, size);
    memset(memory, 0, size);
    return memory;
}

/* Everything that a CPU needs before it is started. */
static void prepare_cpu(unsigned id)
{
    struct cpu *cpu =
        boot_alloc("a CPU", ALIGN_UP(sizeof(struct cpu), CACHE_LINE) + timer_cpu_size());
    cpu_add(cpu, id);
    page_cpu_init(cpu);
    heap_cpu_init(cpu);
    timer_cpu_init(
        cpu, (struct timer_cpu *)(void *)((char *)cpu + ALIGN_UP(sizeof(struct cpu), CACHE_LINE)));
    must("a CPU's scheduler", sched_cpu_init(cpu));
}

static int run_program(void *arg)
{
    (void)arg;
    hal_shutdown(HAL_SHUTDOWN_EXIT, boot_info->program(boot_info->program_arg));
}

void osv_main(const struct hal_bootinfo *info)
{
    static struct cpu boot_cpu;
    static struct thread boot_thread;
    static const struct thread_attr main_attr = {.name = "main", .detached = true};
    size_t regions_count;
    const struct hal_mem_region *regions = hal_mem_map(&regions_count);

    boot_info = info;
    panic_init();                           /* assertions print a backtrace from here on */
    cpu_init(&boot_cpu, &boot_thread.task); /* CPU 0; preemption is off until the scheduler runs */
    page_init(regions, regions_count);      /* physical pages */
    heap_init();                            /* objects */
    timer_cpu_init(&boot_cpu, boot_alloc("timers", timer_cpu_size()));
    trace_init(
        boot_alloc("traces", cpu_count() * TRACE_RING_RECORDS * sizeof(struct trace_record)));
    sched_init(&boot_thread,
               info->idle_poll_ns); /* threads can be created, and wait for their CPU */
    must("RCU", rcu_init());
    for (unsigned id = 1; id < cpu_count(); id++)
        prepare_cpu(id);
    int error = sched_start_cpus();
    if (error < 0)
        hal_shutdown(HAL_SHUTDOWN_EXIT, error);
    must("the first thread", thread_create(NULL, run_program, NULL, &main_attr));
    sched_idle(); /* the boot thread is CPU 0's idle thread from here on */
}

void osv_irq_enter(void)
{
    cpu_irq_enter();
    sched_irq_enter();
}

void osv_timer(void)
{
    timer_interrupt();
}

void osv_ipi(enum hal_ipi kind)
{
    if (kind == HAL_IPI_CALL)
        ipi_call_run();
    else
        sched_ipi();
}

void osv_irq_exit(void)
{
    cpu_irq_exit();
    sched_irq_exit();
}

void osv_fault(const char *what, uintptr_t address, uintptr_t pc)
{
    char name[128];
    hal_symbol(pc, name, sizeof name);
    panic("%s at address 0x%lx, by the instruction at 0x%lx (%s)", what, (unsigned long)address,
          (unsigned long)pc, name);
}
