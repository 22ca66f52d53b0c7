// SPDX-License-Identifier: Apache-2.0
/*
 * What a process notices of pages being moved for others on another CPU:
 *
 *     neighbour ROUNDS WINDOW_MS PAGES_PER_SECOND PAGES_PER_CALL
 *
 * A neighbour on CPU 1 maps, touches and unmaps memory and computes in between, and counts how often. On CPU 0 pages
 * of another process move between the nodes, the same number a second in every arm: by none (`idle`), by
 * move_phy_pages(2), by move_pages(2). Each window is a sample: the neighbour's turns; `moved`: the pages moved in it;
 * `busy`: the microseconds that the mover spent in its calls. `idle_again` tells what the figures are worth.
 */
#include "bench.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define PAGES 2048UL
#define TOUCHED 16UL

enum arm { IDLE, PHYSICAL, VIRTUAL, IDLE_AGAIN, ARMS };
static const char *const names[] = { "idle", "move_phy_pages", "move_pages", "idle_again" };

static char *memory;
static uint64_t paddrs[PAGES];
static void *vaddrs[PAGES];
static int nodes[2][PAGES], statuses[PAGES];
static size_t next;
static int target = SLOW;

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail("there is no CPU %d: %s", cpu, strerror(errno));
}

static void __attribute__((noreturn)) live(volatile uint64_t *turns)
{
	volatile uint64_t sum = 0;

	stay_on(1);
	for (;; (*turns)++) {
		char *mine = checked_map(TOUCHED * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

		for (size_t page = 0; page < TOUCHED; page++)
			mine[page * PAGE] = 1;
		munmap(mine, TOUCHED * PAGE);
		for (int step = 0; step < 20000; step++)
			sum += step;
	}
}

static void move_next(enum arm arm, size_t count)
{
	long result;

	if (arm == PHYSICAL)
		result = physical(count, paddrs, nodes[target], statuses, MPOL_MF_MOVE);
	else
		result = virtual(0, count, vaddrs + next, nodes[target], statuses, MPOL_MF_MOVE);
	if (result < 0)
		fail("%s: %s", names[arm], strerror(errno));
	next += count;
	if (next == PAGES) {
		next = 0;
		target = target == SLOW ? FAST : SLOW;
	}
}

static void window(enum arm arm, volatile uint64_t *turns, int round, uint64_t ms, uint64_t rate, size_t entries)
{
	uint64_t start = now_ns(), end = start + ms * 1000000, busy = 0, moved = 0, first = *turns, spent;

	while (now_ns() < end) {
		uint64_t due = (now_ns() - start) * rate / 1000000000;

		if (arm != IDLE && arm != IDLE_AGAIN && moved + entries <= due) {
			uint64_t called;

			/* In every arm: it is the calls that are compared. */
			translate(memory + next * PAGE, entries, paddrs);
			called = now_ns();
			move_next(arm, entries);
			busy += now_ns() - called;
			moved += entries;
		} else {
			struct timespec pause = { 0, 200000 };

			nanosleep(&pause, NULL);
		}
	}
	spent = now_ns() - start;
	sample(names[arm], "turns", round, (*turns - first) * 1000000000000ULL / spent);
	sample(names[arm], "moved", round, moved);
	sample(names[arm], "busy", round, busy / 1000);
}

int main(int argc, char **argv)
{
	int rounds = argc == 5 ? atoi(argv[1]) : 0;
	size_t entries = argc == 5 ? atol(argv[4]) : 0;
	volatile uint64_t *turns;
	pid_t child;

	if (rounds < 1 || entries < 1 || PAGES % entries)
		fail("usage: neighbour ROUNDS WINDOW_MS PAGES_PER_SECOND PAGES_PER_CALL");
	quiet();
	stay_on(0);
	turns = checked_map(PAGE, MAP_SHARED | MAP_ANONYMOUS, -1);
	child = fork();
	if (child < 0)
		fail("fork: %s", strerror(errno));
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		live(turns);
	}
	memory = small_pages(PAGES);
	for (size_t page = 0; page < PAGES; page++) {
		vaddrs[page] = memory + page * PAGE;
		nodes[FAST][page] = FAST;
		nodes[SLOW][page] = SLOW;
	}
	for (int round = -1; round < rounds; round++)
		for (int turn = 0; turn < 2 * ARMS; turn++) {
			int arm = turn < ARMS ? turn : 2 * ARMS - 1 - turn;

			/* The first round is warm-up; a round's two windows of an arm are two samples of that round. */
			window(arm, turns, round, atol(argv[2]), atol(argv[3]), entries);
		}
	check(memory, PAGES);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return 0;
}
