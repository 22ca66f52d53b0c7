// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "call.h"
#include "memory.h"

#define MTHP_SIZE (64UL << 10)
#define TMPFS 0x01021994
#define HUGETLB_POOL "/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/nr_hugepages"

static __u64 word(__u64 seed, size_t index)
{
	__u64 mixed = (seed + index) * 0x9e3779b97f4a7c15ULL;

	return mixed ^ mixed >> 29;
}

void fill_page(void *page, __u64 seed)
{
	__u64 *words = page;

	for (size_t i = 0; i < PAGE / sizeof(*words); i++)
		words[i] = word(seed, i);
}

bool page_intact(const void *page, __u64 seed)
{
	const __u64 *words = page;

	for (size_t i = 0; i < PAGE / sizeof(*words); i++) {
		if (words[i] != word(seed, i)) {
			fprintf(stderr, "# word %zu of page %#llx: %#llx instead of %#llx\n", i,
				seed, words[i], word(seed, i));
			return false;
		}
	}
	return true;
}

static __u64 page_seed(const struct region *region, size_t offset)
{
	return region->seed + (offset / PAGE << 16);
}

static __u64 pread_word(const char *path, __u64 index)
{
	__u64 entry = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fatal("%s", path);
	if (pread(fd, &entry, sizeof(entry), index * sizeof(entry)) < 0)
		entry = 0;
	close(fd);
	return entry;
}

__u64 paddr_of(const void *address)
{
	__u64 entry = pread_word("/proc/self/pagemap", (uintptr_t)address / PAGE);

	if (!(entry >> 63))
		return 0;
	return (entry & ((1ULL << 55) - 1)) * PAGE + (uintptr_t)address % PAGE;
}

__u64 page_flags(__u64 paddr)
{
	return pread_word("/proc/kpageflags", paddr / PAGE);
}

bool page_has(__u64 paddr, int flag)
{
	return page_flags(paddr) >> flag & 1;
}

__u64 find_page(__u64 from, __u64 to, __u64 mask, __u64 flags)
{
	static __u64 found[4096];
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	ssize_t got = sizeof(found);

	if (fd < 0)
		fatal("/proc/kpageflags");
	for (__u64 pfn = from / PAGE; pfn < to / PAGE && got > 0; pfn += 4096) {
		got = pread(fd, found, sizeof(found), pfn * sizeof(*found));
		for (ssize_t i = 0; i < got / (ssize_t)sizeof(*found); i++) {
			if ((found[i] & mask) == flags) {
				close(fd);
				return (pfn + i) * PAGE;
			}
		}
	}
	close(fd);
	return 0;
}

bool iomem_range(const char *name, int nth, __u64 *start, __u64 *end)
{
	FILE *file = fopen("/proc/iomem", "re");
	char line[160], found[120];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, " %llx-%llx : %119[^\n]", start, end, found) == 3 &&
		    !strcmp(found, name) && nth-- == 0) {
			fclose(file);
			return true;
		}
	}
	if (file)
		fclose(file);
	return false;
}

char *map_anon(size_t size)
{
	char *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (start == MAP_FAILED || madvise(start, size, MADV_NOHUGEPAGE))
		fatal("a mapping of %zu bytes", size);
	return start;
}

char peek(const void *address)
{
	return __atomic_load_n((const char *)address, __ATOMIC_RELAXED);
}

char *page_on(int node)
{
	char *page = map_anon(PAGE);

	allocate_from(MPOL_BIND, node);
	*page = 1;
	allocate_from(MPOL_DEFAULT, 0);
	drain_lru_batches();
	return page;
}

/* Room for the region, which starts at a multiple of the alignment. */
static void reserve(struct region *region, size_t alignment)
{
	uintptr_t start;

	region->mapping_size = region->size + 2 * alignment;
	region->mapping = mmap(NULL, region->mapping_size, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (region->mapping == MAP_FAILED)
		fatal("a mapping of %zu bytes", region->mapping_size);
	start = ((uintptr_t)region->mapping + alignment - 1) / alignment * alignment;
	region->start = (char *)start;
}

static void map_region(struct region *region, int flags)
{
	if (mmap(region->start, region->size, PROT_READ | PROT_WRITE, MAP_FIXED | flags, region->fd,
		 0) == MAP_FAILED)
		fatal("mapping %zu bytes of kind %d", region->size, region->kind);
}

static const char *make_anon(struct region *region, bool huge)
{
	reserve(region, PMD);
	map_region(region, MAP_PRIVATE | MAP_ANONYMOUS);
	if (madvise(region->start, region->size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		return "needs a kernel with CONFIG_TRANSPARENT_HUGEPAGE";
	return NULL;
}

static const char *make_hugetlb(struct region *region, int node, unsigned int folios)
{
	for (int i = 0; i < 2; i++) {
		struct machine machine;
		char path[160], count[24];
		long before;

		if (machine_open(&machine))
			return "needs two nodes";
		snprintf(path, sizeof(path), HUGETLB_POOL, i ? machine.slow : machine.fast);
		before = read_number(path);
		snprintf(count, sizeof(count), "%ld", before + folios);
		if (before < 0 || !setting_change(&region->settings[i], path, count) ||
		    read_number(path) != before + (long)folios)
			return "needs free huge pages on both nodes";
	}
	reserve(region, PMD);
	allocate_from(MPOL_BIND, node);
	map_region(region, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
	return NULL;
}

static const char *make_shmem(struct region *region, bool huge)
{
	if (huge && !setting_change(&region->settings[0], THP "/shmem_enabled", "advise"))
		return "needs huge pages for shmem";
	region->fd = memfd_create("move_phy_pages", MFD_CLOEXEC);
	if (region->fd < 0 || ftruncate(region->fd, region->size))
		fatal("a memfd of %zu bytes", region->size);
	reserve(region, PMD);
	map_region(region, MAP_SHARED);
	if (huge && madvise(region->start, region->size, MADV_HUGEPAGE))
		return "needs a kernel with CONFIG_TRANSPARENT_HUGEPAGE";
	return NULL;
}

static const char *make_file(struct region *region)
{
	char path[] = "/var/tmp/move_phy_pages.XXXXXX";
	struct statfs fs;

	region->fd = mkstemp(path);
	if (region->fd < 0)
		fatal("%s", path);
	unlink(path);
	if (fstatfs(region->fd, &fs) || fs.f_type == TMPFS)
		return "needs /var/tmp on a disk";
	if (ftruncate(region->fd, region->size))
		fatal("a file of %zu bytes", region->size);
	if (region->kind == PAGE_CACHE) {
		reserve(region, PAGE);
		map_region(region, MAP_SHARED);
	}
	return NULL;
}

static void fill(struct region *region)
{
	static char page[PAGE];

	for (size_t offset = 0; offset < region->size; offset += PAGE) {
		if (region->start) {
			fill_page(region->start + offset, page_seed(region, offset));
			continue;
		}
		fill_page(page, page_seed(region, offset));
		if (pwrite(region->fd, page, PAGE, offset) != PAGE)
			fatal("writing page %zu of a file", offset / PAGE);
	}
	/* Dirty file pages would be written back in the middle of a test. */
	if ((region->kind == PAGE_CACHE || region->kind == CACHE_ONLY) && fsync(region->fd))
		fatal("fsync");
}

const char *region_make(struct region *region, enum kind kind, int node, unsigned int folios)
{
	const char *missing = NULL;
	static __u64 seed;

	memset(region, 0, sizeof(*region));
	region->kind = kind;
	region->fd = -1;
	region->seed = ++seed << 48;
	region->folio_size = kind == ANON_MTHP ? MTHP_SIZE : PAGE;
	if (kind == ANON_THP || kind == SHMEM_THP || kind == HUGETLB)
		region->folio_size = PMD;
	region->size = region->folio_size * folios;
	/* It looks at each huge page from time to time, and holds it meanwhile. */
	if (region->folio_size > PAGE && kind != HUGETLB)
		setting_change(&region->settings[2], THP "/khugepaged/scan_sleep_millisecs",
			       "600000");

	switch (kind) {
	case ANON_MTHP:
		if (!setting_change(&region->settings[0], THP "/hugepages-64kB/enabled",
				    "always") ||
		    !setting_change(&region->settings[1], THP "/hugepages-2048kB/enabled",
				    "never"))
			return "needs anonymous folios of 64 KiB";
		__attribute__((__fallthrough__));
	case ANON_THP:
	case ANON:
		missing = make_anon(region, kind != ANON);
		break;
	case HUGETLB:
		missing = make_hugetlb(region, node, folios);
		break;
	case SHMEM:
	case SHMEM_THP:
		missing = make_shmem(region, kind == SHMEM_THP);
		break;
	case PAGE_CACHE:
	case CACHE_ONLY:
		missing = make_file(region);
		break;
	}
	if (missing)
		return missing;

	allocate_from(MPOL_BIND, node);
	fill(region);
	allocate_from(MPOL_DEFAULT, 0);
	if (kind == ANON_MTHP)
		setting_restore(&region->settings[1]);
	drain_lru_batches();
	for (size_t offset = 0; offset < region->size; offset += region->folio_size) {
		__u64 paddr = region_paddr(region, offset);

		if (!paddr || paddr % region->folio_size ||
		    (region->folio_size > PAGE && !page_has(paddr, KPF_COMPOUND_HEAD)))
			return "found no free memory for large folios";
	}
	return NULL;
}

void region_drop(struct region *region)
{
	if (region->mapping)
		munmap(region->mapping, region->mapping_size);
	if (region->fd >= 0)
		close(region->fd);
	for (unsigned int i = 0; i < ARRAY_SIZE(region->settings); i++)
		setting_restore(&region->settings[i]);
	region->mapping = NULL;
	region->fd = -1;
}

/* A view of one page: the mapping there is, or one of its own that window_close() takes away. */
static char *window_open(const struct region *region, size_t offset)
{
	char *page;

	if (region->start)
		return region->start + offset;
	page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, region->fd, offset / PAGE * PAGE);
	if (page == MAP_FAILED)
		fatal("mapping a page of a file");
	/* Only what has been touched is in the page table. */
	peek(page);
	return page + offset % PAGE;
}

static void window_close(const struct region *region, char *page)
{
	if (!region->start)
		munmap(page - (uintptr_t)page % PAGE, PAGE);
}

__u64 region_paddr(const struct region *region, size_t offset)
{
	char *page = window_open(region, offset);
	__u64 paddr = paddr_of(page);

	window_close(region, page);
	return paddr;
}

int region_node(const struct region *region, size_t offset)
{
	char *page = window_open(region, offset);
	int node = node_of(page);

	window_close(region, page);
	return node;
}

bool region_intact(const struct region *region)
{
	for (size_t offset = 0; offset < region->size; offset += PAGE) {
		char *page = window_open(region, offset);
		bool intact = page_intact(page, page_seed(region, offset));

		window_close(region, page);
		if (!intact)
			return false;
	}
	return true;
}

bool region_in_numa_maps(const struct region *region, int node)
{
	FILE *file = fopen("/proc/self/numa_maps", "re");
	char line[1024], address[32], here[16], *other;
	bool found = false;

	if (!region->start)
		return true;
	snprintf(address, sizeof(address), "%lx ", (uintptr_t)region->start);
	snprintf(here, sizeof(here), " N%d=", node);
	while (file && !found && fgets(line, sizeof(line), file)) {
		/* Addresses there are of eight digits at least. */
		if (strncmp(line, address, strlen(address)))
			continue;
		other = strstr(line, " N");
		found = other && other == strstr(line, here) && !strstr(other + 1, " N");
		if (!found)
			fprintf(stderr, "# numa_maps: %s", line);
		break;
	}
	if (file)
		fclose(file);
	return found;
}
