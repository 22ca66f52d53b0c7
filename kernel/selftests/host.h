/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The machine under test: its text files, nodes, counters, cgroups and memory blocks.
 */
#ifndef MOVE_PHY_PAGES_HOST_H
#define MOVE_PHY_PAGES_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "../../kselftest.h"

#define CGROUPS "/sys/fs/cgroup"
#define DEBUGFS "/sys/kernel/debug"
#define THP "/sys/kernel/mm/transparent_hugepage"

/* Say what went wrong, with errno, and fail the running test: for what no test is about. */
void __noreturn __printf(1, 2) fatal(const char *format, ...);

/* Contents of a file without the last newline; false when it cannot be read. */
bool read_text(const char *path, char *text, size_t size);
/* The number at the start of a file, or -1. */
long read_number(const char *path);
/* 0 or a negative errno. */
int write_text(const char *path, const char *text);
int write_number(const char *path, long number);
/* The word in brackets of a file such as transparent_hugepage/enabled; false when there is none. */
bool chosen_word(const char *path, char *word, size_t size);

/* A setting of the machine's that a test changes and puts back. */
struct setting {
	char path[160];
	char before[64];
};

/* False, and nothing to put back, when the setting is not there or refuses the value. */
bool setting_change(struct setting *setting, const char *path, const char *value);
void setting_restore(struct setting *setting);

/*
 * The node of the CPUs and another one with memory, the number of the call, and the isolated pages
 * that there were when the test began.
 */
struct machine {
	int fast;
	int slow;
	long isolated;
};

/* NULL, or why this machine cannot run the tests. Keeps the caller on one CPU. */
const char *machine_open(struct machine *machine);
/* True once as many pages are isolated as when the test began; others have a second to finish. */
bool machine_settled(const struct machine *machine);

/* The counter in /proc/vmstat, every CPU's share included, or -1. */
long vm_counter(const char *name);
/* A node's MemFree and the like, in bytes, or -1. */
long node_meminfo(int node, const char *name);

/* How much of a node the allocator keeps free as long as there is memory elsewhere, in bytes. */
long node_low_watermark(int node);

void stay_on_cpu(int cpu);
int cpus_online(void);
void sleep_ms(long ms);
double now_seconds(void);

/* A cgroup v2 by its path below the root; cgroup_remove() waits for its last process to be gone. */
bool cgroup_make(const char *name);
void cgroup_remove(const char *name);
int cgroup_set(const char *name, const char *file, const char *value);
int cgroup_enter(const char *name);

/* A memory block of the node that does go offline and is online again, or -1. */
int removable_block(int node);
int block_set_online(int block, bool online);
unsigned long block_bytes(void);

#endif
