// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation that a call makes fails once: for kernels with CONFIG_FAULT_INJECTION.
 */
#include "call.h"
#include "harness.h"
#include "memory.h"

#define NTH "/proc/thread-self/fail-nth"
#define LIMIT 5000
#define NR_SETTINGS 6

FIXTURE(injection)
{
	struct machine machine;
	struct region region;
	struct setting settings[NR_SETTINGS];
	__u64 paddrs[1000];
	__s32 nodes[1000];
	__s32 status[1000];
	int count;
};

FIXTURE_VARIANT(injection)
{
	enum kind kind;
	unsigned int folios;
	bool recovers;		/* No page stays behind for a single fault */
};

/* Base pages that cannot be had in bulk are asked for one by one. */
FIXTURE_VARIANT_ADD(injection, few_pages) { .kind = ANON, .folios = 3, .recovers = true };
FIXTURE_VARIANT_ADD(injection, many_pages) { .kind = ANON, .folios = 70 };
FIXTURE_VARIANT_ADD(injection, huge_pages) { .kind = ANON_THP, .folios = 2 };
FIXTURE_VARIANT_ADD(injection, hugetlb) { .kind = HUGETLB, .folios = 2, .recovers = true };
FIXTURE_VARIANT_ADD(injection, page_cache) { .kind = PAGE_CACHE, .folios = 20 };

FIXTURE_SETUP(injection)
{
	/* All allocations may fail, and quietly. */
	static const char *const files[NR_SETTINGS][2] = {
		{ DEBUGFS "/failslab/ignore-gfp-wait", "N" },
		{ DEBUGFS "/failslab/verbose", "0" },
		{ DEBUGFS "/fail_page_alloc/ignore-gfp-wait", "N" },
		{ DEBUGFS "/fail_page_alloc/ignore-gfp-highmem", "N" },
		{ DEBUGFS "/fail_page_alloc/min-order", "0" },
		{ DEBUGFS "/fail_page_alloc/verbose", "0" },
	};
	const char *missing = machine_open(&self->machine);

	if (!missing)
		missing = region_make(&self->region, variant->kind, self->machine.fast,
				      variant->folios);
	for (int i = 0; i < NR_SETTINGS && !missing; i++)
		if (!setting_change(&self->settings[i], files[i][0], files[i][1]))
			missing = "needs a kernel with CONFIG_FAULT_INJECTION_DEBUG_FS";
	if (missing) {
		region_drop(&self->region);
		SKIP(return, "%s", missing);
	}
	self->count = variant->folios;
}

FIXTURE_TEARDOWN(injection)
{
	for (int i = 0; i < NR_SETTINGS; i++)
		setting_restore(&self->settings[i]);
	EXPECT_TRUE(region_intact(&self->region));
	region_drop(&self->region);
	EXPECT_TRUE(machine_settled(&self->machine));
}

/* Whole, and where its status says. */
static bool true_status(const struct region *region, int i, int status, const int nodes[2])
{
	int node = region_node(region, i * region->folio_size);

	if (region->folio_size > PAGE &&
	    !page_has(region_paddr(region, i * region->folio_size), KPF_COMPOUND_HEAD))
		return false;
	if (status == -ENOMEM || status == -EBUSY)
		return node == nodes[0];
	return status == nodes[1] && node == nodes[1];
}

TEST_F(injection, an_allocation_that_fails_costs_its_page_at_most)
{
	int nodes[2] = { self->machine.fast, self->machine.slow }, refused = 0;
	long result, left = 0, nth;

	for (nth = 1; nth < LIMIT && !left; nth++) {
		drain_lru_batches();
		for (int i = 0; i < self->count; i++) {
			self->paddrs[i] = region_paddr(&self->region, i * self->region.folio_size);
			self->nodes[i] = nodes[1];
			self->status[i] = -EINPROGRESS;
		}
		ASSERT_EQ(0, write_number(NTH, nth));
		result = move_phy_pages(self->count, self->paddrs, self->nodes, self->status, 0);
		/* What is left is 0 once the fault has been injected. */
		left = read_number(NTH);
		write_number(NTH, 0);
		ASSERT_TRUE(result >= 0 || result == -ENOMEM)
			TH_LOG("allocation %ld: %ld", nth, result);
		for (int i = 0; i < self->count; i++) {
			if (result < 0) {
				ASSERT_EQ(nodes[0],
					  region_node(&self->region, i * self->region.folio_size));
				continue;
			}
			ASSERT_TRUE(true_status(&self->region, i, self->status[i], nodes))
				TH_LOG("allocation %ld: status %d of page %d", nth,
				       self->status[i], i);
		}
		refused += result != 0;
		/* Back to where they were, without faults. */
		for (int i = 0; i < self->count; i++)
			move_patiently(region_paddr(&self->region, i * self->region.folio_size),
				       nodes[0], 0);
		ASSERT_TRUE(region_intact(&self->region));
	}
	EXPECT_GT(LIMIT, nth);
	/* Some faults hit what the call cannot do without. */
	if (!variant->recovers)
		EXPECT_LT(0, refused);
}

TEST_HARNESS_MAIN
