// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is no page of anybody's, what cannot be asked for, and what is in use by more than its
 * mappings.
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <mm/gup_test.h>

#include "call.h"
#include "harness.h"
#include "memory.h"

FIXTURE(status)
{
	struct machine machine;
	char *page;
	__u64 paddr;
};

FIXTURE_SETUP(status)
{
	const char *missing = machine_open(&self->machine);

	if (missing)
		SKIP(return, "%s", missing);
	self->page = page_on(self->machine.fast);
	self->paddr = paddr_of(self->page);
	fill_page(self->page, 1);
}

FIXTURE_TEARDOWN(status)
{
	EXPECT_TRUE(page_intact(self->page, 1));
	EXPECT_TRUE(machine_settled(&self->machine));
}

static bool both_say(__u64 paddr, const struct machine *machine, int status)
{
	int queried = query_one(paddr), fast = move_one(paddr, machine->fast, MPOL_MF_MOVE_ALL);
	int slow = move_one(paddr, machine->slow, MPOL_MF_MOVE_ALL);

	if (queried == status && fast == status && slow == status)
		return true;
	fprintf(stderr, "# %#llx: query %d, moves %d and %d\n", paddr, queried, fast, slow);
	return false;
}

TEST_F(status, addresses_that_no_memory_can_have)
{
	static const __u64 paddrs[] = { ~0UL, 1UL << 63, (1UL << 63) - 1, 1UL << 56, 1UL << 52 };

	for (unsigned int i = 0; i < ARRAY_SIZE(paddrs); i++)
		EXPECT_TRUE(both_say(paddrs[i], &self->machine, -EINVAL));
}

TEST_F(status, addresses_where_there_is_no_memory)
{
	static const char *const devices[] = { "IOAPIC 0", "HPET 0", "Local APIC" };
	__u64 start, end;
	int seen = 0;

	/* Below the last address that x86 may have and above all that it has. */
	EXPECT_TRUE(both_say((1UL << 46) - 1, &self->machine, -ENOENT));
	EXPECT_TRUE(both_say(1UL << 45, &self->machine, -ENOENT));
	/* The hole below 1 MiB, devices, and what is reserved beside memory. */
	EXPECT_TRUE(both_say(0xa0000, &self->machine, -ENOENT));
	for (int i = 0; iomem_range("Reserved", i, &start, &end); i++)
		EXPECT_TRUE(both_say(start, &self->machine, -ENOENT));
	for (unsigned int i = 0; i < ARRAY_SIZE(devices); i++) {
		if (!iomem_range(devices[i], 0, &start, &end))
			continue;
		EXPECT_TRUE(both_say(start, &self->machine, -ENOENT));
		seen++;
	}
	EXPECT_LT(0, seen);
	ASSERT_TRUE(iomem_range("Kernel code", 0, &start, &end));
	EXPECT_TRUE(both_say(start, &self->machine, -ENOENT));
}

TEST_F(status, memory_that_is_offline)
{
	int block = removable_block(self->machine.slow);
	__u64 start = block * block_bytes();

	if (block < 0)
		SKIP(return, "found no memory block of the second node that goes offline");
	ASSERT_EQ(0, block_set_online(block, false));
	EXPECT_TRUE(both_say(start, &self->machine, -ENOENT));
	EXPECT_TRUE(both_say(start + block_bytes() - 1, &self->machine, -ENOENT));
	ASSERT_EQ(0, block_set_online(block, true));
	EXPECT_TRUE(both_say(start, &self->machine, -ENOENT)); /* free */
}

/* The kernel's own pages, which change under our eyes: any that is the same afterwards will do. */
static bool no_page_of_kind(const struct machine *machine, __u64 mask, __u64 flags)
{
	__u64 start, end, paddr = 0;
	int seen = 0;

	for (int i = 0; seen < 20 && iomem_range("System RAM", i, &start, &end); i++) {
		paddr = find_page(start, end + 1, mask, flags);
		for (int tries = 0; paddr && seen < 20 && tries < 100; tries++) {
			int status = query_one(paddr);

			if (status != -ENOENT && (page_flags(paddr) & mask) == flags)
				return both_say(paddr, machine, -ENOENT);
			if (status == -ENOENT)
				seen += both_say(paddr, machine, -ENOENT);
			paddr = find_page(paddr + PAGE, end + 1, mask, flags);
		}
	}
	if (!seen)
		fprintf(stderr, "# no page with %#llx of %#llx\n", flags, mask);
	return seen > 0;
}

TEST_F(status, pages_of_the_kernels)
{
	EXPECT_TRUE(no_page_of_kind(&self->machine, KPF(KPF_SLAB), KPF(KPF_SLAB)));
	EXPECT_TRUE(no_page_of_kind(&self->machine, KPF(KPF_PGTABLE), KPF(KPF_PGTABLE)));
	EXPECT_TRUE(no_page_of_kind(&self->machine, KPF(KPF_RESERVED), KPF(KPF_RESERVED)));
	EXPECT_TRUE(no_page_of_kind(&self->machine, KPF(KPF_BUDDY), KPF(KPF_BUDDY)));
	/* No flag at all: stacks, vmalloc, what drivers allocate. */
	EXPECT_TRUE(no_page_of_kind(&self->machine, ~0ULL, 0));
}

TEST_F(status, zero_pages)
{
	char *small = map_anon(PAGE), value;
	struct setting use = { 0 };
	char *huge;

	value = peek(small);
	ASSERT_TRUE(page_has(paddr_of(small), KPF_ZERO_PAGE));
	EXPECT_TRUE(both_say(paddr_of(small), &self->machine, -ENOENT));

	if (!setting_change(&use, THP "/use_zero_page", "1"))
		SKIP(return, "needs a kernel with CONFIG_TRANSPARENT_HUGEPAGE");
	huge = mmap(NULL, 2 * PMD, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)huge);
	huge = (char *)(((uintptr_t)huge + PMD - 1) / PMD * PMD);
	ASSERT_EQ(0, madvise(huge, PMD, MADV_HUGEPAGE));
	value += peek(huge);
	setting_restore(&use);
	ASSERT_EQ(0, value);
	ASSERT_TRUE(page_has(paddr_of(huge), KPF_ZERO_PAGE));
	ASSERT_TRUE(page_has(paddr_of(huge), KPF_THP));
	EXPECT_TRUE(both_say(paddr_of(huge), &self->machine, -ENOENT));
	EXPECT_TRUE(both_say(paddr_of(huge) + PMD - 1, &self->machine, -ENOENT));
}

TEST_F(status, nodes_that_are_none)
{
	/* Also one that is the very status: it is no success. */
	const int nodes[] = { -1, -ENODEV, INT_MIN, INT_MAX, 1 << 20, 1023, 64 };
	int absent = 0;
	char path[80];

	for (unsigned int i = 0; i < ARRAY_SIZE(nodes); i++)
		EXPECT_EQ(-ENODEV, move_one(self->paddr, nodes[i], MPOL_MF_MOVE));
	/* A node of the machine's that has no memory, or that could be plugged in. */
	do
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%d", ++absent);
	while (!access(path, F_OK));
	EXPECT_EQ(-ENODEV, move_one(self->paddr, absent, MPOL_MF_MOVE));
	EXPECT_EQ(self->machine.fast, node_of(self->page));
}

/* Busy wherever it shall go, and no failure where it is. */
static bool busy(const char *page, const struct machine *machine)
{
	__u64 paddr = paddr_of(page);
	int moved = move_one(paddr, machine->slow, MPOL_MF_MOVE_ALL);
	int stayed = move_one(paddr, machine->fast, MPOL_MF_MOVE);
	int queried = query_one(paddr);

	if (moved == -EBUSY && stayed == machine->fast && queried == machine->fast)
		return true;
	fprintf(stderr, "# moved %d, stayed %d, queried %d\n", moved, stayed, queried);
	return false;
}

TEST_F(status, a_page_that_a_pipe_refers_to)
{
	struct iovec vector = { self->page, PAGE };
	char *copy = map_anon(PAGE);
	int ends[2];

	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ((ssize_t)PAGE, vmsplice(ends[1], &vector, 1, 0));
	EXPECT_TRUE(busy(self->page, &self->machine));
	ASSERT_EQ((ssize_t)PAGE, read(ends[0], copy, PAGE));
	EXPECT_TRUE(page_intact(copy, 1));
	EXPECT_EQ(self->machine.slow, move_one(self->paddr, self->machine.slow, MPOL_MF_MOVE));
}

TEST_F(status, a_page_that_is_pinned_for_dma)
{
	struct pin_longterm_test pin = {
		.addr = (uintptr_t)self->page, .size = PAGE,
		.flags = PIN_LONGTERM_TEST_FLAG_USE_WRITE,
	};
	char *copy = map_anon(PAGE);
	__u64 to = (uintptr_t)copy;
	int device = open(DEBUGFS "/gup_test", O_RDWR);

	if (device < 0)
		SKIP(return, "needs a kernel with CONFIG_GUP_TEST");
	ASSERT_EQ(0, ioctl(device, PIN_LONGTERM_TEST_START, &pin));
	EXPECT_TRUE(busy(self->page, &self->machine));
	/* What the device sees is what the process sees. */
	fill_page(self->page, 2);
	ASSERT_EQ(0, ioctl(device, PIN_LONGTERM_TEST_READ, &to));
	EXPECT_TRUE(page_intact(copy, 2));
	ASSERT_EQ(0, ioctl(device, PIN_LONGTERM_TEST_STOP));
	self->paddr = paddr_of(self->page);
	EXPECT_EQ(self->machine.slow, move_one(self->paddr, self->machine.slow, MPOL_MF_MOVE));
	fill_page(self->page, 1);
}

/* A huge page of which one small part is referred to. */
TEST_F(status, a_huge_page_that_a_pipe_refers_to)
{
	struct region region;
	const char *missing = region_make(&region, ANON_THP, self->machine.fast, 1);
	struct iovec vector = { region.start + 5 * PAGE, 1 };
	int ends[2];

	if (missing) {
		region_drop(&region);
		SKIP(return, "%s", missing);
	}
	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ(1, vmsplice(ends[1], &vector, 1, 0));
	EXPECT_TRUE(busy(region.start, &self->machine));
	EXPECT_TRUE(busy(region.start + 7 * PAGE, &self->machine));
	EXPECT_TRUE(page_has(paddr_of(region.start), KPF_THP));
	close(ends[0]);
	close(ends[1]);
	EXPECT_EQ(self->machine.slow,
		  move_patiently(paddr_of(region.start), self->machine.slow, MPOL_MF_MOVE));
	EXPECT_TRUE(region_intact(&region));
	region_drop(&region);
}

static char *new_page(int node)
{
	char *page = map_anon(PAGE);

	allocate_from(MPOL_BIND, node);
	fill_page(page, 1);
	allocate_from(MPOL_DEFAULT, 0);
	return page;
}

/* A page that was touched a moment ago waits in its CPU's batch before it is on a list. */
TEST_F(status, a_new_page_moves_at_once)
{
	for (int i = 0; i < 100; i++) {
		char *page = new_page(self->machine.fast);

		ASSERT_EQ(self->machine.slow,
			  move_one(paddr_of(page), self->machine.slow, MPOL_MF_MOVE));
		ASSERT_TRUE(page_intact(page, 1));
	}
}

/* Only the calling CPU's batches are emptied: what waits in another's is busy, and said to be. */
TEST_F(status, a_page_in_the_batch_of_another_cpu)
{
	int seen = 0;

	if (cpus_online() < 2)
		SKIP(return, "needs two CPUs");
	for (int i = 0; i < 50; i++) {
		char *page;
		__u64 paddr;
		int status;

		stay_on_cpu(1);
		page = new_page(self->machine.fast);
		stay_on_cpu(0);
		paddr = paddr_of(page);
		EXPECT_EQ(self->machine.fast, query_one(paddr));
		EXPECT_EQ(self->machine.fast, move_one(paddr, self->machine.fast, 0));
		status = move_one(paddr, self->machine.slow, MPOL_MF_MOVE);
		seen += status == -EBUSY;
		if (status == -EBUSY)
			status = move_patiently(paddr, self->machine.slow, MPOL_MF_MOVE);
		EXPECT_EQ(self->machine.slow, status);
		EXPECT_TRUE(page_intact(page, 1));
	}
	EXPECT_LT(0, seen);
}

/* A page of a file that was read twice is in the batch of pages to be made active. */
TEST_F(status, a_page_that_was_just_made_active_moves_at_once)
{
	struct region region;
	const char *missing = region_make(&region, CACHE_ONLY, self->machine.fast, 8);
	__u64 paddrs[8];
	char byte;

	if (missing)
		SKIP(return, "%s", missing);
	for (int i = 0; i < 8; i++)
		paddrs[i] = region_paddr(&region, i * PAGE);
	drain_lru_batches();
	for (int i = 0; i < 16; i++)
		ASSERT_EQ(1, pread(region.fd, &byte, 1, i / 2 * PAGE));
	for (int i = 0; i < 8; i++) {
		EXPECT_EQ(self->machine.slow,
			  move_one(paddrs[i], self->machine.slow, MPOL_MF_MOVE));
	}
	EXPECT_TRUE(region_intact(&region));
	region_drop(&region);
}

TEST_HARNESS_MAIN
