// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nodes without room: a page that finds none stays as it is, and nobody's memory is reclaimed for
 * it.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "call.h"
#include "harness.h"
#include "memory.h"

#define NODE "/sys/devices/system/node/node%d"
#define POOL NODE "/hugepages/hugepages-2048kB/%s"
/* Many more than what CPUs keep on lists of their own. */
#define PAGES 4096
#define HUGE_PAGES 6
/* How much of the node is left to page cache, which would be easy to reclaim. */
#define CACHED (3UL << 20)
/* Others come and go meanwhile. */
#define NOISE (256L << 10)
#define STEP (128UL << 10)
/* Of which only so much is read as there is room for. */
#define FILE_SIZE (1024L << 20)

static long pool(int node, const char *file)
{
	char path[160];

	snprintf(path, sizeof(path), POOL, node, file);
	return read_number(path);
}

static bool pool_change(struct setting *setting, int node, long pages)
{
	char path[160], text[24];

	snprintf(path, sizeof(path), POOL, node, "nr_hugepages");
	snprintf(text, sizeof(text), "%ld", pages);
	return setting_change(setting, path, text);
}

/* What tells of reclaim, by the caller or by kswapd, and of split huge pages. */
static long disturbances(void)
{
	static const char *const counters[] = {
		"allocstall_dma", "allocstall_dma32", "allocstall_normal", "allocstall_movable",
		"pgscan_direct", "pgscan_kswapd", "pgsteal_direct", "pgsteal_kswapd", "pageoutrun",
		"compact_stall", "thp_split_page", "thp_split_pmd", "thp_migration_split",
	};
	long sum = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(counters); i++) {
		long count = vm_counter(counters[i]);

		sum += count < 0 ? 0 : count;
	}
	return sum;
}

FIXTURE(full)
{
	struct machine machine;
	struct region region;
	struct setting pool;
	int file;
};

FIXTURE_VARIANT(full)
{
	enum kind kind;
	unsigned int folios;
};

FIXTURE_VARIANT_ADD(full, base_pages) { .kind = ANON, .folios = PAGES };
FIXTURE_VARIANT_ADD(full, huge_pages) { .kind = ANON_THP, .folios = HUGE_PAGES };
FIXTURE_VARIANT_ADD(full, of_64_kib) { .kind = ANON_MTHP, .folios = 128 };
FIXTURE_VARIANT_ADD(full, page_cache) { .kind = CACHE_ONLY, .folios = PAGES };

/* Reading holes of a file fills memory with clean page cache. */
static void fill_with_cache(int file, int node)
{
	static char buffer[STEP];
	long before;

	allocate_from(MPOL_PREFERRED, node);
	do {
		before = node_meminfo(node, "FilePages");
		if (read(file, buffer, sizeof(buffer)) != sizeof(buffer))
			fatal("filling node %d", node);
		/* Until more than half goes elsewhere, for want of room. */
	} while (node_meminfo(node, "FilePages") - before > (long)STEP / 2);
	allocate_from(MPOL_DEFAULT, 0);
}

/* As before, and until kswapd, which a growing pool wakes, has no more to do. */
static bool fill_until_quiet(int file, int node)
{
	for (int tries = 0; tries < 50; tries++) {
		long before = disturbances();

		fill_with_cache(file, node);
		sleep_ms(200);
		if (before == disturbances())
			return true;
	}
	return false;
}

FIXTURE_SETUP(full)
{
	const char *missing = machine_open(&self->machine);
	int slow = self->machine.slow;
	long room;

	self->file = -1;
	if (!missing)
		missing = region_make(&self->region, variant->kind, self->machine.fast,
				      variant->folios);
	if (!missing) {
		/* Huge pages of the pool take up room and nobody's time. */
		room = node_meminfo(slow, "MemFree") - node_low_watermark(slow) - (long)CACHED;
		room /= (long)PMD;
		if (!pool_change(&self->pool, slow, pool(slow, "nr_hugepages") + room))
			missing = "needs a kernel with CONFIG_HUGETLBFS";
	}
	if (missing) {
		region_drop(&self->region);
		SKIP(return, "%s", missing);
	}
	self->file = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	ASSERT_EQ(0, ftruncate(self->file, FILE_SIZE));
	ASSERT_TRUE(fill_until_quiet(self->file, slow));
	drain_lru_batches();
}

FIXTURE_TEARDOWN(full)
{
	EXPECT_TRUE(region_intact(&self->region));
	region_drop(&self->region);
	if (self->file >= 0)
		close(self->file);
	setting_restore(&self->pool);
	EXPECT_TRUE(machine_settled(&self->machine));
}

TEST_F(full, what_finds_no_room_stays_whole)
{
	const int slow = self->machine.slow, count = variant->folios;
	const size_t size = self->region.folio_size;
	__u64 *paddrs = calloc(count, sizeof(*paddrs));
	__s32 *nodes = calloc(count, sizeof(*nodes)), *status = calloc(count, sizeof(*status));
	long cached = node_meminfo(slow, "FilePages"), before, result, failed = 0;

	for (int i = 0; i < count; i++) {
		paddrs[i] = region_paddr(&self->region, i * size);
		nodes[i] = slow;
	}
	before = disturbances();
	result = move_phy_pages(count, paddrs, nodes, status, MPOL_MF_MOVE);
	EXPECT_EQ(before, disturbances());
	/* Nothing of the cache went for it. */
	EXPECT_LE(2 * NOISE, cached);
	EXPECT_LE(cached - NOISE, node_meminfo(slow, "FilePages"));

	for (int i = 0; i < count; i++) {
		__u64 paddr = region_paddr(&self->region, i * size);

		failed += status[i] == -ENOMEM;
		if (status[i] != -ENOMEM) {
			/* What little room the watermarks had left. */
			ASSERT_EQ(slow, status[i]);
			ASSERT_EQ(slow, region_node(&self->region, i * size));
			continue;
		}
		ASSERT_EQ(paddrs[i], paddr);
		ASSERT_TRUE(size == PAGE || page_has(paddr, KPF_COMPOUND_HEAD));
	}
	EXPECT_EQ(failed, result);
	EXPECT_LE(count / 4, failed);
	EXPECT_EQ(-ENOMEM, status[count - 1]);

	/* And goes once there is room. */
	setting_restore(&self->pool);
	EXPECT_EQ(slow, move_patiently(paddrs[count - 1], slow, MPOL_MF_MOVE));
	EXPECT_EQ(slow, region_node(&self->region, (count - 1) * size));
}

FIXTURE(pool)
{
	struct machine machine;
	struct setting fast, slow, overcommit;
	char *page;
	__u64 paddr;
	long fast_pages, slow_pages;
};

FIXTURE_SETUP(pool)
{
	const char *missing = machine_open(&self->machine);
	long fast_pool, slow_pool;

	if (missing)
		SKIP(return, "%s", missing);
	fast_pool = pool(self->machine.fast, "nr_hugepages");
	slow_pool = pool(self->machine.slow, "nr_hugepages") -
		    pool(self->machine.slow, "free_hugepages");
	if (fast_pool < 0 || !pool_change(&self->fast, self->machine.fast, fast_pool + 1) ||
	    !pool_change(&self->slow, self->machine.slow, slow_pool) ||
	    !setting_change(&self->overcommit, "/proc/sys/vm/nr_overcommit_hugepages", "100"))
		SKIP(return, "needs huge pages on two nodes");
	allocate_from(MPOL_BIND, self->machine.fast);
	self->page = mmap(NULL, PMD, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->page);
	fill_page(self->page + PMD - PAGE, 1);
	allocate_from(MPOL_DEFAULT, 0);
	self->paddr = paddr_of(self->page);
	self->fast_pages = pool(self->machine.fast, "nr_hugepages");
	self->slow_pages = pool(self->machine.slow, "nr_hugepages");
}

FIXTURE_TEARDOWN(pool)
{
	EXPECT_TRUE(page_intact(self->page + PMD - PAGE, 1));
	EXPECT_EQ(self->fast_pages, pool(self->machine.fast, "nr_hugepages"));
	EXPECT_EQ(self->slow_pages, pool(self->machine.slow, "nr_hugepages"));
	EXPECT_EQ(0, pool(self->machine.fast, "surplus_hugepages"));
	EXPECT_EQ(0, pool(self->machine.slow, "surplus_hugepages"));
	munmap(self->page, PMD);
	setting_restore(&self->overcommit);
	setting_restore(&self->slow);
	setting_restore(&self->fast);
	EXPECT_TRUE(machine_settled(&self->machine));
}

TEST_F(pool, without_a_free_page_there_does_not_grow)
{
	long before = disturbances();

	EXPECT_EQ(-ENOMEM, move_one(self->paddr, self->machine.slow, MPOL_MF_MOVE));
	EXPECT_EQ(before, disturbances());
	EXPECT_EQ(self->paddr, paddr_of(self->page));
}

TEST_F(pool, with_a_free_page_there_keeps_its_size_on_both_nodes)
{
	struct setting more;

	ASSERT_TRUE(pool_change(&more, self->machine.slow, self->slow_pages + 1));
	self->slow_pages++;
	EXPECT_EQ(self->machine.slow, move_one(self->paddr, self->machine.slow, MPOL_MF_MOVE));
	EXPECT_EQ(self->machine.slow, node_of(self->page));
	EXPECT_EQ(1, pool(self->machine.fast, "free_hugepages"));
	EXPECT_EQ(0, pool(self->machine.slow, "free_hugepages"));
}

TEST_HARNESS_MAIN
