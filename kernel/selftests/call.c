// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "call.h"
#include "host.h"

long call_number(void)
{
	static long number = -2;

	if (number == -2)
		number = read_number(CALL_SYSFS "/nr");
	return number;
}

long move_phy_pages(unsigned long count, const __u64 *paddrs, const __s32 *nodes,
		    __s32 *status, unsigned int flags)
{
	long result = syscall(call_number(), count, paddrs, nodes, status, flags);

	return result < 0 ? -errno : result;
}

static int one(__u64 paddr, const __s32 *node, unsigned int flags)
{
	__s32 status = -EINPROGRESS;
	long result = move_phy_pages(1, &paddr, node, &status, flags);
	bool amiss = status < 0 || (node && status != *node);

	if (result < 0 || result != amiss) {
		errno = result < 0 ? -result : 0;
		fatal("address %#llx, node %d: the call returned %ld and status %d", paddr,
		      node ? *node : -1, result, status);
	}
	return status;
}

int move_one(__u64 paddr, int node, unsigned int flags)
{
	__s32 wanted = node;

	return one(paddr, &wanted, flags);
}

int query_one(__u64 paddr)
{
	return one(paddr, NULL, 0);
}

int move_patiently(__u64 paddr, int node, unsigned int flags)
{
	int status = move_one(paddr, node, flags);

	for (int tries = 0; status == -EBUSY && tries < 100; tries++) {
		sleep_ms(10);
		drain_lru_batches();
		status = move_one(paddr, node, flags);
	}
	return status;
}

static const unsigned long *mask_of(int mode, int node, unsigned long mask[16])
{
	for (int i = 0; i < 16; i++)
		mask[i] = 0;
	mask[node / 64] = 1UL << node % 64;
	return mode == MPOL_DEFAULT ? NULL : mask;
}

void allocate_from(int mode, int node)
{
	unsigned long mask[16];

	if (syscall(SYS_set_mempolicy, mode, mask_of(mode, node, mask), 8 * sizeof(mask)))
		fatal("set_mempolicy to %d, node %d", mode, node);
}

int bind_range(void *start, unsigned long size, int mode, int node)
{
	unsigned long mask[16];

	if (syscall(SYS_mbind, start, size, mode, mask_of(mode, node, mask), 8 * sizeof(mask), 0))
		return -errno;
	return 0;
}

int node_of(const void *address)
{
	int node = -1;

	if (syscall(SYS_get_mempolicy, &node, NULL, 0, address, MPOL_F_NODE | MPOL_F_ADDR))
		return -errno;
	return node;
}

int move_virtual(void *address, int node, int flags)
{
	int status = -EINPROGRESS;

	if (syscall(SYS_move_pages, 0, 1, &address, &node, &status, flags) < 0)
		return -errno;
	return status;
}

void drain_lru_batches(void)
{
	static char *page;

	if (!page) {
		page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (page == MAP_FAILED)
			fatal("mmap");
		*page = 1;
	}
	/* move_pages(2) drains all CPUs before it looks at the first page. */
	move_virtual(page, node_of(page), MPOL_MF_MOVE);
}
