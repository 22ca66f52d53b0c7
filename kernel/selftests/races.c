// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that are moved to and fro while something else happens to them: no content is lost, whoever
 * wins.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <mm/gup_test.h>

#include "call.h"
#include "child.h"
#include "harness.h"
#include "memory.h"

#define PAGES 64
#define HUGE_PAGES 2
#define MAX_PADDRS 512
#define SECONDS 1.0
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/*
 * Moves a region, wherever it is, and another one in the same calls, until it is stopped: every
 * other folio to the one node, the rest to the other, and the next time the other way round.
 */
struct mover {
	pthread_t thread;
	struct machine machine;
	const struct region *regions[2];
	bool by_address;	/* move_pages(2), not ours */
	int cpu;
	atomic_bool stop;
	atomic_long moved;
	atomic_long refused;	/* results that no page can have */
};

static bool possible(int status, const struct machine *machine)
{
	switch (status) {
	case -EBUSY:
	case -ENOENT:	/* freed or offline */
	case -ENOMEM:
	case -EACCES:
	case -EPERM:	/* somebody else's by now, and locked */
		return true;
	default:
		return status == machine->fast || status == machine->slow;
	}
}

/* What to name of a folio in each call: some of its pages. */
static size_t step_of(const struct region *region)
{
	return region->folio_size == PAGE ? PAGE : region->folio_size / 8;
}

static int add_entries(const struct mover *mover, const struct region *region, int round, int count,
		       __u64 *paddrs, __s32 *nodes)
{
	for (size_t offset = 0; offset < region->size; offset += step_of(region)) {
		bool away = (round + offset / region->folio_size) % 2;
		int node = away ? mover->machine.fast : mover->machine.slow;

		if (mover->by_address) {
			move_virtual(region->start + offset, node, MPOL_MF_MOVE_ALL);
			continue;
		}
		paddrs[count] = paddr_of(region->start + offset);
		nodes[count] = node;
		count += paddrs[count] && count < MAX_PADDRS - 1;
	}
	return count;
}

static void *keep_moving(void *argument)
{
	struct mover *mover = argument;
	__u64 paddrs[MAX_PADDRS];
	__s32 nodes[MAX_PADDRS], status[MAX_PADDRS];

	stay_on_cpu(mover->cpu);
	for (int round = 0; !mover->stop; round++) {
		int count = 0;

		for (int i = 0; i < 2 && mover->regions[i]; i++)
			count = add_entries(mover, mover->regions[i], round, count, paddrs, nodes);
		if (!count)
			continue;
		if (move_phy_pages(count, paddrs, nodes, status, MPOL_MF_MOVE_ALL) < 0)
			mover->refused++;
		for (int i = 0; i < count; i++) {
			mover->moved += status[i] == nodes[i];
			if (!possible(status[i], &mover->machine)) {
				fprintf(stderr, "# status %d\n", status[i]);
				mover->refused++;
			}
		}
	}
	return NULL;
}

static void mover_start(struct mover *mover, const struct machine *machine,
			const struct region *region, const struct region *other)
{
	memset(mover, 0, sizeof(*mover));
	mover->machine = *machine;
	mover->regions[0] = region;
	mover->regions[1] = other;
	mover->cpu = cpus_online() > 1 ? 1 : 0;
	if (pthread_create(&mover->thread, NULL, keep_moving, mover))
		fatal("pthread_create");
}

/* True when it did move pages, and was told nothing odd. */
static bool mover_stop(struct mover *mover)
{
	mover->stop = true;
	pthread_join(mover->thread, NULL);
	if (mover->refused || (!mover->moved && !mover->by_address))
		fprintf(stderr, "# %ld pages moved, %ld odd results\n", mover->moved,
			mover->refused);
	return !mover->refused && (mover->moved || mover->by_address);
}

FIXTURE(race)
{
	struct machine machine;
	struct region region;
	struct mover mover;
	double end;
};

FIXTURE_VARIANT(race)
{
	enum kind kind;
	unsigned int folios;
};

FIXTURE_VARIANT_ADD(race, base_pages) { .kind = ANON, .folios = PAGES };
FIXTURE_VARIANT_ADD(race, huge_pages) { .kind = ANON_THP, .folios = HUGE_PAGES };

FIXTURE_SETUP(race)
{
	const char *missing = machine_open(&self->machine);

	if (!missing)
		missing = region_make(&self->region, variant->kind, self->machine.fast,
				      variant->folios);
	if (missing) {
		region_drop(&self->region);
		SKIP(return, "%s", missing);
	}
	mover_start(&self->mover, &self->machine, &self->region, NULL);
	self->end = now_seconds() + SECONDS;
}

FIXTURE_TEARDOWN(race)
{
	EXPECT_TRUE(mover_stop(&self->mover));
	EXPECT_TRUE(region_intact(&self->region));
	region_drop(&self->region);
	EXPECT_TRUE(machine_settled(&self->machine));
}

/* The pages of one folio, in turn: each time another. */
static char *next_page(const struct region *region, unsigned int round, __u64 *seed)
{
	size_t offset = (round * 37UL * PAGE + round / 512 * PAGE) % region->size;

	*seed = region->seed + (offset / PAGE << 16);
	return region->start + offset;
}

TEST_F(race, with_writes)
{
	for (unsigned int round = 0; now_seconds() < self->end; round++) {
		__u64 seed;
		char *page = next_page(&self->region, round, &seed);

		ASSERT_TRUE(page_intact(page, seed));
		fill_page(page, ~seed);
		ASSERT_TRUE(page_intact(page, ~seed));
		fill_page(page, seed);
	}
}

TEST_F(race, with_faults)
{
	for (unsigned int round = 0; now_seconds() < self->end; round++) {
		__u64 seed;
		char *page = next_page(&self->region, round, &seed);

		ASSERT_TRUE(page_intact(page, seed));
		ASSERT_EQ(0, madvise(page, PAGE, MADV_DONTNEED));
		ASSERT_EQ(0, peek(page));
		fill_page(page, seed);
	}
}

TEST_F(race, with_protection_changes)
{
	for (unsigned int round = 0; now_seconds() < self->end; round++) {
		__u64 seed;
		char *page = next_page(&self->region, round, &seed);

		ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ));
		ASSERT_TRUE(page_intact(page, seed));
		ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ | PROT_WRITE));
		fill_page(page, seed);
	}
}

TEST_F(race, with_unmapping)
{
	const size_t part = self->region.folio_size;

	for (unsigned int round = 0; now_seconds() < self->end; round++) {
		size_t first = round * part % self->region.size;
		char *start = self->region.start + first;

		ASSERT_EQ(0, munmap(start, part));
		ASSERT_EQ((void *)start, mmap(start, part, PROT_READ | PROT_WRITE,
					      MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		madvise(start, part, variant->kind == ANON_THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		for (size_t offset = 0; offset < part; offset += PAGE)
			fill_page(start + offset,
				  self->region.seed + ((first + offset) / PAGE << 16));
	}
}

TEST_F(race, with_forks)
{
	int wrong = 0, rounds = 0;

	for (; now_seconds() < self->end; rounds++) {
		__u64 seed;
		char *page = next_page(&self->region, rounds, &seed);
		pid_t child = fork_or_die();

		if (!child) {
			bool intact = region_intact(&self->region);

			fill_page(page, ~seed);
			_exit(!(intact && page_intact(page, ~seed)));
		}
		fill_page(page, seed);
		wrong += join(child) != 0;
	}
	EXPECT_EQ(0, wrong);
	EXPECT_LT(0, rounds);
}

TEST_F(race, with_compaction)
{
	for (int rounds = 0; now_seconds() < self->end; rounds++) {
		ASSERT_EQ(0, write_text("/proc/sys/vm/compact_memory", "1"));
		ASSERT_TRUE(region_intact(&self->region));
	}
}

TEST_F(race, with_another_mover)
{
	struct mover other;

	mover_start(&other, &self->machine, &self->region, NULL);
	while (now_seconds() < self->end)
		ASSERT_TRUE(region_intact(&self->region));
	EXPECT_TRUE(mover_stop(&other));
}

TEST_F(race, with_move_pages)
{
	struct mover other;

	mover_start(&other, &self->machine, &self->region, NULL);
	other.by_address = true;
	while (now_seconds() < self->end)
		ASSERT_TRUE(region_intact(&self->region));
	EXPECT_TRUE(mover_stop(&other));
}

/* A page under DMA stays where it is for as long as the device may write to it. */
TEST_F(race, with_pins)
{
	const int device = open(DEBUGFS "/gup_test", O_RDWR | O_CLOEXEC);
	char *copy = map_anon(PAGE);
	int pinned = 0;

	if (device < 0)
		SKIP(return, "needs a kernel with CONFIG_GUP_TEST");
	for (unsigned int round = 0; now_seconds() < self->end; round++) {
		__u64 seed, paddr, to = (uintptr_t)copy;
		char *page = next_page(&self->region, round, &seed);
		struct pin_longterm_test pin = {
			.addr = (uintptr_t)page, .size = PAGE,
			.flags = PIN_LONGTERM_TEST_FLAG_USE_WRITE,
		};

		/* Refused, for once, when the page was on its way to a node without pins. */
		if (ioctl(device, PIN_LONGTERM_TEST_START, &pin))
			continue;
		pinned++;
		paddr = paddr_of(page);
		fill_page(page, ~seed);
		sleep_ms(1);
		ASSERT_EQ(0, ioctl(device, PIN_LONGTERM_TEST_READ, &to));
		ASSERT_TRUE(page_intact(copy, ~seed));
		ASSERT_EQ(paddr, paddr_of(page));
		fill_page(page, seed);
		ASSERT_EQ(0, ioctl(device, PIN_LONGTERM_TEST_STOP));
	}
	EXPECT_LT(0, pinned);
}

/* Huge pages come apart and together again. */
TEST_F(race, with_splits)
{
	char command[80];
	long before = vm_counter("thp_split_page");

	snprintf(command, sizeof(command), "%d,%#lx,%#lx", getpid(),
		 (uintptr_t)self->region.start,
		 (uintptr_t)self->region.start + self->region.size);
	while (now_seconds() < self->end) {
		if (write_text(DEBUGFS "/split_huge_pages", command) == -ENOENT)
			SKIP(return, "needs a kernel with CONFIG_DEBUG_FS");
		ASSERT_TRUE(region_intact(&self->region));
		madvise(self->region.start, self->region.size, MADV_COLLAPSE);
	}
	if (variant->kind == ANON_THP)
		EXPECT_LT(before, vm_counter("thp_split_page"));
}

/*
 * Memory that is taken away is taken away, whatever moves to it and from it. The kernel waits until
 * nobody has a page of it isolated, so whoever has one must not wait for the kernel: also not with
 * small folios in hand while large ones, for another node, are moved.
 */
TEST_F(race, with_memory_going_offline)
{
	int block = removable_block(self->machine.slow), offlined = 0;
	struct region small;
	struct mover other;

	if (block < 0)
		SKIP(return, "found no memory block of the second node that goes offline");
	ASSERT_EQ(NULL, region_make(&small, ANON, self->machine.slow, PAGES));
	mover_start(&other, &self->machine, &small, &self->region);
	/* Once at least, and it may be asked for more than once. */
	for (self->end += 20; now_seconds() < self->end && offlined < 5;) {
		if (block_set_online(block, false))
			continue;
		offlined++;
		ASSERT_TRUE(region_intact(&self->region));
		ASSERT_EQ(0, block_set_online(block, true));
	}
	EXPECT_LT(0, offlined);
	EXPECT_TRUE(mover_stop(&other));
	EXPECT_TRUE(region_intact(&small));
	region_drop(&small);
}

/* The owner dies in the middle of a move. */
TEST_F(race, with_the_end_of_the_owner)
{
	struct theirs {
		int count;
		__u64 paddrs[PAGES];
	} *theirs = map_shared(sizeof(*theirs));
	__s32 nodes[PAGES], status[PAGES];

	for (int i = 0; i < PAGES; i++)
		nodes[i] = self->machine.slow;
	for (int round = 0; now_seconds() < self->end; round++) {
		struct child child;

		if (child_start(&child)) {
			char *pages = map_anon(PAGES * PAGE);

			for (int i = 0; i < PAGES; i++) {
				fill_page(pages + i * PAGE, i);
				theirs->paddrs[i] = paddr_of(pages + i * PAGE);
			}
			if (cpus_online() > 1)
				stay_on_cpu(1);
			child_step(&child);
			_exit(0);
		}
		ASSERT_TRUE(child_stepped(&child));
		if (round % 2)
			kill(child.pid, SIGKILL);
		else
			child_go_on(&child);
		ASSERT_LE(0, move_phy_pages(PAGES, theirs->paddrs, nodes, status,
					    MPOL_MF_MOVE_ALL));
		for (int i = 0; i < PAGES; i++) {
			ASSERT_TRUE(possible(status[i], &self->machine))
				TH_LOG("status %d", status[i]);
		}
		child_end(&child);
	}
}

TEST_HARNESS_MAIN
