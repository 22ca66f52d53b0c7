// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that belong to several, and pages whose owner says no.
 */
#include <sys/mman.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include "call.h"
#include "child.h"
#include "harness.h"
#include "memory.h"

#define KSM "/sys/kernel/mm/ksm"

FIXTURE(owner)
{
	struct machine machine;
	char *page;
	__u64 paddr;
};

FIXTURE_SETUP(owner)
{
	const char *missing = machine_open(&self->machine);

	if (missing)
		SKIP(return, "%s", missing);
	self->page = page_on(self->machine.fast);
	fill_page(self->page, 1);
	self->paddr = paddr_of(self->page);
}

FIXTURE_TEARDOWN(owner)
{
	EXPECT_TRUE(machine_settled(&self->machine));
}

/* Refused to all but MPOL_MF_MOVE_ALL, unless there is nothing to do; and told where it is. */
static bool shared(__u64 paddr, const struct machine *machine)
{
	int moved = move_one(paddr, machine->slow, MPOL_MF_MOVE);
	int unflagged = move_one(paddr, machine->slow, 0);
	int stayed = move_one(paddr, machine->fast, MPOL_MF_MOVE);
	int queried = query_one(paddr);

	if (moved == -EACCES && unflagged == -EACCES && stayed == machine->fast &&
	    queried == machine->fast)
		return true;
	fprintf(stderr, "# moved %d and %d, stayed %d, queried %d\n", moved, unflagged, stayed,
		queried);
	return false;
}

TEST_F(owner, a_page_of_a_parent_and_its_child)
{
	struct child child;

	if (child_start(&child)) {
		child_step(&child);
		_exit(!(page_intact(self->page, 1) &&
			node_of(self->page) == self->machine.slow));
	}
	ASSERT_TRUE(child_stepped(&child));
	EXPECT_TRUE(shared(self->paddr, &self->machine));
	EXPECT_EQ(self->machine.slow,
		  move_patiently(self->paddr, self->machine.slow, MPOL_MF_MOVE_ALL));
	EXPECT_TRUE(page_intact(self->page, 1));
	EXPECT_EQ(0, child_finish(&child));
}

/* A write has ended what a fork began: each has a page of its own, whatever their VMAs share. */
TEST_F(owner, pages_that_a_write_has_separated)
{
	__u64 *theirs = map_shared(PAGE);
	struct child child;

	if (child_start(&child)) {
		child_step(&child);
		*theirs = paddr_of(self->page);
		child_step(&child);
		_exit(!(page_intact(self->page, 1) &&
			node_of(self->page) == self->machine.slow));
	}
	ASSERT_TRUE(child_stepped(&child));
	fill_page(self->page, 2);
	child_go_on(&child);
	ASSERT_TRUE(child_stepped(&child));
	EXPECT_NE(*theirs, paddr_of(self->page));
	EXPECT_EQ(self->machine.slow,
		  move_patiently(paddr_of(self->page), self->machine.slow, MPOL_MF_MOVE));
	EXPECT_EQ(self->machine.slow, move_patiently(*theirs, self->machine.slow, MPOL_MF_MOVE));
	EXPECT_TRUE(page_intact(self->page, 2));
	EXPECT_EQ(0, child_finish(&child));
}

TEST_F(owner, a_page_of_a_child_that_has_ended)
{
	pid_t child = fork_or_die();

	if (!child)
		_exit(0);
	ASSERT_EQ(0, join(child));
	EXPECT_EQ(self->machine.slow, move_one(self->paddr, self->machine.slow, MPOL_MF_MOVE));
	EXPECT_TRUE(page_intact(self->page, 1));
}

static const enum kind shareable[] = { SHMEM, PAGE_CACHE, SHMEM_THP };

TEST_F(owner, a_file_that_two_processes_map)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(shareable); i++) {
		struct region region;
		const char *missing = region_make(&region, shareable[i], self->machine.fast, 1);
		struct child child;
		__u64 paddr;

		if (missing) {
			region_drop(&region);
			SKIP(return, "%s", missing);
		}
		if (child_start(&child)) {
			bool intact = region_intact(&region);

			child_step(&child);
			_exit(!(intact && region_intact(&region) &&
				region_node(&region, 0) == self->machine.slow));
		}
		ASSERT_TRUE(child_stepped(&child));
		paddr = region_paddr(&region, 0);
		EXPECT_TRUE(shared(paddr, &self->machine));
		EXPECT_EQ(self->machine.slow,
			  move_patiently(paddr, self->machine.slow, MPOL_MF_MOVE_ALL));
		EXPECT_TRUE(region_intact(&region));
		EXPECT_EQ(0, child_finish(&child));
		region_drop(&region);
	}
}

static void peek_at_all(const char *start, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE)
		peek(start + at);
}

/* Each page has one mapper then, and the folio has two. */
TEST_F(owner, a_huge_page_of_which_two_processes_map_a_half)
{
	struct region region;
	const char *missing = region_make(&region, SHMEM_THP, self->machine.fast, 1);
	struct child child;
	__u64 paddr;

	if (missing) {
		region_drop(&region);
		SKIP(return, "%s", missing);
	}
	if (child_start(&child)) {
		munmap(region.start, PMD / 2);
		peek_at_all(region.start + PMD / 2, PMD / 2);
		child_step(&child);
		_exit(0);
	}
	ASSERT_TRUE(child_stepped(&child));
	ASSERT_EQ(0, munmap(region.start + PMD / 2, PMD / 2));
	peek_at_all(region.start, PMD / 2);
	paddr = region_paddr(&region, 0);
	ASSERT_TRUE(page_has(paddr, KPF_THP));
	EXPECT_TRUE(shared(paddr, &self->machine));
	EXPECT_EQ(self->machine.slow,
		  move_patiently(paddr, self->machine.slow, MPOL_MF_MOVE_ALL));
	EXPECT_EQ(0, child_finish(&child));
	region_drop(&region);
}

/* A folio of one process is its own, however many VMAs map it and one page at a time. */
TEST_F(owner, a_folio_that_its_process_has_given_different_rights)
{
	struct region region;
	const char *missing = region_make(&region, ANON_MTHP, self->machine.fast, 1);

	if (missing) {
		region_drop(&region);
		SKIP(return, "%s", missing);
	}
	ASSERT_EQ(0, mprotect(region.start + 4 * PAGE, 4 * PAGE, PROT_READ));
	EXPECT_EQ(self->machine.slow,
		  move_patiently(region_paddr(&region, 0), self->machine.slow, MPOL_MF_MOVE));
	EXPECT_EQ(self->machine.slow, region_node(&region, region.size - PAGE));
	EXPECT_TRUE(region_intact(&region));
	region_drop(&region);
}

/* The page is looked up in every mapping, so there is an end to how many there may be. */
TEST_F(owner, a_page_with_many_mappings)
{
	struct region region;
	const char *missing = region_make(&region, SHMEM, self->machine.fast, 1);
	int mappings = 1, to[] = { MAPPERS, MAPPERS + 1 };

	ASSERT_EQ(NULL, missing);
	for (int i = 0; i < 2; i++) {
		for (; mappings < to[i]; mappings++) {
			char *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, region.fd, 0);

			ASSERT_NE(MAP_FAILED, (void *)page);
			peek(page);
		}
		EXPECT_EQ(i ? -EACCES : self->machine.slow,
			  move_patiently(region_paddr(&region, 0), self->machine.slow,
					 MPOL_MF_MOVE_ALL));
		EXPECT_EQ(self->machine.slow, move_virtual(region.start, self->machine.slow,
							   MPOL_MF_MOVE_ALL));
		if (!i) {
			EXPECT_EQ(self->machine.fast,
				  move_patiently(region_paddr(&region, 0), self->machine.fast,
						 MPOL_MF_MOVE_ALL));
		}
	}
	EXPECT_TRUE(region_intact(&region));
	region_drop(&region);
}

/* Two mappings that no fork made, merged into one page by their contents. */
TEST_F(owner, a_page_that_ksm_has_merged)
{
	struct setting run = { 0 }, pause = { 0 }, scan = { 0 };
	char *other = page_on(self->machine.fast);
	__u64 paddr;

	fill_page(other, 1);
	if (!setting_change(&pause, KSM "/sleep_millisecs", "1") ||
	    !setting_change(&scan, KSM "/pages_to_scan", "1000") ||
	    madvise(self->page, PAGE, MADV_MERGEABLE) || madvise(other, PAGE, MADV_MERGEABLE) ||
	    !setting_change(&run, KSM "/run", "1"))
		SKIP(return, "needs a kernel with CONFIG_KSM");
	for (int tries = 0; tries < 1000 && paddr_of(self->page) != paddr_of(other); tries++)
		sleep_ms(10);
	setting_restore(&run);
	setting_restore(&scan);
	setting_restore(&pause);
	paddr = paddr_of(self->page);
	ASSERT_EQ(paddr, paddr_of(other));
	ASSERT_TRUE(page_has(paddr, KPF_KSM));
	drain_lru_batches();

	EXPECT_TRUE(shared(paddr, &self->machine));
	EXPECT_EQ(self->machine.slow,
		  move_patiently(paddr, self->machine.slow, MPOL_MF_MOVE_ALL));
	EXPECT_TRUE(page_intact(self->page, 1));
	EXPECT_TRUE(page_intact(other, 1));
	paddr = paddr_of(self->page);
	EXPECT_EQ(self->machine.fast,
		  move_patiently(paddr, self->machine.fast, MPOL_MF_MOVE_ALL));

	/* With one mapping left it is still a page that others may come to share. */
	munmap(other, PAGE);
	paddr = paddr_of(self->page);
	ASSERT_TRUE(page_has(paddr, KPF_KSM));
	EXPECT_TRUE(shared(paddr, &self->machine));
	EXPECT_TRUE(page_intact(self->page, 1));
}

/* Locked in memory: its owner wants no fault, and no wait, on it. */
static bool locked(__u64 paddr, const struct machine *machine)
{
	int moved = move_one(paddr, machine->slow, MPOL_MF_MOVE);
	int all = move_one(paddr, machine->slow, MPOL_MF_MOVE_ALL);
	int stayed = move_one(paddr, machine->fast, MPOL_MF_MOVE);
	int queried = query_one(paddr);

	if (moved == -EPERM && all == -EPERM && stayed == machine->fast && queried == machine->fast)
		return true;
	fprintf(stderr, "# moved %d and %d, stayed %d, queried %d\n", moved, all, stayed, queried);
	return false;
}

TEST_F(owner, a_page_that_is_locked_in_memory)
{
	ASSERT_EQ(0, mlock(self->page, PAGE));
	EXPECT_TRUE(locked(self->paddr, &self->machine));
	EXPECT_EQ(self->machine.slow, move_patiently(self->paddr, self->machine.slow,
						     MOVE_PHY_PAGES_MLOCKED));
	EXPECT_TRUE(page_has(paddr_of(self->page), KPF_UNEVICTABLE));
	EXPECT_EQ(self->machine.fast, move_patiently(paddr_of(self->page), self->machine.fast,
						     MOVE_PHY_PAGES_MLOCKED));
	ASSERT_EQ(0, munlock(self->page, PAGE));
	EXPECT_EQ(self->machine.slow, move_patiently(paddr_of(self->page), self->machine.slow,
						     MPOL_MF_MOVE));
	EXPECT_TRUE(page_intact(self->page, 1));
}

TEST_F(owner, a_huge_page_that_is_locked_in_memory)
{
	struct region region;
	const char *missing = region_make(&region, ANON_THP, self->machine.fast, 1);

	if (missing) {
		region_drop(&region);
		SKIP(return, "%s", missing);
	}
	ASSERT_EQ(0, mlock(region.start, region.size));
	EXPECT_TRUE(locked(region_paddr(&region, 0), &self->machine));
	EXPECT_TRUE(locked(region_paddr(&region, PMD - 1), &self->machine));
	EXPECT_EQ(self->machine.slow,
		  move_patiently(region_paddr(&region, 0), self->machine.slow,
				 MPOL_MF_MOVE_ALL | MOVE_PHY_PAGES_MLOCKED));
	EXPECT_EQ(self->machine.fast,
		  move_patiently(region_paddr(&region, 0), self->machine.fast,
				 MPOL_MF_MOVE_ALL | MOVE_PHY_PAGES_MLOCKED));
	ASSERT_EQ(0, munlock(region.start, region.size));
	EXPECT_EQ(self->machine.slow, move_patiently(region_paddr(&region, 0),
						     self->machine.slow, MPOL_MF_MOVE));
	EXPECT_TRUE(region_intact(&region));
	region_drop(&region);
}

TEST_F(owner, shared_memory_that_is_locked_in_memory)
{
	int id = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
	char *page;

	if (id < 0)
		SKIP(return, "needs a kernel with CONFIG_SYSVIPC");
	page = shmat(id, NULL, 0);
	ASSERT_EQ(0, shmctl(id, IPC_RMID, NULL));
	ASSERT_NE((char *)-1, page);
	ASSERT_EQ(0, shmctl(id, SHM_LOCK, NULL));
	allocate_from(MPOL_BIND, self->machine.fast);
	fill_page(page, 3);
	allocate_from(MPOL_DEFAULT, 0);
	drain_lru_batches();
	ASSERT_TRUE(page_has(paddr_of(page), KPF_UNEVICTABLE));
	EXPECT_TRUE(locked(paddr_of(page), &self->machine));
	ASSERT_EQ(0, shmctl(id, SHM_UNLOCK, NULL));
	EXPECT_EQ(self->machine.slow,
		  move_patiently(paddr_of(page), self->machine.slow, MPOL_MF_MOVE));
	EXPECT_TRUE(page_intact(page, 3));
}

TEST_HARNESS_MAIN
