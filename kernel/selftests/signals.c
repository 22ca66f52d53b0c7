// SPDX-License-Identifier: GPL-2.0-only
/*
 * Signals that end the caller in the middle of a call, and signals that do not.
 */
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

#include "call.h"
#include "child.h"
#include "harness.h"
#include "memory.h"

#define PAGES 8192

FIXTURE(signal)
{
	struct machine machine;
	char *pages;
	__u64 *paddrs;
	__s32 *nodes;
	__s32 *status;
};

FIXTURE_SETUP(signal)
{
	const char *missing = machine_open(&self->machine);

	if (missing)
		SKIP(return, "%s", missing);
	self->pages = map_anon(PAGES * PAGE);
	self->paddrs = map_shared(PAGES * sizeof(*self->paddrs));
	self->nodes = map_shared(PAGES * sizeof(*self->nodes));
	self->status = map_shared(PAGES * sizeof(*self->status));
	allocate_from(MPOL_BIND, self->machine.fast);
	for (int i = 0; i < PAGES; i++) {
		fill_page(self->pages + i * PAGE, i);
		self->paddrs[i] = paddr_of(self->pages + i * PAGE);
		self->nodes[i] = self->machine.slow;
		self->status[i] = 77;
	}
	allocate_from(MPOL_DEFAULT, 0);
	drain_lru_batches();
}

FIXTURE_TEARDOWN(signal)
{
	int damaged = 0;

	for (int i = 0; i < PAGES; i++)
		damaged += !page_intact(self->pages + i * PAGE, i);
	EXPECT_EQ(0, damaged);
	EXPECT_TRUE(machine_settled(&self->machine));
}

/* What the call had done by then is told, and the rest says that it was interrupted. */
TEST_F(signal, that_kills_the_caller)
{
	int interrupted = 0, wrong = 0, moved = 0;
	pid_t child = fork_or_die();

	if (!child) {
		if (cpus_online() > 1)
			stay_on_cpu(1);
		move_phy_pages(PAGES, self->paddrs, self->nodes, self->status, MPOL_MF_MOVE_ALL);
		_exit(0);
	}
	/* After the first statuses, and before the last. */
	while (__atomic_load_n(self->status, __ATOMIC_RELAXED) != self->machine.slow)
		sleep_ms(1);
	kill(child, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, join(child));
	for (int i = 0; i < PAGES; i++) {
		bool here = node_of(self->pages + i * PAGE) == self->machine.slow;

		interrupted += self->status[i] == -EINTR;
		moved += self->status[i] == self->machine.slow;
		/* All that was interrupted comes after all that was not. */
		wrong += self->status[i] != -EINTR && interrupted;
		wrong += (self->status[i] == self->machine.slow) != here;
	}
	EXPECT_EQ(0, wrong);
	EXPECT_LT(0, moved);
	EXPECT_LT(0, interrupted);
}

static atomic_int caught;

static void count_signal(int number)
{
	(void)number;
	caught++;
}

TEST_F(signal, that_the_caller_handles)
{
	const struct itimerval often = { { 0, 2000 }, { 0, 2000 } }, never = { { 0, 0 }, { 0, 0 } };
	int before, moved = 0;

	ASSERT_NE(SIG_ERR, signal(SIGVTALRM, count_signal));
	ASSERT_NE(SIG_ERR, signal(SIGPROF, count_signal));
	ASSERT_EQ(0, setitimer(ITIMER_PROF, &often, NULL));
	before = caught;
	EXPECT_EQ(0, move_phy_pages(PAGES, self->paddrs, self->nodes, self->status, 0));
	EXPECT_LT(before, caught);
	ASSERT_EQ(0, setitimer(ITIMER_PROF, &never, NULL));
	for (int i = 0; i < PAGES; i++)
		moved += self->status[i] == self->machine.slow;
	EXPECT_EQ(PAGES, moved);
}

TEST_HARNESS_MAIN
