/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory of the host backend: physical memory is an anonymous file, the direct map one shared
 * mapping of it, and a page table entry a mapping of the file into the window. A flat array says
 * what is mapped where. */
#include "host.h"
#include <osv/error.h>
#include <sys/mman.h>
#include <unistd.h>

#define PHYS_BASE ((paddr_t)0x40000000) /* not 0, so that a physical 0 is never right by accident  \
                                         */
#define WINDOW_SIZE ((size_t)64 << 30)  /* addresses for hal_pt_map(); reserved, not committed */
#define ENTRY_PRESENT 8u                /* beside the hal_prot bits in the low part of an entry */

struct hal_host_memory hal_host_memory;

static int memory_fd = -1;
static void *direct;
static uint64_t *entries; /* [the caller's lock for the range] one a page of the window: paddr |
                             prot | present */

static void *reserve(size_t size, int prot)
{
    void *base = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return base == MAP_FAILED ? NULL : base;
}

int host_mem_init(size_t bytes)
{
    size_t table_size = WINDOW_SIZE / PAGE_SIZE * sizeof *entries;
    memory_fd = memfd_create("osv-memory", MFD_CLOEXEC);
    /* One huge page more, so that the direct map can start on a huge page. */
    char *space = reserve(bytes + HUGE_SIZE, PROT_NONE);
    void *window = reserve(WINDOW_SIZE, PROT_NONE);
    entries = reserve(table_size, PROT_READ | PROT_WRITE);
    host.region = (struct hal_mem_region){PHYS_BASE, bytes};
    if (space) {
        direct = (void *)ALIGN_UP((uintptr_t)space, HUGE_SIZE);
        munmap(space, (size_t)((char *)direct - space));
        munmap((char *)direct + bytes, (size_t)(space + HUGE_SIZE - (char *)direct));
    }
    host.info.window_base = (vaddr_t)window;
    host.info.window_size = window ? WINDOW_SIZE : 0;
    if (memory_fd < 0 || !space || !window || !entries || ftruncate(memory_fd, (off_t)bytes) != 0 ||
        mmap(direct, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
             memory_fd, 0) == MAP_FAILED) {
        host_mem_fini();
        return -ENOMEM;
    }
#if HAL_HOST_ASAN
    __asan_unpoison_memory_region(direct, bytes); /* an earlier machine's stacks */
#endif
    hal_host_memory.direct_offset = (uintptr_t)direct - PHYS_BASE;
    return 0;
}

void host_mem_fini(void)
{
    if (direct)
        munmap(direct, host.region.size);
    if (host.info.window_base)
        munmap((void *)host.info.window_base, WINDOW_SIZE);
    if (entries)
        munmap(entries, WINDOW_SIZE / PAGE_SIZE * sizeof *entries);
    if (memory_fd >= 0)
        close(memory_fd);
    memory_fd = -1;
    direct = NULL;
    entries = NULL;
    host.info.window_base = 0;
}

const struct hal_mem_region *hal_mem_map(size_t *count)
{
    *count = 1;
    return &host.region;
}

static bool in_window(vaddr_t va, size_t pages)
{
    size_t first = (va - host.info.window_base) >> PAGE_SHIFT, limit = WINDOW_SIZE >> PAGE_SHIFT;
    return va % PAGE_SIZE == 0 && va >= host.info.window_base && first < limit &&
           pages <= limit - first && pages > 0;
}

static uint64_t *entry_of(vaddr_t va)
{
    return &entries[(va - host.info.window_base) >> PAGE_SHIFT];
}

static int linux_prot(hal_prot prot)
{
    return (prot & HAL_PROT_READ ? PROT_READ : 0) | (prot & HAL_PROT_WRITE ? PROT_WRITE : 0) |
           (prot & HAL_PROT_EXEC ? PROT_EXEC : 0);
}

static bool failed(long result)
{
    return result < 0 && result > -4096;
}

int hal_pt_map(vaddr_t va, paddr_t pa, size_t pages, hal_prot prot)
{
    paddr_t end = host.region.base + host.region.size;
    if (!in_window(va, pages) || pa % PAGE_SIZE || pa < host.region.base || pa >= end ||
        pages > (end - pa) >> PAGE_SHIFT)
        return -EINVAL;
    long at = host_syscall6(SYS_mmap, (long)va, (long)(pages << PAGE_SHIFT), linux_prot(prot),
                            MAP_SHARED | MAP_FIXED, memory_fd, (long)(pa - host.region.base));
    if (failed(at))
        return -ENOMEM;
    for (size_t i = 0; i < pages; i++)
        entry_of(va)[i] = (pa + (i << PAGE_SHIFT)) | prot | ENTRY_PRESENT;
    return 0;
}

int hal_pt_protect(vaddr_t va, size_t pages, hal_prot prot)
{
    if (!in_window(va, pages))
        return -EINVAL;
    for (size_t i = 0; i < pages; i++)
        if (!(entry_of(va)[i] & ENTRY_PRESENT))
            return -EINVAL;
    if (failed(host_syscall4(SYS_mprotect, (long)va, (long)(pages << PAGE_SHIFT), linux_prot(prot),
                             0)))
        return -ENOMEM;
    for (size_t i = 0; i < pages; i++)
        entry_of(va)[i] = (entry_of(va)[i] & ~(uint64_t)(PAGE_SIZE - 1)) | prot | ENTRY_PRESENT;
    return 0;
}

int hal_pt_unmap(vaddr_t va, size_t pages)
{
    if (!in_window(va, pages))
        return -EINVAL;
    long at = host_syscall6(SYS_mmap, (long)va, (long)(pages << PAGE_SHIFT), PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    if (failed(at))
        return -ENOMEM;
    for (size_t i = 0; i < pages; i++)
        entry_of(va)[i] = 0;
    return 0;
}

bool hal_pt_query(vaddr_t va, paddr_t *pa, hal_prot *prot)
{
    if (!in_window(va & ~(PAGE_SIZE - 1), 1))
        return false;
    uint64_t entry = *entry_of(va & ~(PAGE_SIZE - 1));
    if (!(entry & ENTRY_PRESENT))
        return false;
    *pa = (entry & ~(uint64_t)(PAGE_SIZE - 1)) | (va & (PAGE_SIZE - 1));
    *prot = (hal_prot)(entry & (HAL_PROT_READ | HAL_PROT_WRITE | HAL_PROT_EXEC));
    return true;
}
