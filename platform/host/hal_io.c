/* SPDX-License-Identifier: BSD-3-Clause */
/* Console, entropy and shutdown of the host backend. */
#include "host.h"
#include <osv/error.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

void hal_console_write(const char *text, size_t size)
{
    while (size > 0) {
        long written = host_syscall4(SYS_write, 2, (long)text, (long)size, 0);
        if (written == -EINTR || written == -EAGAIN)
            continue;
        if (written <= 0)
            return; /* standard error is closed: there is nobody to tell */
        text += written;
        size -= (size_t)written;
    }
}

int hal_console_read(void)
{
    struct pollfd input = {.fd = 0, .events = POLLIN};
    struct timespec now = {0};
    unsigned char byte;
    if (host_syscall6(SYS_ppoll, (long)&input, 1, (long)&now, 0, 0, 0) != 1)
        return -EAGAIN;
    return host_syscall4(SYS_read, 0, (long)&byte, 1, 0) == 1 ? byte : -EAGAIN;
}

size_t hal_entropy(void *buffer, size_t size)
{
    size_t done = 0;
    while (done < size) {
        long got =
            host_syscall4(SYS_getrandom, (long)((char *)buffer + done), (long)(size - done), 0, 0);
        if (got == -EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}

void hal_shutdown(enum hal_shutdown how, int status)
{
    if (how == HAL_SHUTDOWN_PANIC)
        abort(); /* a debugger stops here, with every thread as it was */
    hal_irq_save();
    if (atomic_xchg_acq_rel(&host.stopping, 1) == 0) {
        host.status = status;
        for (unsigned i = 0; i < host.cpu_count; i++)
            if (i == 0 || host.cpus[i].started)
                host_irq_raise(&host.cpus[i].vcpu, HOST_PENDING_STOP);
    }
    host_cpu_leave();
}
