/* SPDX-License-Identifier: BSD-3-Clause */
/* osv_run(): makes a machine of this process, boots the core on it and takes it down again. */
#include "host.h"
#include <osv/error.h>
#include <osv/log.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BOOT_STACK_SIZE ((size_t)262144)
#define MEMORY_DEFAULT ((size_t)256 << 20)
#define IDLE_POLL_NS 50000u
#define MEMORY_MAX ((size_t)1 << 44)
#define MEMORY_MIN ((size_t)8 << 20)

struct host_machine host;
static _Atomic(int) busy; /* [atomic] 1 while a machine runs */

static void boot(void *arg)
{
    (void)arg;
    osv_main(&host.info);
}

static cpu_set_t allowed; /* [written before boot] host CPUs that this process may use */

static unsigned host_cpus_allowed(void)
{
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) == 0) {
        CPU_ZERO(&allowed);
        CPU_SET(0, &allowed);
    }
    return (unsigned)CPU_COUNT(&allowed);
}

/* Binds the pthread of a virtual CPU; a refusal only costs precision. */
void host_pin_cpu(unsigned id, pthread_t pthread)
{
    cpu_set_t one;
    unsigned skip = id % (unsigned)CPU_COUNT(&allowed);
    for (unsigned i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &allowed) || skip-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        (void)pthread_setaffinity_np(pthread, sizeof one, &one);
        return;
    }
}

static int run_machine(void)
{
    static struct hal_ctx
        boot_ctx; /* too large for a small stack, and one machine runs at a time */
    void *stack =
        mmap(NULL, BOOT_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED)
        return -ENOMEM;
    hal_ctx_init(&boot_ctx, stack, BOOT_STACK_SIZE, boot, NULL);
    int error = host_cpu_spawn(&host.cpus[0], &boot_ctx);
    if (error == 0) {
        if (host.pin)
            host_pin_cpu(0, host.cpus[0].pthread);
        pthread_join(host.cpus[0].pthread, NULL); /* CPU 0 stops last and has joined the others */
        if (host.machine_leaving)
            host.machine_leaving();
        error = host.status;
    }
    hal_ctx_fini(&boot_ctx);
    munmap(stack, BOOT_STACK_SIZE);
    return error;
}

int osv_run(const struct osv_run_options *options, int (*program)(void *arg), void *arg)
{
    struct osv_run_options o = options ? *options : (struct osv_run_options){0};
    if (o.memory_bytes == 0)
        o.memory_bytes = MEMORY_DEFAULT;
    if (o.cpus > CPU_MAX || o.memory_bytes < MEMORY_MIN || !program)
        return -EINVAL;
    if (o.memory_bytes > MEMORY_MAX)
        return -ENOMEM;
    if (atomic_xchg_acquire(&busy, 1) != 0)
        return -EBUSY;

    unsigned host_cpus = host_cpus_allowed();
    if (o.cpus == 0)
        o.cpus = MIN(host_cpus, (unsigned)CPU_MAX);
    host = (struct host_machine){.cpu_count = o.cpus, .pin = o.pin, .pid = getpid()};
    host.info.program = program;
    host.info.program_arg = arg;
    /* A polling CPU takes time from the others unless each has a host CPU of its own. */
    host.info.idle_poll_ns = o.cpus <= host_cpus ? IDLE_POLL_NS : 0;
    log_threshold = o.verbose ? LOG_INFO : LOG_WARN;
    host_time_init();
    host_symbol_init();
    host_irq_install();
    int status = -ENOMEM;
    host.cpus = aligned_alloc(CACHE_LINE, o.cpus * sizeof *host.cpus);
    if (host.cpus && host_mem_init(ALIGN_UP(o.memory_bytes, HUGE_SIZE)) == 0) {
        memset(host.cpus, 0, o.cpus * sizeof *host.cpus);
        for (unsigned i = 0; i < o.cpus; i++)
            host.cpus[i].vcpu = (struct hal_vcpu){.id = i};
        status = run_machine();
        host_mem_fini();
    }
    free(host.cpus);
    atomic_store_release(&busy, 0);
    return status;
}
