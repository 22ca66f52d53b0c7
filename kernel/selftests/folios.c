// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every kind of memory moves as a whole, by any of its addresses, with its contents.
 */
#include "call.h"
#include "harness.h"
#include "memory.h"

#define FOLIOS 3

FIXTURE(folio)
{
	struct machine machine;
	struct region region;
};

FIXTURE_VARIANT(folio)
{
	enum kind kind;
};

FIXTURE_VARIANT_ADD(folio, anonymous) { .kind = ANON };
FIXTURE_VARIANT_ADD(folio, huge) { .kind = ANON_THP };
FIXTURE_VARIANT_ADD(folio, of_64_kib) { .kind = ANON_MTHP };
FIXTURE_VARIANT_ADD(folio, hugetlb) { .kind = HUGETLB };
FIXTURE_VARIANT_ADD(folio, shmem) { .kind = SHMEM };
FIXTURE_VARIANT_ADD(folio, huge_shmem) { .kind = SHMEM_THP };
FIXTURE_VARIANT_ADD(folio, page_cache) { .kind = PAGE_CACHE };
FIXTURE_VARIANT_ADD(folio, unmapped_page_cache) { .kind = CACHE_ONLY };

FIXTURE_SETUP(folio)
{
	const char *missing = machine_open(&self->machine);

	if (!missing)
		missing = region_make(&self->region, variant->kind, self->machine.fast, FOLIOS);
	if (missing) {
		region_drop(&self->region);
		SKIP(return, "%s", missing);
	}
}

FIXTURE_TEARDOWN(folio)
{
	EXPECT_TRUE(region_intact(&self->region));
	region_drop(&self->region);
	EXPECT_TRUE(machine_settled(&self->machine));
}

/* The first folio that is not wholly on the node, as all who can tell see it, or -1. */
static int stray(const struct region *region, int node)
{
	for (int i = 0; i < FOLIOS; i++) {
		size_t offset = i * region->folio_size;
		__u64 paddr = region_paddr(region, offset);
		bool whole = paddr % region->folio_size == 0;
		int queried, told;

		for (size_t page = 0; page < region->folio_size && whole; page += PAGE)
			whole = region_paddr(region, offset + page) == paddr + page;
		if (region->folio_size > PAGE && !page_has(paddr, KPF_COMPOUND_HEAD))
			whole = false;
		queried = query_one(paddr);
		told = region_node(region, offset);
		if (whole && queried == node && told == node)
			continue;
		fprintf(stderr, "# folio %d is %s at %#llx, queried %d, told %d\n", i,
			whole ? "whole" : "in pieces", paddr, queried, told);
		return i;
	}
	return -1;
}

TEST_F(folio, moves_there_and_back)
{
	int nodes[] = { self->machine.slow, self->machine.fast };

	for (int way = 0; way < 2; way++) {
		for (int i = 0; i < FOLIOS; i++) {
			__u64 paddr = region_paddr(&self->region, i * self->region.folio_size);

			EXPECT_EQ(nodes[way], move_patiently(paddr, nodes[way], MPOL_MF_MOVE));
		}
		EXPECT_EQ(-1, stray(&self->region, nodes[way]));
		EXPECT_TRUE(region_in_numa_maps(&self->region, nodes[way]));
		EXPECT_TRUE(region_intact(&self->region));
	}
}

TEST_F(folio, moves_by_any_of_its_bytes)
{
	const size_t size = self->region.folio_size;
	/* The last byte, the first of the last page, one in the middle. */
	const size_t offsets[FOLIOS] = { size - 1, size - PAGE, size / 2 + 123 };

	for (int i = 0; i < FOLIOS; i++) {
		__u64 paddr = region_paddr(&self->region, i * size + offsets[i]);

		ASSERT_EQ(offsets[i] % PAGE, paddr % PAGE);
		EXPECT_EQ(self->machine.fast, query_one(paddr));
		EXPECT_EQ(self->machine.slow,
			  move_patiently(paddr, self->machine.slow, MPOL_MF_MOVE));
	}
	EXPECT_EQ(-1, stray(&self->region, self->machine.slow));
}

TEST_F(folio, is_where_it_shall_be_already)
{
	__u64 paddr = region_paddr(&self->region, 0);

	EXPECT_EQ(self->machine.fast, move_one(paddr, self->machine.fast, MPOL_MF_MOVE));
	EXPECT_EQ(paddr, region_paddr(&self->region, 0));
}

/* All pages of all folios, one after the other: each folio moves once, and all entries say so. */
TEST_F(folio, moves_once_however_often_it_is_named)
{
	const int per_folio = self->region.folio_size / PAGE, count = FOLIOS * per_folio;
	__u64 *paddrs = calloc(count, sizeof(*paddrs));
	__s32 *nodes = calloc(count, sizeof(*nodes)), *status = calloc(count, sizeof(*status));
	int wrong = 0;

	for (int i = 0; i < count; i++) {
		paddrs[i] = region_paddr(&self->region, i * PAGE);
		nodes[i] = self->machine.slow;
	}
	drain_lru_batches();
	EXPECT_EQ(0, move_phy_pages(count, paddrs, nodes, status, MPOL_MF_MOVE));
	for (int i = 0; i < count; i++)
		wrong += status[i] != self->machine.slow;
	EXPECT_EQ(0, wrong)
		TH_LOG("statuses %d, %d, %d", status[0], status[per_folio], status[count - 1]);
	EXPECT_EQ(-1, stray(&self->region, self->machine.slow));
}

/* The first entry that names a folio says where it goes; the others are told where it went. */
TEST_F(folio, goes_where_its_first_entry_says)
{
	const size_t size = self->region.folio_size;
	__u64 paddrs[4] = {
		region_paddr(&self->region, size - 1), region_paddr(&self->region, 0),
		region_paddr(&self->region, size), region_paddr(&self->region, size / 2),
	};
	__s32 nodes[4] = {
		self->machine.slow, self->machine.fast, self->machine.fast, self->machine.slow,
	};
	__s32 status[4];

	drain_lru_batches();
	EXPECT_EQ(1, move_phy_pages(4, paddrs, nodes, status, MPOL_MF_MOVE));
	EXPECT_EQ(self->machine.slow, status[0]);
	EXPECT_EQ(self->machine.slow, status[1]);
	EXPECT_EQ(self->machine.fast, status[2]);
	EXPECT_EQ(self->machine.slow, status[3]);
	EXPECT_EQ(self->machine.slow, region_node(&self->region, 0));
	EXPECT_EQ(self->machine.fast, region_node(&self->region, size));
}

/* As move_pages(2), the call looks at no VMA's policy. */
TEST_F(folio, leaves_a_node_that_its_mapping_is_bound_to)
{
	if (!self->region.start)
		return;
	ASSERT_EQ(0, bind_range(self->region.start, self->region.size, MPOL_BIND,
				self->machine.fast));
	EXPECT_EQ(self->machine.slow, move_patiently(region_paddr(&self->region, 0),
						     self->machine.slow, MPOL_MF_MOVE));
	EXPECT_EQ(self->machine.slow, region_node(&self->region, 0));
}

TEST_HARNESS_MAIN
