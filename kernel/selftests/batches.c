// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many pages in one call: each entry has its own answer, and none spoils another's.
 */
#include <sys/mman.h>

#include "call.h"
#include "harness.h"
#include "memory.h"

/* More than the kernel migrates at once, three times over. */
#define PAGES 1700
#define TRACEFS "/sys/kernel/tracing"

FIXTURE(batch)
{
	struct machine machine;
	struct region region;
	__u64 paddrs[PAGES];
	__s32 nodes[PAGES];
	__s32 status[PAGES];
};

FIXTURE_SETUP(batch)
{
	const char *missing = machine_open(&self->machine);

	if (!missing)
		missing = region_make(&self->region, ANON, self->machine.fast, PAGES);
	if (missing)
		SKIP(return, "%s", missing);
	for (int i = 0; i < PAGES; i++) {
		self->paddrs[i] = region_paddr(&self->region, i * PAGE);
		self->nodes[i] = self->machine.slow;
		self->status[i] = 77;
	}
}

FIXTURE_TEARDOWN(batch)
{
	EXPECT_TRUE(region_intact(&self->region));
	region_drop(&self->region);
	EXPECT_TRUE(machine_settled(&self->machine));
}

/* How many statuses are not the node that get_mempolicy(2) has the page on. */
static int untrue(const struct region *region, const __s32 *status)
{
	int count = 0;

	for (int i = 0; i < PAGES; i++)
		count += status[i] != region_node(region, i * PAGE);
	return count;
}

TEST_F(batch, all_pages_move)
{
	EXPECT_EQ(0, move_phy_pages(PAGES, self->paddrs, self->nodes, self->status, 0));
	EXPECT_EQ(0, untrue(&self->region, self->status));
	EXPECT_TRUE(region_in_numa_maps(&self->region, self->machine.slow));
}

TEST_F(batch, a_query_tells_and_moves_nothing)
{
	EXPECT_EQ(0, move_phy_pages(PAGES, self->paddrs, NULL, self->status, MPOL_MF_MOVE_ALL));
	EXPECT_EQ(0, untrue(&self->region, self->status));
	EXPECT_TRUE(region_in_numa_maps(&self->region, self->machine.fast));
	/* Its result counts what is no page. */
	self->paddrs[7] = ~0UL;
	self->paddrs[PAGES - 1] = 1UL << 45;
	EXPECT_EQ(2, move_phy_pages(PAGES, self->paddrs, NULL, self->status, 0));
	EXPECT_EQ(-EINVAL, self->status[7]);
	EXPECT_EQ(-ENOENT, self->status[PAGES - 1]);
	EXPECT_EQ(self->machine.fast, self->status[8]);
}

TEST_F(batch, pages_go_both_ways_in_one_call)
{
	for (int i = 0; i < PAGES; i += 2) {
		ASSERT_EQ(self->machine.slow,
			  move_virtual(self->region.start + i * PAGE, self->machine.slow,
				       MPOL_MF_MOVE));
	}
	for (int i = 0; i < PAGES; i++) {
		self->paddrs[i] = region_paddr(&self->region, i * PAGE);
		self->nodes[i] = i % 2 ? self->machine.slow : self->machine.fast;
	}
	EXPECT_EQ(0, move_phy_pages(PAGES, self->paddrs, self->nodes, self->status, 0));
	for (int i = 0; i < PAGES; i++)
		ASSERT_EQ(self->nodes[i], region_node(&self->region, i * PAGE));
}

TEST_F(batch, a_bad_entry_spoils_no_other)
{
	int bad = 0;

	for (int i = 0; i < PAGES; i += 5, bad++) {
		switch (i % 4) {
		case 0:
			self->paddrs[i] = ~0UL;
			break;
		case 1:
			self->nodes[i] = -1;
			break;
		case 2:
			self->nodes[i] = 1 << 20;
			break;
		case 3:
			self->paddrs[i] = 1UL << 45;
			break;
		}
	}
	EXPECT_EQ(bad, move_phy_pages(PAGES, self->paddrs, self->nodes, self->status, 0));
	for (int i = 0; i < PAGES; i++) {
		const int statuses[] = { -EINVAL, -ENODEV, -ENODEV, -ENOENT };

		ASSERT_EQ(i % 5 ? self->machine.slow : statuses[i % 4], self->status[i])
			TH_LOG("entry %d", i);
		ASSERT_EQ(i % 5 ? self->machine.slow : self->machine.fast,
			  region_node(&self->region, i * PAGE));
	}
}

/*
 * By the time that the last entries are looked at, the frames that they name have been left. Who
 * gets such a frame next must not be moved for it, and the entry tells what became of the page.
 */
TEST_F(batch, a_page_named_again_much_later_has_the_same_status)
{
	for (int i = PAGES - 200; i < PAGES; i++)
		self->paddrs[i] = self->paddrs[i - PAGES + 200];
	for (int i = PAGES - 100; i < PAGES; i++)
		self->nodes[i] = self->machine.fast;
	EXPECT_EQ(100, move_phy_pages(PAGES, self->paddrs, self->nodes, self->status, 0));
	for (int i = 0; i < PAGES; i++) {
		ASSERT_EQ(self->machine.slow, self->status[i])
			TH_LOG("entry %d", i);
	}
	for (int i = 0; i < PAGES; i++) {
		ASSERT_EQ(i < PAGES - 200 ? self->machine.slow : self->machine.fast,
			  region_node(&self->region, i * PAGE));
	}
}

TEST_F(batch, the_counters_tell_who_moved_pages)
{
	static const char *const migrated = "pgmigrate_success";
	long before = vm_counter(migrated), own_before = vm_counter(COUNTER_SUCCESS);

	if (own_before < 0)
		SKIP(return, "needs a kernel with CONFIG_VM_EVENT_COUNTERS");
	EXPECT_EQ(0, move_phy_pages(PAGES, self->paddrs, self->nodes, self->status, 0));
	EXPECT_LE(PAGES, vm_counter(migrated) - before);
	EXPECT_EQ(PAGES, vm_counter(COUNTER_SUCCESS) - own_before);

	/* A query moves nothing, and neither does move_pages(2) on our account. */
	own_before = vm_counter(COUNTER_SUCCESS);
	EXPECT_LE(0, move_phy_pages(PAGES, self->paddrs, NULL, self->status, 0));
	EXPECT_EQ(self->machine.fast,
		  move_virtual(self->region.start, self->machine.fast, MPOL_MF_MOVE));
	EXPECT_EQ(own_before, vm_counter(COUNTER_SUCCESS));
}

TEST_F(batch, the_tracepoint_tells_why)
{
	struct setting tracing = { 0 };
	static char trace[1 << 16];

	if (!setting_change(&tracing, TRACEFS "/events/migrate/mm_migrate_pages/enable", "1"))
		SKIP(return, "needs a kernel with CONFIG_FTRACE");
	EXPECT_EQ(0, write_text(TRACEFS "/trace", ""));
	EXPECT_EQ(self->machine.slow, move_one(self->paddrs[0], self->machine.slow, 0));
	setting_restore(&tracing);
	ASSERT_TRUE(read_text(TRACEFS "/trace", trace, sizeof(trace)));
	EXPECT_NE(NULL, strstr(trace, "reason=move_phy_pages"))
		TH_LOG("%s", trace);
}

TEST_HARNESS_MAIN
