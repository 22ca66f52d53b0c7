// SPDX-License-Identifier: Apache-2.0
/*
 * One pass of a call over pages that have moved before, between two functions that the emulator's profiler waits for:
 *
 *     profiled move_phy_pages|move_pages move|query|huge ENTRIES CALLS
 */
#include "bench.h"

#define MOST 16384UL

static uint64_t paddrs[MOST];
static void *vaddrs[MOST];
static int nodes[2][MOST], statuses[MOST];

void __attribute__((noinline)) profile_start(void)
{
	__asm__ volatile("nop" ::: "memory");
}

void __attribute__((noinline)) profile_stop(void)
{
	__asm__ volatile("nop; nop" ::: "memory");
}

static void pass(bool physically, bool asking, size_t entries, size_t calls, int node)
{
	for (size_t call = 0; call < calls; call++) {
		size_t first = call * entries;
		const int *to = asking ? NULL : nodes[node] + first;
		int flags = asking ? 0 : MPOL_MF_MOVE;
		long result = physically ? physical(entries, paddrs + first, to, statuses + first, flags)
					 : virtual(0, entries, vaddrs + first, to, statuses + first, flags);

		if (result)
			fail("%ld of %zu pages did not move: %s", result, entries, strerror(errno));
	}
}

int main(int argc, char **argv)
{
	size_t entries = argc == 5 ? atol(argv[3]) : 0, calls = argc == 5 ? atol(argv[4]) : 0, count = entries * calls;
	bool physically, asking, huge;
	char *memory;

	if (!count || count > MOST)
		fail("usage: profiled move_phy_pages|move_pages move|query|huge ENTRIES CALLS");
	physically = !strcmp(argv[1], "move_phy_pages");
	asking = !strcmp(argv[2], "query");
	huge = !strcmp(argv[2], "huge");
	quiet();
	memory = huge ? huge_pages(count) : small_pages(count);
	for (size_t entry = 0; entry < count; entry++) {
		vaddrs[entry] = memory + entry * (huge ? HUGE_PAGE : PAGE);
		nodes[SLOW][entry] = SLOW;
	}
	/* There and back twice; the fifth pass is the one that counts. */
	for (int turn = 0; turn < 5; turn++) {
		if (huge)
			translate_huge(memory, count, paddrs);
		else
			translate(memory, count, paddrs);
		if (turn == 4)
			profile_start();
		pass(physically, asking, entries, calls, turn % 2 ? FAST : SLOW);
		if (turn == 4)
			profile_stop();
	}
	expect(argv[2], statuses, count, asking ? FAST : SLOW);
	return 0;
}
