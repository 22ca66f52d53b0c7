// SPDX-License-Identifier: Apache-2.0
/*
 * move_phy_pages(2) beside move_pages(2), which is given the right virtual addresses. Finding either kind of
 * address is not timed here; reverse.c times that.
 *
 *     moves tax ROUNDS ENTRIES...     base pages to the other node and back, this many a call
 *     moves query ROUNDS ENTRIES...   asking where they are
 *     moves huge ROUNDS               huge pages beside base pages
 *     moves mappers ROUNDS MAPPERS... base pages that this many processes map
 *     moves stuck ROUNDS              calls in which nothing can move
 *
 * Values are instructions (nanoseconds) a base page, times 1000. The arms run in the order A B C C B A, once
 * untimed and then ROUNDS times; C is A again, so C / A tells what the figures are worth.
 */
#include "bench.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define MAX_PAGES 16384UL

enum call { VIRTUAL, PHYSICAL };

/* Base pages and what both calls need to name them. */
struct region {
	char *memory;
	size_t pages;
	void *vaddrs[MAX_PAGES];
	uint64_t paddrs[MAX_PAGES];
	int nodes[2][MAX_PAGES];
	int statuses[MAX_PAGES];
};

static struct region region;

struct arm {
	const char *name;
	enum call call;
};

static const struct arm arms[] = {
	{ "move_pages", VIRTUAL }, { "move_phy_pages", PHYSICAL }, { "move_pages_again", VIRTUAL },
};
#define ARMS 3

static void prepare(char *memory, size_t pages)
{
	region.memory = memory;
	region.pages = pages;
	for (size_t page = 0; page < pages; page++) {
		region.vaddrs[page] = memory + page * PAGE;
		region.nodes[FAST][page] = FAST;
		region.nodes[SLOW][page] = SLOW;
	}
	/* The memory of what is written by a call must be there: a fault in it would be timed. */
	memset(region.statuses, 0, sizeof(region.statuses));
}

/* One pass over the region by calls of `entries`; node < 0 asks only. Returns the time. */
static uint64_t pass(enum call call, size_t entries, int node, int flags)
{
	uint64_t start;

	if (call == PHYSICAL)
		translate(region.memory, region.pages, region.paddrs);
	start = now_ns();
	for (size_t first = 0; first < region.pages; first += entries) {
		const int *nodes = node < 0 ? NULL : region.nodes[node] + first;
		int *statuses = region.statuses + first;
		long result = call == PHYSICAL
			? physical(entries, region.paddrs + first, nodes, statuses, flags)
			: virtual(0, entries, region.vaddrs + first, nodes, statuses, flags);

		if (result < 0)
			fail("%s: %s", call == PHYSICAL ? "move_phy_pages" : "move_pages", strerror(errno));
	}
	return now_ns() - start;
}

/* To the slow node and back. */
static uint64_t there_and_back(enum call call, size_t entries, int flags)
{
	uint64_t time = pass(call, entries, SLOW, flags);

	expect("there", region.statuses, region.pages, SLOW);
	time += pass(call, entries, FAST, flags);
	expect("back", region.statuses, region.pages, FAST);
	return time / 2;
}

static uint64_t asked(enum call call, size_t entries, int flags)
{
	uint64_t time = pass(call, entries, -1, flags);

	expect("query", region.statuses, region.pages, FAST);
	return time;
}

typedef uint64_t (*timed)(enum call call, size_t entries, int flags);

static void rounds(timed measure, const char *name, size_t entries, int flags, int count)
{
	for (int arm = 0; arm < ARMS; arm++)
		measure(arms[arm].call, entries, flags);
	for (int round = 0; round < count; round++) {
		uint64_t times[ARMS] = { 0 };

		for (int turn = 0; turn < 2 * ARMS; turn++) {
			int arm = turn < ARMS ? turn : 2 * ARMS - 1 - turn;

			times[arm] += measure(arms[arm].call, entries, flags);
		}
		for (int arm = 0; arm < ARMS; arm++)
			sample(arms[arm].name, name, round, times[arm] * 1000 / 2 / region.pages);
	}
}

/* Enough pages for calls of this size that a tick of the clock is lost among them. */
static size_t enough(size_t entries)
{
	size_t least = entries == 1 ? 512 : 2048;

	return entries > least ? entries : least;
}

static void by_entries(timed measure, int count, char **sizes)
{
	for (; *sizes; sizes++) {
		size_t entries = atol(*sizes);
		size_t pages = enough(entries);
		char *memory;

		if (entries < 1 || entries > MAX_PAGES || pages % entries)
			fail("%s entries: a power of two up to %lu was expected", *sizes, MAX_PAGES);
		memory = small_pages(pages);
		prepare(memory, pages);
		rounds(measure, *sizes, entries, 0, count);
		check(memory, pages);
		munmap(memory, pages * PAGE);
	}
}

static uint64_t moved(enum call call, size_t entries, int flags)
{
	return there_and_back(call, entries, flags | MPOL_MF_MOVE);
}

/* --- huge pages */

#define HUGES 8UL

static char *huge_memory;

/*
 * Both calls with one entry a huge page, and ours with one entry for each base page of it, as hardware reports
 * them.
 */
static uint64_t huge_there_and_back(enum call call, size_t entries_each)
{
	static uint64_t heads[HUGES], paddrs[HUGES * HUGE_PAGES];
	static void *vaddrs[HUGES * HUGE_PAGES];
	size_t entries = HUGES * entries_each, stride = HUGE_PAGE / entries_each;
	uint64_t time = 0;

	for (int node = SLOW; node >= FAST; node--) {
		long result;
		uint64_t start;

		translate_huge(huge_memory, HUGES, heads);
		for (size_t entry = 0; entry < entries; entry++) {
			paddrs[entry] = heads[entry / entries_each] + entry % entries_each * stride;
			vaddrs[entry] = huge_memory + entry * stride;
		}
		start = now_ns();
		result = call == PHYSICAL
			? physical(entries, paddrs, region.nodes[node], region.statuses, MPOL_MF_MOVE)
			: virtual(0, entries, vaddrs, region.nodes[node], region.statuses, MPOL_MF_MOVE);
		time += now_ns() - start;
		if (result)
			fail("huge pages: %ld of %zu did not move: %s", result, entries, strerror(errno));
		expect("huge pages", region.statuses, entries, node);
	}
	translate_huge(huge_memory, HUGES, heads);
	return time / 2;
}

static uint64_t huge_turn(int arm)
{
	switch (arm) {
	case 0:
		return there_and_back(PHYSICAL, region.pages, MPOL_MF_MOVE);
	case 1:
		return huge_there_and_back(PHYSICAL, 1);
	case 2:
		return huge_there_and_back(PHYSICAL, HUGE_PAGES);
	case 3:
		return huge_there_and_back(VIRTUAL, 1);
	default:
		return there_and_back(PHYSICAL, region.pages, MPOL_MF_MOVE);
	}
}

static void huge(int count)
{
	static const char *const names[] = {
		"base", "huge", "huge_by_tails", "huge_move_pages", "base_again",
	};
	enum { TURNS = sizeof(names) / sizeof(names[0]) };
	size_t pages = HUGES * HUGE_PAGES;

	huge_memory = huge_pages(HUGES);
	prepare(small_pages(pages), pages);
	for (int turn = 0; turn < TURNS; turn++)
		huge_turn(turn);
	for (int round = 0; round < count; round++) {
		uint64_t times[TURNS] = { 0 };

		for (int turn = 0; turn < 2 * TURNS; turn++) {
			int arm = turn < TURNS ? turn : 2 * TURNS - 1 - turn;

			times[arm] += huge_turn(arm);
		}
		for (int turn = 0; turn < TURNS; turn++)
			sample(names[turn], "pages", round, times[turn] * 1000 / 2 / pages);
	}
	check(huge_memory, pages);
	check(region.memory, pages);
}

/* --- shared pages */

static uint64_t moved_all(enum call call, size_t entries, int flags)
{
	return there_and_back(call, entries, flags | MPOL_MF_MOVE_ALL);
}

/* A child that maps what this process maps, until this process ends. */
static pid_t sharer(void)
{
	pid_t child = fork();

	if (child < 0)
		fail("fork: %s", strerror(errno));
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return child;
}

static void mappers(int count, char **sizes)
{
	enum { PAGES = 128 };

	for (; *sizes; sizes++) {
		int processes = atoi(*sizes);
		pid_t children[256];
		char *memory = small_pages(PAGES);

		if (processes < 1 || processes > 256)
			fail("%s mappers: 1 to 256 were expected", *sizes);
		prepare(memory, PAGES);
		for (int child = 0; child < processes - 1; child++)
			children[child] = sharer();
		rounds(moved_all, *sizes, PAGES, 0, count);
		check(memory, PAGES);
		for (int child = 0; child < processes - 1; child++) {
			kill(children[child], SIGKILL);
			waitpid(children[child], NULL, 0);
		}
		munmap(memory, PAGES * PAGE);
	}
}

/* --- calls in which nothing can move */

static int stuck_node, stuck_status[2];

/* Several times, for it is short: a tick of the clock must be lost in it. */
static uint64_t unmoved(enum call call, size_t entries, int flags)
{
	enum { PASSES = 16 };
	uint64_t time = 0;

	for (int turn = 0; turn < PASSES; turn++) {
		for (size_t page = 0; page < region.pages; page++)
			region.statuses[page] = -EINPROGRESS;
		time += pass(call, entries, stuck_node, flags | MPOL_MF_MOVE);
		expect("stuck", region.statuses, region.pages, stuck_status[call]);
	}
	return time / PASSES;
}

static void stuck(int count)
{
	enum { PAGES = 512, PIPED = 256 };
	char *memory = small_pages(PAGES);
	struct iovec all = { memory, PIPED * PAGE };
	pid_t child;
	int ends[2];

	prepare(memory, PAGES);
	moved(PHYSICAL, PAGES, 0);

	stuck_node = FAST;
	stuck_status[VIRTUAL] = stuck_status[PHYSICAL] = FAST;
	rounds(unmoved, "there_already", PAGES, 0, count);

	stuck_node = SLOW;
	stuck_status[VIRTUAL] = stuck_status[PHYSICAL] = -EACCES;
	child = sharer();
	rounds(unmoved, "shared", PAGES, 0, count);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);

	/* A pipe that was lent pages holds a reference to each. */
	if (pipe(ends) || fcntl(ends[1], F_SETPIPE_SZ, PIPED * PAGE) < 0)
		fail("a pipe of %d pages: %s", PIPED, strerror(errno));
	if (vmsplice(ends[1], &all, 1, 0) != PIPED * (ssize_t)PAGE)
		fail("vmsplice: %s", strerror(errno));
	region.pages = PIPED;
	/* move_pages(2) leaves the statuses of a batch that did not move as they were. */
	stuck_status[VIRTUAL] = -EINPROGRESS;
	stuck_status[PHYSICAL] = -EBUSY;
	rounds(unmoved, "lent", PIPED, 0, count);
	check(memory, PAGES);
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[2]) : 0;

	if (count < 1)
		fail("usage: moves tax|query|huge|mappers|stuck ROUNDS [SIZE...]");
	quiet();
	if (!strcmp(argv[1], "tax"))
		by_entries(moved, count, argv + 3);
	else if (!strcmp(argv[1], "query"))
		by_entries(asked, count, argv + 3);
	else if (!strcmp(argv[1], "huge"))
		huge(count);
	else if (!strcmp(argv[1], "mappers"))
		mappers(count, argv + 3);
	else if (!strcmp(argv[1], "stuck"))
		stuck(count);
	else
		fail("%s: no such measurement", argv[1]);
	return 0;
}
