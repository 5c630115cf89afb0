/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of our own functions, from the symbol table of the program that we are part of (ELF-64,
 * System V gABI ch. 4). Read once at boot, so that a panic only searches. The file is the user's:
 * every offset in it is checked. */
#include "host.h"
#include <elf.h>
#include <fcntl.h>
#include <osv/fmt.h>
#include <osv/string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    const Elf64_Sym *symbols; /* immutable after boot, as all of it */
    size_t count;
    const char *names;
    size_t names_size;
    uintptr_t bias; /* load address minus link address */
} table;

static bool inside(size_t file_size, uint64_t offset, uint64_t size)
{
    return offset <= file_size && size <= file_size - offset;
}

static void find_table(const char *file, size_t size)
{
    const Elf64_Ehdr *header = (const void *)file;
    if (size < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_shentsize != sizeof(Elf64_Shdr) ||
        !inside(size, header->e_shoff, (uint64_t)header->e_shnum * sizeof(Elf64_Shdr)) ||
        header->e_shoff % 8)
        return;
    const Elf64_Shdr *sections = (const void *)(file + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        const Elf64_Shdr *s = &sections[i];
        if (s->sh_type != SHT_SYMTAB || s->sh_link >= header->e_shnum || s->sh_offset % 8)
            continue;
        const Elf64_Shdr *names = &sections[s->sh_link];
        if (!inside(size, s->sh_offset, s->sh_size) ||
            !inside(size, names->sh_offset, names->sh_size))
            continue;
        table.symbols = (const void *)(file + s->sh_offset);
        table.count = s->sh_size / sizeof(Elf64_Sym);
        table.names = file + names->sh_offset;
        table.names_size = names->sh_size;
        table.bias = (uintptr_t)getauxval(AT_ENTRY) - header->e_entry;
        return;
    }
}

void host_symbol_init(void)
{
    if (table.symbols)
        return;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0)
        return;
    if (fstat(fd, &info) == 0 && info.st_size > 0) {
        void *file = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (file != MAP_FAILED) {
            find_table(file, (size_t)info.st_size);
            if (!table.symbols)
                munmap(file, (size_t)info.st_size);
        }
    }
    close(fd);
}

bool hal_symbol(uintptr_t pc, char *text, size_t text_size)
{
    uintptr_t address = pc - table.bias;
    for (size_t i = 0; i < table.count; i++) {
        const Elf64_Sym *s = &table.symbols[i];
        if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || address < s->st_value ||
            address - s->st_value >= MAX(s->st_size, 1u) || s->st_name >= table.names_size)
            continue;
        fmt_format(text, text_size, "%.*s+0x%lx", (int)MIN(table.names_size - s->st_name, 100u),
                   table.names + s->st_name, (unsigned long)(address - s->st_value));
        return true;
    }
    fmt_format(text, text_size, "0x%lx", (unsigned long)pc);
    return false;
}
