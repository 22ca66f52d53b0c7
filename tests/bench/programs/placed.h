/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of a program of laws.h: where they are, what that serves, what moved since the last question, and to move them.
 */
#ifndef PLACED_H
#define PLACED_H

#include "bench.h"
#include "laws.h"

#define MPOL_DEFAULT 0
#define MPOL_BIND 2
#define BACK_MS 60000

static char *memory;
/* Whose pages they are; none for this process. */
static pid_t owner;
static void *vaddrs[MAX_PAGES];
static size_t ranked[MAX_PAGES];
static int before[MAX_PAGES], seen[MAX_PAGES], targets[MAX_PAGES], statuses[MAX_PAGES];
static long moved_at[MAX_PAGES];

static void bind_memory(int node)
{
	unsigned long mask = 1UL << node;

	if (syscall(SYS_set_mempolicy, node < 0 ? MPOL_DEFAULT : MPOL_BIND, node < 0 ? NULL : &mask,
		    node < 0 ? 0 : 8 * sizeof(mask)))
		fail("set_mempolicy: %s", strerror(errno));
}

static void look(int *nodes)
{
	if (virtual(owner, asked.pages, vaddrs, NULL, nodes, 0) < 0)
		fail("move_pages: %s", strerror(errno));
}

static int by_rate(const void *left, const void *right)
{
	size_t a = *(const size_t *)left, b = *(const size_t *)right;

	if (rates[a] != rates[b])
		return rates[a] > rates[b] ? -1 : 1;
	if (before[a] != before[b])
		return before[a] == FAST ? -1 : 1;
	return a < b ? -1 : a > b;
}

static void rank(void)
{
	for (size_t page = 0; page < asked.pages; page++)
		ranked[page] = page;
	qsort(ranked, asked.pages, sizeof(*ranked), by_rate);
}

static void bring(size_t first, size_t end, int node)
{
	static void *some[MAX_PAGES];
	size_t count = 0;

	for (size_t place = first; place < end; place++)
		if (before[ranked[place]] != node)
			some[count++] = vaddrs[ranked[place]];
	for (size_t place = 0; place < count; place++)
		targets[place] = node;
	if (count && virtual(owner, count, some, targets, statuses,
			     owner || asked.law == FORKS ? MPOL_MF_MOVE_ALL : MPOL_MF_MOVE) < 0)
		fail("move_pages: %s", strerror(errno));
}

static double hits(const int *nodes)
{
	double sum = 0;

	for (size_t page = 0; page < asked.pages; page++)
		sum += nodes[page] == FAST ? weights[page] : 0;
	return sum;
}

static size_t fast_pages(const int *nodes)
{
	size_t count = 0;

	for (size_t page = 0; page < asked.pages; page++)
		count += nodes[page] == FAST;
	return count;
}

/* What so many pages could serve. */
static double best_of(size_t pages)
{
	double sum = 0;

	for (size_t place = 0; place < pages && place < asked.pages; place++)
		sum += weights[ranked[place]];
	return sum;
}

struct moves {
	size_t up, down, back;
};

static struct moves moves_seen(const int *old, const int *new, long now_ms)
{
	struct moves moves = { 0 };

	for (size_t page = 0; page < asked.pages; page++) {
		/* A page that was not there, or is there no more, has not moved. */
		if (old[page] == new[page] || old[page] < 0 || new[page] < 0)
			continue;
		if (new[page] == FAST)
			moves.up++;
		else
			moves.down++;
		if (moved_at[page] && now_ms - moved_at[page] <= BACK_MS)
			moves.back++;
		moved_at[page] = now_ms;
	}
	return moves;
}

#endif
