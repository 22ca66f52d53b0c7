/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * move_phy_pages(2) and the calls beside it that the C library has no wrapper for.
 */
#ifndef MOVE_PHY_PAGES_CALL_H
#define MOVE_PHY_PAGES_CALL_H

#include <linux/mempolicy.h>
#include <linux/move_phy_pages.h>
#include <linux/types.h>

#define CALL_SYSFS "/sys/kernel/mm/move_phy_pages"

/* The number of the call, which the kernel tells, or -1. */
long call_number(void);

/* The result of the call, or a negative errno. */
long move_phy_pages(unsigned long count, const __u64 *paddrs, const __s32 *nodes,
		    __s32 *status, unsigned int flags);

/* The status of one page. Fails the test when the result of the call disagrees with it. */
int move_one(__u64 paddr, int node, unsigned int flags);
int query_one(__u64 paddr);
/* As move_one(), again for as long as the page is busy and a second has not passed. */
int move_patiently(__u64 paddr, int node, unsigned int flags);

/* Where set_mempolicy(2) has this thread's next pages come from. */
void allocate_from(int mode, int node);
/* mbind(2): where a range's pages come from. 0 or a negative errno. */
int bind_range(void *start, unsigned long size, int mode, int node);
/* The node of the page at an address of this process, or a negative errno: get_mempolicy(2). */
int node_of(const void *address);
/* The pages that this call moved, as /proc/vmstat counts them. */
#define COUNTER_SUCCESS "move_phy_pages_success"

/* As many mappings as the call looks through. */
#define MAPPERS 128

/* move_pages(2) for one page of this process: its status, or a negative errno. */
int move_virtual(void *address, int node, int flags);
/* Empties every CPU's batches of pages on their way to the LRU lists. */
void drain_lru_batches(void);

#endif
