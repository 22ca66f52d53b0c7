/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processes that write memory of one kind and check that it holds what they wrote.
 */
#ifndef MOVE_PHY_PAGES_WORKLOAD_H
#define MOVE_PHY_PAGES_WORKLOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <linux/types.h>
#include <sys/types.h>

#include "memory.h"

#define WORKLOAD_PAGES 1024

/* In memory that all processes share. */
struct workload {
	const char *name;
	enum kind kind;
	unsigned int folios;
	bool churn;		/* takes its memory anew, again and again, and forks */
	bool locked;		/* in memory, by mlock(2) */
	pid_t pid;
	struct region region;
	unsigned int owned;	/* pages are its own whose number is this modulo step */
	unsigned int step;
	atomic_bool stop;
	atomic_bool ready;
	atomic_ulong checks;
	atomic_ulong damaged;
	/* Where its pages were a moment ago; 0 where there was none. */
	atomic_ullong paddrs[WORKLOAD_PAGES];
};

/* Starts them all. Two of one name, one after the other, have the same shared memory. */
void workloads_start(struct workload *workloads, int count, __u64 seed);
/* Ends them all, each with a check of everything; the number of damaged pages. */
unsigned long workloads_stop(struct workload *workloads, int count);

/* A random number generator (xorshift64*): a state is any number but 0. */
static inline __u64 next_random(__u64 *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

#endif
