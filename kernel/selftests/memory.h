/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory of every kind that the call can move, made of folios whose contents are known.
 */
#ifndef MOVE_PHY_PAGES_MEMORY_H
#define MOVE_PHY_PAGES_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include <stdint.h>

#include "host.h"

#define PAGE 4096UL
#define PMD (2UL << 20)

/* include/uapi/linux/kernel-page-flags.h, and KPF_RESERVED of kernel-page-flags.h */
#define KPF_LOCKED 0
#define KPF_LRU 5
#define KPF_SLAB 7
#define KPF_WRITEBACK 8
#define KPF_BUDDY 10
#define KPF_COMPOUND_HEAD 15
#define KPF_COMPOUND_TAIL 16
#define KPF_HUGE 17
#define KPF_UNEVICTABLE 18
#define KPF_HWPOISON 19
#define KPF_KSM 21
#define KPF_THP 22
#define KPF_ZERO_PAGE 24
#define KPF_PGTABLE 26
#define KPF_RESERVED 32

enum kind {
	ANON,		/* base pages of one process */
	ANON_THP,	/* huge pages of one process, mapped by PMD */
	ANON_MTHP,	/* folios of 64 KiB */
	HUGETLB,	/* 2 MiB */
	SHMEM,		/* base pages of a memfd */
	SHMEM_THP,	/* huge pages of a memfd */
	PAGE_CACHE,	/* a file's, mapped */
	CACHE_ONLY,	/* a file's, mapped by nobody */
};

/* `start` is NULL for CACHE_ONLY. Page n holds words that depend on n and on the seed. */
struct region {
	enum kind kind;
	char *start;
	size_t size;
	size_t folio_size;
	int fd;
	__u64 seed;
	void *mapping;
	size_t mapping_size;
	struct setting settings[3];
};

/*
 * Makes `folios` folios of a kind on a node and fills them. NULL, or why this machine has none;
 * region_drop() takes either.
 */
const char *region_make(struct region *region, enum kind kind, int node, unsigned int folios);
void region_drop(struct region *region);
/* The physical address of a byte of the region. Its page may be anywhere a moment later. */
__u64 region_paddr(const struct region *region, size_t offset);
/* The node of a page of the region as others tell it: get_mempolicy(2). */
int region_node(const struct region *region, size_t offset);
/* Whether every page still holds what region_make() wrote; says which does not. */
bool region_intact(const struct region *region);
/* Whether /proc/self/numa_maps has all of the region on this node. True when nobody maps it. */
bool region_in_numa_maps(const struct region *region, int node);

/* A private anonymous mapping that no huge page fits, or the end of the test. */
char *map_anon(size_t size);
/* One page of a process's own, on a node, in memory that the LRU lists know. */
char *page_on(int node);
/* A byte of memory, read for the sake of reading it. */
char peek(const void *address);
void fill_page(void *page, __u64 seed);
bool page_intact(const void *page, __u64 seed);

/* The physical address of a mapped byte of this process, or 0. */
__u64 paddr_of(const void *address);
/* The flags of a page (/proc/kpageflags), 0 when there is no such page. */
__u64 page_flags(__u64 paddr);
bool page_has(__u64 paddr, int flag);
#define KPF(flag) (1ULL << (flag))
/* The first page from one address to another whose flags under a mask are these, or 0. */
__u64 find_page(__u64 from, __u64 to, __u64 mask, __u64 flags);
/* A range of /proc/iomem by name, the n-th; false when there are fewer. */
bool iomem_range(const char *name, int nth, __u64 *start, __u64 *end);

#endif
