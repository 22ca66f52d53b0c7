// SPDX-License-Identifier: Apache-2.0
/*
 * DAMON's migrate_cold, the stock kernel's mover by physical address, beside move_phy_pages(2) on the same ranges:
 *
 *     damon ROUNDS PAGES ENTRIES
 *
 * In each round each arm gets a new process with PAGES base pages, the frames of which are joined to ranges, at most
 * RANGES of them, the longest. For DAMON they are the regions of its one target, and a scheme that fits any access
 * pattern moves them; its cost is the CPU time of its thread from `on` until all pages have moved, and is given with
 * what a scheme that only counts (`stat`) takes for the same regions. For the call the cost is the time of calls with
 * ENTRIES entries each.
 * Values are instructions (nanoseconds) a page moved, times 1000.
 */
#include "bench.h"

#include <sys/wait.h>

#define RANGES 64
#define MAX_PAGES 32768UL
#define ADMIN "/sys/kernel/mm/damon/admin/kdamonds/"
#define CONTEXT ADMIN "0/contexts/0/"
#define SCHEME CONTEXT "schemes/0/"
#define INTERVAL_US "100000"

struct range {
	uint64_t start, pages;
};

static uint64_t paddrs[MAX_PAGES];
static int nodes[MAX_PAGES], statuses[MAX_PAGES];
static struct range ranges[MAX_PAGES];
static size_t named;

static void set(const char *path, const char *format, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), format, (unsigned long long)value);
	write_text(path, text);
}

static int by_address(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

static int by_length(const void *left, const void *right)
{
	const struct range *a = left, *b = right;

	return a->pages > b->pages ? -1 : a->pages < b->pages;
}

/*
 * A process that has pages. Its own is not what a daemon moves, and would cost more: the TLB of the CPU that runs
 * it, which runs the call too, would have to be flushed.
 */
struct owner {
	pid_t pid;
	char *memory;
	size_t pages;
	int pagemap;
	int ready[2], done[2];
};

static void begin(struct owner *owner, size_t pages)
{
	char byte;

	owner->pages = pages;
	owner->memory = checked_map(pages * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (madvise(owner->memory, pages * PAGE, MADV_NOHUGEPAGE))
		fail("MADV_NOHUGEPAGE: %s", strerror(errno));
	if (pipe(owner->ready) || pipe(owner->done))
		fail("pipe: %s", strerror(errno));
	owner->pid = fork();
	if (owner->pid < 0)
		fail("fork: %s", strerror(errno));
	if (!owner->pid) {
		close(owner->done[1]);
		fill(owner->memory, pages);
		if (write(owner->ready[1], "", 1) != 1 || read(owner->done[0], &byte, 1))
			_exit(1);
		check(owner->memory, pages);
		_exit(0);
	}
	munmap(owner->memory, pages * PAGE);
	if (read(owner->ready[0], &byte, 1) != 1)
		fail("a process did not start");
	owner->pagemap = open_pagemap(owner->pid);
}

/* It looks whether its pages read back whole, and ends. */
static void end(struct owner *owner)
{
	int status;

	close(owner->done[1]);
	if (waitpid(owner->pid, &status, 0) != owner->pid || status)
		fail("pages did not read back as they were written");
	close(owner->ready[0]);
	close(owner->ready[1]);
	close(owner->done[0]);
	close(owner->pagemap);
}

/* Name the pages of the longest ranges; returns how many ranges there are. */
static int choose(const struct owner *owner)
{
	size_t pages = owner->pages, count = 0;

	translate_of(owner->pagemap, owner->memory, pages, paddrs);
	qsort(paddrs, pages, sizeof(*paddrs), by_address);
	for (size_t page = 0; page < pages; page++) {
		if (count && ranges[count - 1].start + ranges[count - 1].pages * PAGE == paddrs[page])
			ranges[count - 1].pages++;
		else
			ranges[count++] = (struct range){ paddrs[page], 1 };
	}
	qsort(ranges, count, sizeof(*ranges), by_length);
	if (count > RANGES)
		count = RANGES;
	/* DAMON wants its regions in order. */
	qsort(ranges, count, sizeof(*ranges), by_address);
	named = 0;
	for (size_t range = 0; range < count; range++)
		for (uint64_t page = 0; page < ranges[range].pages; page++)
			paddrs[named++] = ranges[range].start + page * PAGE;
	return count;
}

static void set_up(const char *action, int count)
{
	char path[256];

	write_text(ADMIN "nr_kdamonds", "1");
	write_text(ADMIN "0/contexts/nr_contexts", "1");
	write_text(CONTEXT "operations", "paddr");
	write_text(CONTEXT "monitoring_attrs/intervals/sample_us", INTERVAL_US);
	write_text(CONTEXT "monitoring_attrs/intervals/aggr_us", INTERVAL_US);
	write_text(CONTEXT "monitoring_attrs/intervals/update_us", "60000000");
	/* No more regions than were given: DAMON splits them while there are fewer than half of the most. */
	write_text(CONTEXT "monitoring_attrs/nr_regions/min", "3");
	set(CONTEXT "monitoring_attrs/nr_regions/max", "%llu", count > 3 ? count : 3);
	write_text(CONTEXT "targets/nr_targets", "1");
	set(CONTEXT "targets/0/regions/nr_regions", "%llu", count);
	for (int range = 0; range < count; range++) {
		snprintf(path, sizeof(path), CONTEXT "targets/0/regions/%d/start", range);
		set(path, "%llu", ranges[range].start);
		snprintf(path, sizeof(path), CONTEXT "targets/0/regions/%d/end", range);
		set(path, "%llu", ranges[range].start + ranges[range].pages * PAGE);
	}
	write_text(CONTEXT "schemes/nr_schemes", "1");
	write_text(SCHEME "action", action);
	if (strcmp(action, "stat"))
		write_text(SCHEME "target_nid", "1");
	write_text(SCHEME "access_pattern/sz/min", "0");
	write_text(SCHEME "access_pattern/sz/max", "18446744073709551615");
	write_text(SCHEME "access_pattern/nr_accesses/min", "0");
	write_text(SCHEME "access_pattern/nr_accesses/max", "4294967295");
	write_text(SCHEME "access_pattern/age/min", "0");
	write_text(SCHEME "access_pattern/age/max", "4294967295");
}

static uint64_t cpu_ns(clockid_t clock)
{
	struct timespec time;

	if (clock_gettime(clock, &time))
		fail("the CPU clock of DAMON's thread: %s", strerror(errno));
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}


/* How many of the process's pages have left the fast node. */
static size_t pages_gone(const struct owner *owner)
{
	static void *vaddrs[MAX_PAGES];
	size_t count = 0;

	for (size_t page = 0; page < owner->pages; page++)
		vaddrs[page] = owner->memory + page * PAGE;
	if (virtual(owner->pid, owner->pages, vaddrs, NULL, statuses, 0) < 0)
		fail("move_pages: %s", strerror(errno));
	for (size_t page = 0; page < owner->pages; page++)
		count += statuses[page] == SLOW;
	return count;
}

/* Run the scheme once; returns the CPU time of DAMON's thread, and how many pages moved. */
static uint64_t run(const char *action, int count, const struct owner *owner, size_t *moved)
{
	struct timespec pause = { 0, 20000000 };
	bool moves = strcmp(action, "stat");
	clockid_t clock;
	uint64_t time;

	set_up(action, count);
	write_text(ADMIN "0/state", "on");
	if (clock_getcpuclockid(read_number(ADMIN "0/pid"), &clock))
		fail("DAMON's thread has no CPU clock");
	*moved = 0;
	for (int tries = 0; tries < 30; tries++) {
		nanosleep(&pause, NULL);
		*moved = pages_gone(owner);
		/* `stat` leaves nothing to see: it is given the time of two intervals, and is then done once. */
		if (moves ? *moved >= named : tries >= 9)
			break;
	}
	time = cpu_ns(clock);
	write_text(ADMIN "0/state", "off");
	write_text(ADMIN "nr_kdamonds", "0");
	return time;
}

static void by_damon(const char *action, const char *arm, size_t pages, int round)
{
	struct owner owner;
	bool moves = strcmp(action, "stat");
	size_t moved;
	uint64_t time;
	int count;

	begin(&owner, pages);
	count = choose(&owner);
	time = run(action, count, &owner, &moved);
	if (moves && moved < named * 9 / 10)
		fail("DAMON moved %zu of %zu pages", moved, named);
	if (round >= 0) {
		sample(arm, "page", round, time * 1000 / (moves ? moved : named));
		sample(arm, "moved", round, moved);
		sample(arm, "ranges", round, count);
	}
	end(&owner);
}

static void by_call(const char *arm, size_t pages, size_t entries, int round)
{
	struct owner owner;
	uint64_t start, time;
	int count;

	begin(&owner, pages);
	count = choose(&owner);
	start = now_ns();
	for (size_t first = 0; first < named; first += entries) {
		size_t some = named - first < entries ? named - first : entries;
		long left = physical(some, paddrs + first, nodes, statuses + first, MPOL_MF_MOVE);

		if (left)
			fail("move_phy_pages: %ld of %zu pages did not move: %s", left, some, strerror(errno));
	}
	time = now_ns() - start;
	expect("the call", statuses, named, SLOW);
	if (round >= 0) {
		sample(arm, "page", round, time * 1000 / named);
		sample(arm, "moved", round, named);
		sample(arm, "ranges", round, count);
	}
	end(&owner);
}

int main(int argc, char **argv)
{
	int rounds = argc == 4 ? atoi(argv[1]) : 0;
	size_t pages = argc == 4 ? atol(argv[2]) : 0, entries = argc == 4 ? atol(argv[3]) : 0;

	if (rounds < 1 || pages < 1 || pages > MAX_PAGES || entries < 1)
		fail("usage: damon ROUNDS PAGES ENTRIES");
	quiet();
	for (size_t page = 0; page < pages; page++)
		nodes[page] = SLOW;
	for (int round = -1; round < rounds; round++) {
		by_call("call", pages, entries, round);
		by_damon("migrate_cold", "damon", pages, round);
		by_damon("stat", "damon_stat", pages, round);
		by_damon("migrate_cold", "damon_again", pages, round);
		by_call("call_again", pages, entries, round);
	}
	return 0;
}
