/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program does with its pages, a burst at a time, and where they come from.
 */
#ifndef WORK_H
#define WORK_H

#include "children.h"
#include "feed.h"
#include "redis.h"

#define BURSTS 16
/* Children of forks that live at a time, and the pages that each writes to. */
#define WORKERS 4
#define WRITTEN 8
#define LATE_FILE "/var/tmp/tiers.late"

static volatile uint64_t sink;

/* Half of it: enough work to be on a CPU when the clock ticks. */
static void read_page(size_t page)
{
	const uint64_t *words = (const uint64_t *)(memory + page * PAGE);
	uint64_t sum = 0;

	for (size_t word = 0; word < PAGE / 2 / sizeof(*words); word++)
		sum += ((const volatile uint64_t *)words)[word];
	sink = sum;
}

static void sleep_until(const struct timespec *start, long ms)
{
	struct timespec until = *start;

	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

static pid_t workers[WORKERS];

/* The burst of a child, which stays until the one that takes its place is due. */
static void forked_burst(int turn, long begins, const struct timespec *start)
{
	static size_t pages[MAX_PAGES];
	size_t accesses = asked.accesses / BURSTS;
	long step = asked.interval_ms / BURSTS;

	for (size_t access = 0; access < accesses; access++)
		note(pages[access] = drawn_page());
	if (!replaced(&workers[turn % WORKERS]))
		return;
	for (size_t access = 0; access < accesses; access++)
		read_page(pages[access]);
	for (size_t access = 0; access < WRITTEN; access++)
		memory[pages[access] * PAGE + PAGE / 2] = 1;
	sleep_until(start, begins + step * (turn + WORKERS) - step / 2);
	_exit(0);
}

static void burst(int turn)
{
	size_t scanned = asked.law == SCAN ? asked.pages / 2 / BURSTS : 0;

	if (asked.law == BYSTANDER) {
		size_t each = asked.pages / 2 / BURSTS, first = asked.pages / 2 + turn * each;

		for (size_t page = first; page < first + each; page++)
			read_page(page);
		return;
	}
	for (size_t access = scanned; access < asked.accesses / BURSTS; access++) {
		size_t page = drawn_page();

		note(page);
		if (asked.law == REDIS)
			ask(page);
		else
			read_page(page);
	}
	if (asked.law == REDIS)
		answers();
	for (; scanned; scanned--) {
		size_t page = scan_at++ % asked.pages;

		note(page);
		read_page(page);
	}
}

/* Memory of the file, or all of it; what comes late is not there yet. */
static void populate(void)
{
	size_t first = asked.law == LATE ? asked.capacity : asked.pages;
	int node = asked.law == LATE ? FAST : SLOW;

	if (asked.law == REDIS) {
		populate_redis();
		return;
	}
	memory = checked_map(asked.pages * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (madvise(memory, asked.pages * PAGE, MADV_NOHUGEPAGE))
		fail("MADV_NOHUGEPAGE: %s", strerror(errno));
	for (size_t page = 0; page < asked.pages; page++)
		vaddrs[page] = memory + page * PAGE;
	if (asked.law == LATE) {
		int file = open(LATE_FILE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		if (file < 0 || unlink(LATE_FILE) || ftruncate(file, first * PAGE) ||
		    mmap(memory, first * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) != memory)
			fail(LATE_FILE ": %s", strerror(errno));
	}
	bind_memory(asked.start < 0 ? node : asked.start);
	fill(memory, first);
	/* Clean, as what was only read. */
	if (asked.law == LATE && msync(memory, first * PAGE, MS_SYNC))
		fail(LATE_FILE ": %s", strerror(errno));
	bind_memory(-1);
}

static void populate_late(void)
{
	bind_memory(asked.start);
	fill(memory, asked.pages);
	bind_memory(-1);
	look(before);
}

#endif
