/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random arguments of a call: mostly such as a daemon would have, now and then such as none should.
 */
#ifndef MOVE_PHY_PAGES_INPUT_H
#define MOVE_PHY_PAGES_INPUT_H

#include <stddef.h>

#include "workload.h"

#define MAX_ENTRIES 2048
#define RANGES 64

/* What addresses and nodes are drawn from. */
struct source {
	struct machine machine;
	struct workload *workloads;
	unsigned int nr_workloads;
	int block;		/* a memory block that goes offline now and then, or -1 */
	struct {
		__u64 start, end;
	} ranges[RANGES];	/* of /proc/iomem */
	unsigned int nr_ranges;
};

void source_find_ranges(struct source *source);

__u64 below(__u64 *random, __u64 limit);
/* The i-th address of a call whose first ones are known. */
__u64 random_paddr(const struct source *source, __u64 *random, const __u64 *paddrs,
		   unsigned long i);
__s32 random_node(const struct source *source, __u64 *random);
unsigned int random_flags(__u64 *random);
/* Up to MAX_ENTRIES, or more than a call may have. */
unsigned long random_count(__u64 *random);
/* A pointer that is amiss, or to an array of which less can be accessed than its length. */
void *bad_pointer(__u64 *random, void *pointer, size_t bytes);

#endif
