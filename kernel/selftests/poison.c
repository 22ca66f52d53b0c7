// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that the hardware has given up: nobody may copy it.
 */
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "call.h"
#include "harness.h"
#include "memory.h"

#define INJECT DEBUGFS "/hwpoison/corrupt-pfn"
#define REVOKE DEBUGFS "/hwpoison/unpoison-pfn"
#define POOL "/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/nr_hugepages"

FIXTURE(poison)
{
	struct machine machine;
	__u64 paddr;
	char *start;
	size_t size;
	struct setting pool;
};

FIXTURE_SETUP(poison)
{
	const char *missing = machine_open(&self->machine);

	if (missing)
		SKIP(return, "%s", missing);
	if (access(INJECT, W_OK))
		SKIP(return, "needs a kernel with CONFIG_HWPOISON_INJECT");
}

FIXTURE_TEARDOWN(poison)
{
	if (self->start)
		munmap(self->start, self->size);
	/* It was never broken: give it back. */
	if (self->paddr)
		EXPECT_EQ(0, write_number(REVOKE, self->paddr / PAGE));
	setting_restore(&self->pool);
	EXPECT_TRUE(machine_settled(&self->machine));
}

static bool is_poisoned(__u64 paddr, const struct machine *machine)
{
	int queried = query_one(paddr), stayed = move_one(paddr, machine->fast, MPOL_MF_MOVE);
	int moved = move_one(paddr, machine->slow, MPOL_MF_MOVE_ALL);

	if (queried == -EHWPOISON && stayed == -EHWPOISON && moved == -EHWPOISON)
		return true;
	fprintf(stderr, "# queried %d, stayed %d, moved %d\n", queried, stayed, moved);
	return false;
}

TEST_F(poison, a_page)
{
	__u64 paddr;

	self->start = page_on(self->machine.fast);
	self->size = PAGE;
	paddr = paddr_of(self->start);
	ASSERT_EQ(0, write_number(INJECT, paddr / PAGE));
	self->paddr = paddr;
	ASSERT_TRUE(page_has(paddr, KPF_HWPOISON));
	EXPECT_TRUE(is_poisoned(paddr, &self->machine));
	EXPECT_TRUE(is_poisoned(paddr + PAGE - 1, &self->machine));
}

/* Memory failure splits a huge page, unless somebody holds it: then all of it is lost. */
TEST_F(poison, one_page_of_a_huge_page)
{
	struct region region;
	const char *missing = region_make(&region, ANON_THP, self->machine.fast, 1);
	struct iovec vector = { region.start + 9 * PAGE, 1 };
	__u64 paddr;
	int ends[2];

	self->start = region.mapping;
	self->size = region.mapping_size;
	if (missing)
		SKIP(return, "%s", missing);
	paddr = region_paddr(&region, 3 * PAGE);
	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ(1, vmsplice(ends[1], &vector, 1, 0));
	/* It reports that it could not do what it should. */
	write_number(INJECT, paddr / PAGE);
	close(ends[0]);
	close(ends[1]);
	self->paddr = paddr;
	ASSERT_TRUE(page_has(paddr, KPF_HWPOISON));
	ASSERT_TRUE(page_has(paddr, KPF_THP));
	EXPECT_TRUE(is_poisoned(paddr, &self->machine));
	EXPECT_TRUE(is_poisoned(region_paddr(&region, 0), &self->machine));
	EXPECT_TRUE(is_poisoned(region_paddr(&region, PMD - 1), &self->machine));
}

TEST_F(poison, one_page_of_a_hugetlb_page)
{
	char path[160], pages[24];
	__u64 paddr;
	int fd;

	snprintf(path, sizeof(path), POOL, self->machine.fast);
	snprintf(pages, sizeof(pages), "%ld", read_number(path) + 1);
	fd = memfd_create("poison", MFD_HUGETLB | MFD_HUGE_2MB | MFD_CLOEXEC);
	if (fd < 0 || !setting_change(&self->pool, path, pages))
		SKIP(return, "needs a kernel with CONFIG_HUGETLBFS");
	ASSERT_EQ(0, ftruncate(fd, PMD));
	allocate_from(MPOL_BIND, self->machine.fast);
	self->start = mmap(NULL, PMD, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	self->size = PMD;
	ASSERT_NE(MAP_FAILED, (void *)self->start);
	*self->start = 1;
	allocate_from(MPOL_DEFAULT, 0);
	paddr = paddr_of(self->start + 3 * PAGE);
	ASSERT_EQ(0, write_number(INJECT, paddr / PAGE));
	/* The first page stands for all, also to who takes it back. */
	self->paddr = paddr - 3 * PAGE;
	EXPECT_TRUE(is_poisoned(paddr, &self->machine));
	EXPECT_TRUE(is_poisoned(paddr - 3 * PAGE, &self->machine));
	EXPECT_TRUE(is_poisoned(paddr + 3 * PAGE, &self->machine));
	/* The file goes on holding it otherwise. */
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PMD));
	close(fd);
}

TEST_HARNESS_MAIN
