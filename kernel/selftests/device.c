// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of a device that the kernel has page structures for and user space maps directly
 * (ZONE_DEVICE): it is nobody's to move. For machines whose /dev/dax0.0 is in the mode devdax.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "call.h"
#include "harness.h"
#include "memory.h"

#define DEVICE "/sys/bus/dax/devices/dax0.0"

static bool is_none(__u64 paddr)
{
	int queried = query_one(paddr), moved = move_one(paddr, 0, MPOL_MF_MOVE_ALL);

	if (queried == -ENOENT && moved == -ENOENT)
		return true;
	fprintf(stderr, "# %#llx: queried %d, moved %d\n", paddr, queried, moved);
	return false;
}

TEST(memory_of_a_device_is_not_moved)
{
	long start = read_number(DEVICE "/resource"), size = read_number(DEVICE "/size");
	int device = open("/dev/dax0.0", O_RDWR | O_CLOEXEC);
	char *page;

	if (call_number() < 0)
		SKIP(return, "needs a kernel with CONFIG_MOVE_PHY_PAGES");
	if (device < 0 || start < 0 || size < (long)PMD)
		SKIP(return, "needs a /dev/dax0.0");
	EXPECT_TRUE(is_none(start));
	EXPECT_TRUE(is_none(start + size - 1));

	page = mmap(NULL, PMD, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	if (page == MAP_FAILED) {
		TH_LOG("not mapped: needs a kernel with CONFIG_FS_DAX");
		return;
	}
	fill_page(page, 1);
	ASSERT_LE((__u64)start, paddr_of(page));
	ASSERT_GT((__u64)start + size, paddr_of(page));
	EXPECT_TRUE(is_none(paddr_of(page)));
	EXPECT_TRUE(is_none(paddr_of(page) + PAGE));
	EXPECT_TRUE(page_intact(page, 1));
}

TEST_HARNESS_MAIN
