/* SPDX-License-Identifier: BSD-3-Clause */
/* What hal.h promises, asked of the host backend. */
#include "cpu/threads.h"
#include <host.h>
#include <osv/clock.h>
#include <osv/error.h>
#include <osv/page.h>
#include <osv/string.h>
#include <osv/waiter.h>

#define READ_WRITE (HAL_PROT_READ | HAL_PROT_WRITE)
#define LINES_MAX 256u

static _Atomic(uint32_t) ran;

static void memory_is_as_ordered(void)
{
    size_t count, total = 0;
    const struct hal_mem_region *regions = hal_mem_map(&count);
    CHECK(count >= 1);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(regions[i].base % HUGE_SIZE, 0);
        CHECK_EQ(regions[i].size % PAGE_SIZE, 0);
        CHECK(regions[i].size > 0);
        total += regions[i].size;
        for (size_t j = 0; j < i; j++)
            CHECK(regions[j].base + regions[j].size <= regions[i].base);
    }
    CHECK_EQ(total, (size_t)24 << 20);
}

static void direct_map_and_its_inverse(void)
{
    size_t count;
    const struct hal_mem_region *regions = hal_mem_map(&count);
    for (size_t i = 0; i < count; i++)
        for (size_t offset = 0; offset < regions[i].size; offset += PAGE_SIZE + 24) {
            char *va = hal_phys_to_virt(regions[i].base + offset);
            CHECK_EQ(hal_virt_to_phys(va), regions[i].base + offset);
        }
    void *page = page_alloc();
    CHECK(page != NULL && hal_phys_to_virt(hal_virt_to_phys(page)) == page);
    paddr_t pa = hal_virt_to_phys(page);
    CHECK(pa >= regions[0].base && pa < regions[count - 1].base + regions[count - 1].size);
    page_free(page);
}

static void check_mapped(vaddr_t va, paddr_t wanted_pa, hal_prot wanted_prot)
{
    paddr_t pa = 0;
    hal_prot prot = 0;
    CHECK(hal_pt_query(va, &pa, &prot));
    CHECK_EQ(pa, wanted_pa);
    CHECK_EQ(prot, wanted_prot);
}

static void a_page_at_two_addresses_is_one(void)
{
    vaddr_t window = host.info.window_base;
    volatile uint64_t *direct = page_alloc();
    CHECK(direct != NULL);
    paddr_t pa = hal_virt_to_phys((const void *)(uintptr_t)direct);
    CHECK_EQ(hal_pt_map(window, pa, 1, READ_WRITE), 0);
    CHECK_EQ(hal_pt_map(window + 5 * PAGE_SIZE, pa, 1, READ_WRITE), 0);
    volatile uint64_t *first = (uint64_t *)window, *second = first + 5 * PAGE_SIZE / 8;
    for (uint64_t i = 0; i < PAGE_SIZE / 8; i++) {
        first[i] = i * 3;
        CHECK_EQ(second[i], i * 3);
        second[i] = ~i;
        CHECK_EQ(first[i], ~i);
        CHECK_EQ(direct[i], ~i);
        direct[i] = i;
        CHECK_EQ(first[i], i);
    }
    CHECK_EQ(hal_pt_unmap(window, 1), 0);
    CHECK_EQ(second[7], 7); /* the other one stays */
    CHECK_EQ(hal_pt_unmap(window + 5 * PAGE_SIZE, 1), 0);
    page_free((void *)(uintptr_t)direct);
}

static void several_pages_are_mapped_in_order(void)
{
    vaddr_t va = host.info.window_base + host.info.window_size - 4 * PAGE_SIZE;
    char *pages = page_alloc_range(4);
    paddr_t pa;
    hal_prot prot;
    CHECK(pages != NULL);
    CHECK(!hal_pt_query(va, &pa, &prot));
    CHECK_EQ(hal_pt_map(va, hal_virt_to_phys(pages), 4, READ_WRITE), 0);
    for (size_t i = 0; i < 4; i++) {
        pages[i * PAGE_SIZE + i] = (char)('a' + i);
        CHECK_EQ(*((volatile char *)va + i * PAGE_SIZE + i), 'a' + i);
        check_mapped(va + i * PAGE_SIZE, hal_virt_to_phys(pages) + i * PAGE_SIZE, READ_WRITE);
    }
    check_mapped(va + PAGE_SIZE + 5, hal_virt_to_phys(pages) + PAGE_SIZE + 5, READ_WRITE);
    CHECK_EQ(hal_pt_protect(va + PAGE_SIZE, 2, HAL_PROT_READ), 0);
    check_mapped(va, hal_virt_to_phys(pages), READ_WRITE);
    check_mapped(va + 2 * PAGE_SIZE, hal_virt_to_phys(pages) + 2 * PAGE_SIZE, HAL_PROT_READ);
    CHECK_EQ(*((volatile char *)va + PAGE_SIZE + 1), 'b'); /* reading is allowed */
    CHECK_EQ(hal_pt_protect(va + PAGE_SIZE, 2, READ_WRITE), 0);
    *((volatile char *)va + PAGE_SIZE) = 'z';
    CHECK_EQ(pages[PAGE_SIZE], 'z');
    CHECK_EQ(hal_pt_unmap(va + PAGE_SIZE, 1), 0);
    CHECK(!hal_pt_query(va + PAGE_SIZE, &pa, &prot));
    check_mapped(va + 2 * PAGE_SIZE, hal_virt_to_phys(pages) + 2 * PAGE_SIZE, READ_WRITE);
    CHECK_EQ(hal_pt_map(va, hal_virt_to_phys(pages + PAGE_SIZE), 1, HAL_PROT_READ), 0); /* anew */
    CHECK_EQ(*(volatile char *)va, 'z');
    CHECK_EQ(hal_pt_unmap(va, 4), 0);
    page_free_range(pages, 4);
}

static void wrong_mappings_are_refused(void)
{
    vaddr_t window = host.info.window_base, end = window + host.info.window_size;
    size_t count;
    const struct hal_mem_region *last = hal_mem_map(&count);
    last += count - 1;
    paddr_t pa = last->base, pa_end = last->base + last->size;
    hal_prot prot;
    paddr_t found;
    const struct {
        vaddr_t va;
        paddr_t pa;
        size_t pages;
    } bad[] = {
        {window + 1, pa, 1},                /* misaligned */
        {window, pa + 1, 1},                /* */
        {window, pa, 0},                    /* nothing */
        {window - PAGE_SIZE, pa, 1},        /* outside the window */
        {end, pa, 1},                       /* */
        {end - PAGE_SIZE, pa, 2},           /* */
        {0, pa, 1},                         /* */
        {window, 0, 1},                     /* outside memory */
        {window, pa - PAGE_SIZE, 1},        /* */
        {window, pa_end, 1},                /* */
        {window, pa_end - PAGE_SIZE, 2},    /* */
        {window, pa, SIZE_MAX},             /* wraps */
        {window, pa, SIZE_MAX / PAGE_SIZE}, /* */
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        CHECK_EQ(hal_pt_map(bad[i].va, bad[i].pa, bad[i].pages, READ_WRITE), -EINVAL);
        CHECK(!hal_pt_query(window, &found, &prot));
    }
    CHECK_EQ(hal_pt_protect(window, 1, HAL_PROT_READ), -EINVAL); /* not mapped */
    CHECK_EQ(hal_pt_map(window, pa, 1, READ_WRITE), 0);
    CHECK_EQ(hal_pt_protect(window, 2, HAL_PROT_READ), -EINVAL); /* the second is not */
    check_mapped(window, pa, READ_WRITE);
    CHECK_EQ(hal_pt_protect(window + 8, 1, HAL_PROT_READ), -EINVAL);
    CHECK_EQ(hal_pt_protect(end, 1, HAL_PROT_READ), -EINVAL);
    CHECK_EQ(hal_pt_unmap(window + 8, 1), -EINVAL);
    CHECK_EQ(hal_pt_unmap(window, 0), -EINVAL);
    CHECK_EQ(hal_pt_unmap(end - PAGE_SIZE, 2), -EINVAL);
    CHECK(!hal_pt_query(end, &found, &prot));
    CHECK(!hal_pt_query(window - 1, &found, &prot));
    check_mapped(window, pa, READ_WRITE);
    CHECK_EQ(hal_pt_unmap(window, 1), 0);
}

#if !HAL_HOST_ASAN && !HAL_HOST_TSAN
static volatile char *map_one(void)
{
    void *page = page_alloc();
    CHECK(page != NULL);
    CHECK_EQ(hal_pt_map(host.info.window_base, hal_virt_to_phys(page), 1, READ_WRITE), 0);
    volatile char *va = (volatile char *)host.info.window_base;
    *va = 1;
    return va;
}

static void a_write_to_a_read_only_page(void)
{
    volatile char *va = map_one();
    CHECK_EQ(hal_pt_protect((vaddr_t)va, 1, HAL_PROT_READ), 0);
    CHECK_EQ(*va, 1);
    *va = 2;
}

static void a_read_of_a_page_without_rights(void)
{
    volatile char *va = map_one();
    CHECK_EQ(hal_pt_protect((vaddr_t)va, 1, HAL_PROT_NONE), 0);
    (void)*va;
}

static void a_read_of_an_unmapped_page(void)
{
    volatile char *va = map_one();
    CHECK_EQ(hal_pt_unmap((vaddr_t)va, 1), 0);
    (void)*va;
}
#endif

struct device {
    struct hal_irq irq;
    unsigned cpu; /* where the handler ran */
    bool in_interrupt;
    _Atomic(uint32_t) count;
};

static void on_device(void *arg)
{
    struct device *device = arg;
    device->cpu = cpu_self()->id;
    device->in_interrupt = cpu_in_interrupt() && !hal_irq_enabled();
    atomic_add_release(&device->count, 1u);
}

static void a_line_reaches_its_handler(void)
{
    move_to(0);
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        static struct device device[2];
        for (int i = 0; i < 2; i++) {
            device[i] = (struct device){.irq = {.fn = on_device, .arg = &device[i]}};
            CHECK_EQ(hal_irq_alloc(&device[i].irq, cpu), 0);
            CHECK_EQ(device[i].irq.cpu, cpu);
        }
        CHECK(device[0].irq.line != device[1].irq.line);
        for (uint32_t i = 1; i <= 100; i++) {
            hal_host_irq_raise(&device[0].irq);
            while (atomic_load_acquire(&device[0].count) != i)
                hal_cpu_relax();
            CHECK_EQ(device[0].cpu, cpu);
            CHECK(device[0].in_interrupt);
        }
        CHECK_EQ(atomic_load_acquire(&device[1].count), 0); /* only the line that was raised */
        for (int i = 0; i < 2; i++)
            hal_irq_free(&device[i].irq);
    }
}

static void a_masked_line_waits_and_coalesces(void)
{
    struct device device = {.irq = {.fn = on_device, .arg = &device}};
    move_to(0);
    CHECK_EQ(hal_irq_alloc(&device.irq, 0), 0);
    hal_irqstate irqs = hal_irq_save();
    for (int i = 0; i < 5; i++)
        hal_host_irq_raise(&device.irq);
    for (int i = 0; i < 1000; i++)
        hal_cpu_relax();
    CHECK_EQ(atomic_load_acquire(&device.count), 0);
    hal_irq_restore(irqs);
    wait_until_set(&device.count);
    CHECK_EQ(atomic_load_acquire(&device.count), 1);
    hal_irq_free(&device.irq);
}

static void lines_run_out_and_come_back(void)
{
    static struct device devices[LINES_MAX];
    size_t count = 0;
    int error = 0;
    for (; count < LINES_MAX; count++) {
        devices[count].irq = (struct hal_irq){.fn = on_device, .arg = &devices[count]};
        error = hal_irq_alloc(&devices[count].irq, 1);
        if (error != 0)
            break;
        for (size_t i = 0; i < count; i++)
            CHECK(devices[i].irq.line != devices[count].irq.line);
    }
    CHECK_EQ(error, -ENOSPC);
    CHECK(count >= 8);
    struct device other = {.irq = {.fn = on_device, .arg = &other}};
    CHECK_EQ(hal_irq_alloc(&other.irq, 1), -ENOSPC);
    CHECK_EQ(hal_irq_alloc(&other.irq, 0), 0); /* each CPU has its own */
    hal_irq_free(&other.irq);
    unsigned line = devices[count / 2].irq.line;
    hal_irq_free(&devices[count / 2].irq);
    CHECK_EQ(hal_irq_alloc(&devices[count / 2].irq, 1), 0);
    CHECK_EQ(devices[count / 2].irq.line, line);
    CHECK_EQ(hal_irq_alloc(&other.irq, 1), -ENOSPC);
    for (size_t i = 0; i < count; i++) {
        hal_host_irq_raise(&devices[i].irq);
        wait_until_set(&devices[i].count);
        CHECK_EQ(devices[i].cpu, 1);
    }
    for (size_t i = 0; i < count; i++) {
        hal_irq_free(&devices[i].irq);
        CHECK_EQ(atomic_load_relaxed(&devices[i].count), 1);
    }
}

static void wrong_lines_are_refused(void)
{
    struct hal_irq irq = {.fn = on_device};
    CHECK_EQ(hal_irq_alloc(&irq, cpu_count()), -EINVAL);
    irq.fn = NULL;
    CHECK_EQ(hal_irq_alloc(&irq, 0), -EINVAL);
}

static void wrong_cpus_are_not_started(void)
{
    struct hal_ctx *load = hal_ctx_self(); /* never looked at */
    CHECK_EQ(hal_cpu_count(), 2);
    CHECK_EQ(hal_cpu_start(0, load), -EINVAL);
    CHECK_EQ(hal_cpu_start(1, load), -EINVAL); /* runs already */
    CHECK_EQ(hal_cpu_start(2, load), -EINVAL);
}

static void entropy_differs(void)
{
    static unsigned char bytes[3][1024];
    for (int i = 0; i < 3; i++)
        CHECK_EQ(hal_entropy(bytes[i], sizeof bytes[i]), sizeof bytes[i]);
    CHECK(memcmp(bytes[0], bytes[1], sizeof bytes[0]) != 0);
    CHECK(memcmp(bytes[1], bytes[2], sizeof bytes[0]) != 0);
    unsigned char seen[256] = {0};
    for (size_t i = 0; i < sizeof bytes; i++)
        seen[bytes[i / 1024][i % 1024]] = 1;
    size_t values = 0;
    for (size_t i = 0; i < 256; i++)
        values += seen[i];
    CHECK(values > 200);
    CHECK_EQ(hal_entropy(bytes[0], 0), 0);
}

static void time_goes_forward(void)
{
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        move_to(cpu);
        uint64_t start_ns = hal_time_ns(), last_ns = start_ns, start_cycles = hal_cycles();
        for (int i = 0; i < 100000; i++) {
            uint64_t now_ns = hal_time_ns();
            CHECK(now_ns >= last_ns);
            last_ns = now_ns;
        }
        CHECK(last_ns > start_ns);
        CHECK(hal_cycles() > start_cycles);
    }
    uint64_t wall_ns = hal_wall_ns(), time_ns = hal_time_ns();
    CHECK(wall_ns > 1704067200 * NSEC_PER_SEC); /* 2024 */
    CHECK(wall_ns < 7258118400 * NSEC_PER_SEC); /* 2200 */
    thread_sleep(5 * NSEC_PER_MSEC);
    CHECK(hal_time_ns() - time_ns >= 5 * NSEC_PER_MSEC);
}

/* Puts a value into the last vector registers, or gets it back. */
#if defined(__x86_64__)
static inline void vectors_set(uint64_t value)
{
    __asm__ volatile("movq %0, %%xmm14\n\tmovq %0, %%xmm15\n\tpunpcklqdq %%xmm15, %%xmm15"
                     :
                     : "r"(value)
                     : "xmm14", "xmm15");
}

static inline bool vectors_hold(uint64_t value)
{
    uint64_t low, high, other;
    __asm__ volatile("movq %%xmm14, %0\n\tmovq %%xmm15, %1\n\t"
                     "punpckhqdq %%xmm15, %%xmm15\n\tmovq %%xmm15, %2"
                     : "=r"(other), "=r"(low), "=r"(high)
                     :
                     : "xmm15");
    return low == value && high == value && other == value;
}
#else
static inline void vectors_set(uint64_t value)
{
    __asm__ volatile("fmov d30, %0\n\tdup v31.2d, %0" : : "r"(value) : "v30", "v31");
}

static inline bool vectors_hold(uint64_t value)
{
    uint64_t low, high, other;
    __asm__ volatile("fmov %0, d30\n\tumov %1, v31.d[0]\n\tumov %2, v31.d[1]"
                     : "=r"(other), "=r"(low), "=r"(high));
    return low == value && high == value && other == value;
}
#endif

static void vector_registers_are_saved_and_loaded(void)
{
    size_t size = hal_fpu_size(), pages = DIV_UP(size, PAGE_SIZE);
    CHECK(size > 0 && size % 64 == 0);
    struct hal_fpu *first = page_alloc_range(pages), *second = page_alloc_range(pages);
    CHECK(first != NULL && second != NULL);
    memset((void *)first, 0, size);
    memset((void *)second, 0, size);
    vectors_set(0x1122334455667788);
    hal_fpu_save(first);
    vectors_set(0x99aabbccddeeff00);
    hal_fpu_save(second);
    vectors_set(0);
    hal_fpu_load(first);
    CHECK(vectors_hold(0x1122334455667788));
    hal_fpu_load(second);
    CHECK(vectors_hold(0x99aabbccddeeff00));
    page_free_range(first, pages);
    page_free_range(second, pages);
}

#if !HAL_HOST_TSAN /* there, nothing but hal_cpu_relax() takes an interrupt, and that is a call */
static _Atomic(uint32_t) stop;

static int keep_vectors(void *arg)
{
    uint64_t value = (uintptr_t)arg, switches = 0;
    struct thread *self = thread_self();
    while (switches < 20 && !atomic_load_relaxed(&stop)) {
        uint64_t before = atomic_load_relaxed(&self->switches);
        vectors_set(value);
        do { /* integer code only, until somebody else has run in between */
            compiler_barrier();
        } while (atomic_load_relaxed(&self->switches) == before && !atomic_load_relaxed(&stop));
        if (!vectors_hold(value))
            return 1;
        switches++;
    }
    atomic_store_relaxed(&stop, 1u);
    return 0;
}

static void vector_registers_survive_preemption(void)
{
    struct thread *first = start_on(0, keep_vectors, (void *)0x1111);
    struct thread *second = start_on(0, keep_vectors, (void *)0x2222);
    join(first);
    join(second);
}
#endif

static void the_tls_base_can_be_set(void)
{
    preempt_disable();
    uintptr_t base = hal_tls_get();
    CHECK(base != 0);
    hal_tls_set(base);
    CHECK_EQ(hal_tls_get(), base);
    preempt_enable();
}

static NOINLINE void park_here(struct waiter *waiter)
{
    atomic_store_release(&ran, 1u);
    waiter_park(waiter);
    compiler_barrier();
}

static struct waiter waiter;

static int park_in_function(void *arg)
{
    (void)arg;
    waiter_init(&waiter);
    park_here(&waiter);
    return 0;
}

static bool names(const uintptr_t *pc, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        char text[128];
        if (hal_symbol(pc[i] - 1, text, sizeof text) && strncmp(text, name, strlen(name)) == 0 &&
            (text[strlen(name)] == '+' || text[strlen(name)] == '.')) /* a clone */
            return true;
    }
    return false;
}

static void the_backtrace_of_a_parked_thread(void)
{
    uintptr_t pc[BACKTRACE_MAX];
    struct thread *thread = start_on(0, park_in_function, NULL);
    while (atomic_load_acquire(&thread->state) != THREAD_WAITING)
        thread_yield(); /* on one CPU: it is off its stack when we run */
    CHECK_EQ(atomic_load_relaxed(&ran), 1);
    size_t count = hal_backtrace(&thread->task.ctx, pc, ARRAY_COUNT(pc));
    CHECK(count >= 3 && count <= ARRAY_COUNT(pc));
    CHECK(names(pc, count, "park_here"));
    CHECK(names(pc, count, "park_in_function"));
    CHECK(!names(pc, count, "the_backtrace_of_a_parked_thread"));
    CHECK_EQ(hal_backtrace(&thread->task.ctx, pc, 2), 2);
    CHECK(waiter_wake(&waiter));
    join(thread);
}

static NOINLINE size_t backtrace_of_caller(uintptr_t *pc, size_t pc_max)
{
    size_t count = hal_backtrace(NULL, pc, pc_max);
    compiler_barrier();
    return count;
}

static void the_backtrace_of_the_caller(void)
{
    uintptr_t pc[BACKTRACE_MAX];
    char text[16];
    size_t count = backtrace_of_caller(pc, ARRAY_COUNT(pc));
    CHECK(names(pc, 1, "backtrace_of_caller"));
    CHECK(names(pc, count, "the_backtrace_of_the_caller"));
    CHECK_EQ(backtrace_of_caller(pc, 1), 1);
    CHECK_EQ(backtrace_of_caller(pc, 0), 0);
    CHECK(!hal_symbol(0x10, text, sizeof text));
    CHECK_EQ(strcmp(text, "0x10"), 0);
    CHECK(hal_symbol((uintptr_t)the_backtrace_of_the_caller, text, sizeof text));
    CHECK_EQ(strcmp(text, "the_backtrace_o"), 0); /* cut, and terminated */
}

TEST_CASES_BEGIN
    {"memory is as ordered", memory_is_as_ordered, .cpus = 1, .memory_mib = 24},
        {"direct map and its inverse", direct_map_and_its_inverse, .cpus = 1, .memory_mib = 24},
        {"a page at two addresses is one", a_page_at_two_addresses_is_one, .cpus = 1},
        {"several pages are mapped in order", several_pages_are_mapped_in_order, .cpus = 1},
        {"wrong mappings are refused", wrong_mappings_are_refused, .cpus = 1},
#if !HAL_HOST_ASAN && !HAL_HOST_TSAN
        {"a write to a read-only page", a_write_to_a_read_only_page, .cpus = 1,
         .panics = "bad memory access at address 0x"},
        {"a read of a page without rights", a_read_of_a_page_without_rights, .cpus = 1,
         .panics = "(a_read_of_a_page_without_rights+0x"},
        {"a read of an unmapped page", a_read_of_an_unmapped_page, .cpus = 1,
         .panics = "(a_read_of_an_unmapped_page+0x"},
#endif
        {"a line reaches its handler", a_line_reaches_its_handler, .cpus = 3},
        {"a masked line waits and coalesces", a_masked_line_waits_and_coalesces, .cpus = 2},
        {"lines run out and come back", lines_run_out_and_come_back, .cpus = 2},
        {"wrong lines are refused", wrong_lines_are_refused, .cpus = 2},
        {"wrong CPUs are not started", wrong_cpus_are_not_started, .cpus = 2},
        {"entropy differs", entropy_differs, .cpus = 1},
        {"time goes forward", time_goes_forward, .cpus = 2},
        {"vector registers are saved and loaded", vector_registers_are_saved_and_loaded, .cpus = 1},
#if !HAL_HOST_TSAN
        {"vector registers survive preemption", vector_registers_survive_preemption, .cpus = 1},
#endif
        {"the TLS base can be set", the_tls_base_can_be_set, .cpus = 1},
        {"the backtrace of a parked thread", the_backtrace_of_a_parked_thread, .cpus = 1},
        {"the backtrace of the caller", the_backtrace_of_the_caller, .cpus = 1},
TEST_CASES_END
