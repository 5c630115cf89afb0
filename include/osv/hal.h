/* SPDX-License-Identifier: BSD-3-Clause */
/* The hardware abstraction layer: the only way down from the core.
 *
 * A backend (platform/host; later bare metal and the simulator) supplies every function. None of
 * them allocates and only hal_cpu_idle() may block. Those marked [i] are static inline and come
 * from the backend's hal_inline.h, which is included last, so that a wrong or missing one does not
 * compile. "Interrupts off" means between hal_irq_save() and hal_irq_restore() on this CPU.
 * Functions cannot fail unless they return int. */
#pragma once
#include <osv/types.h>

struct hal_ctx; /* a suspended flow of control: callee-saved registers and backend state */
struct hal_fpu; /* the full floating-point and vector state */
typedef uint32_t hal_irqstate; /* what hal_irq_save() returns: 0 when interrupts were on */

#define HAL_NEVER UINT64_MAX

enum hal_ipi {
    HAL_IPI_RESCHED, /* look at the run queue and the incoming wake-ups */
    HAL_IPI_CALL,    /* run the queued cross-CPU calls */
};

enum hal_shutdown {
    HAL_SHUTDOWN_EXIT,  /* the program ended: status is its own */
    HAL_SHUTDOWN_PANIC, /* a broken kernel invariant */
};

typedef uint32_t hal_prot;
#define HAL_PROT_NONE 0u
#define HAL_PROT_READ 1u
#define HAL_PROT_WRITE 2u
#define HAL_PROT_EXEC 4u

struct hal_mem_region {
    paddr_t base; /* bytes; a multiple of HUGE_SIZE */
    size_t size;  /* bytes; a multiple of PAGE_SIZE */
};

typedef void hal_irq_fn(void *arg);
struct hal_irq {
    hal_irq_fn *fn; /* called with interrupts off, on cpu */
    void *arg;
    unsigned cpu;
    unsigned line;            /* the backend's number; with MSI the vector */
    uint64_t message_address; /* MSI: where a device writes ... */
    uint32_t message_data;    /* ... and what; 0 where the platform has none */
};

/* What a backend hands to osv_main(). */
struct hal_bootinfo {
    int (*program)(void *arg); /* host: what runs as the first thread */
    void *program_arg;
    vaddr_t window_base;   /* addresses that hal_pt_map() may be given */
    size_t window_size;    /* bytes */
    uint64_t idle_poll_ns; /* the longest that polling for work pays, before an idle CPU sleeps */
};

/* CPU */
unsigned hal_cpu_count(void);
/* Starts cpu (1 .. count - 1) in load, which hal_ctx_init() prepared, with interrupts off. 0,
 * -EINVAL, -EAGAIN. */
int hal_cpu_start(unsigned cpu, struct hal_ctx *load) MUST_CHECK;
static inline void hal_cpu_relax(void); /* [i] mandatory in every spin */
/* Interrupts off in and out. Sleeps until an interrupt is pending and handles what is; unmask and
 * sleep are one step. */
void hal_cpu_idle(void);

/* Thread context */
static inline struct hal_ctx *
hal_ctx_self(void); /* [i] the running context; may be called with preemption on */
/* Makes the code that the backend booted on this CPU the context ctx, which need not be
 * initialised. */
void hal_ctx_adopt(struct hal_ctx *ctx);
/* entry runs on the stack with interrupts off, at the first switch to ctx, and must not return. */
void hal_ctx_init(struct hal_ctx *ctx, void *stack_base, size_t stack_size, void (*entry)(void *),
                  void *arg);
/* Suspends save, which must be running, and resumes load. Preemption must be off. Neither TLS base
 * nor floating-point registers change hands: the ABI lets a call clobber the latter. */
static inline void hal_ctx_switch(struct hal_ctx *save, struct hal_ctx *load); /* [i] */
void hal_ctx_fini(struct hal_ctx *ctx); /* ctx is suspended and will not run again */
size_t hal_fpu_size(void);              /* bytes of a struct hal_fpu; aligned to 64, zeroed once */
void hal_fpu_save(struct hal_fpu *to);
void hal_fpu_load(const struct hal_fpu *from);
static inline uintptr_t hal_tls_get(void);      /* [i] fs.base, tpidr_el0 */
static inline void hal_tls_set(uintptr_t base); /* [i] */
/* Return addresses, innermost first, of ctx or, with NULL, of the caller. Returns how many were
 * written. */
size_t hal_backtrace(const struct hal_ctx *ctx, uintptr_t *pc, size_t pc_max);
/* Writes "function+0x12" to text, always terminated; false when the address belongs to no known
 * function. */
bool hal_symbol(uintptr_t pc, char *text, size_t text_size);

/* Interrupts */
static inline hal_irqstate hal_irq_save(void);        /* [i] */
static inline void hal_irq_restore(hal_irqstate old); /* [i] */
static inline bool hal_irq_enabled(void);             /* [i] */
/* Fills in cpu, line and message of irq, whose fn and arg the caller has set. 0, -EINVAL, -ENOSPC.
 */
int hal_irq_alloc(struct hal_irq *irq, unsigned cpu) MUST_CHECK;
void hal_irq_free(struct hal_irq *irq);
/* Idempotent and coalescing. */
void hal_ipi_send(unsigned cpu, enum hal_ipi kind);

/* Time */
uint64_t hal_time_ns(void);              /* monotonic, since an arbitrary start */
uint64_t hal_wall_ns(void);              /* since 1970-01-01 UTC */
static inline uint64_t hal_cycles(void); /* [i] for benchmarks and traces only */
void hal_timer_arm(
    uint64_t deadline_ns); /* one shot, this CPU; HAL_NEVER disarms; interrupts off */

/* Memory */
const struct hal_mem_region *hal_mem_map(size_t *count);
static inline void *hal_phys_to_virt(paddr_t pa);       /* [i] the direct map */
static inline paddr_t hal_virt_to_phys(const void *va); /* [i] inverse of the same */
/* Page tables; addresses inside the window, multiples of PAGE_SIZE. 0, -EINVAL, -ENOMEM. */
int hal_pt_map(vaddr_t va, paddr_t pa, size_t pages, hal_prot prot) MUST_CHECK;
int hal_pt_protect(vaddr_t va, size_t pages, hal_prot prot) MUST_CHECK;
int hal_pt_unmap(vaddr_t va, size_t pages) MUST_CHECK;
bool hal_pt_query(vaddr_t va, paddr_t *pa, hal_prot *prot); /* false when nothing is mapped there */

/* Console, entropy, machine */
void hal_console_write(const char *text, size_t size);
int hal_console_read(void); /* a byte, or -EAGAIN */
size_t hal_entropy(void *buffer,
                   size_t size); /* bytes written: size, or fewer when the source is dry */
_Noreturn void hal_shutdown(enum hal_shutdown how, int status);

/* Upcalls, defined by src/boot/main.c. Called with interrupts off; osv_main() turns them on. */
_Noreturn void osv_main(const struct hal_bootinfo *info); /* CPU 0, on the backend's boot stack */
void osv_irq_enter(void);                                 /* first in every interrupt */
void osv_timer(void);
void osv_ipi(enum hal_ipi kind);
void osv_irq_exit(void); /* last in every interrupt: may switch to another thread */
_Noreturn void osv_fault(const char *what, uintptr_t address,
                         uintptr_t pc); /* the kernel itself faulted */

#include <hal_inline.h>
