// SPDX-License-Identifier: GPL-2.0-only
#include <limits.h>
#include <stdio.h>

#include "call.h"
#include "input.h"

void source_find_ranges(struct source *source)
{
	FILE *file = fopen("/proc/iomem", "re");
	char line[160];

	while (file && source->nr_ranges < RANGES && fgets(line, sizeof(line), file))
		source->nr_ranges += sscanf(line, " %llx-%llx",
					    &source->ranges[source->nr_ranges].start,
					    &source->ranges[source->nr_ranges].end) == 2;
	if (!source->nr_ranges)
		fatal("/proc/iomem");
	fclose(file);
}

__u64 below(__u64 *random, __u64 limit)
{
	return limit ? next_random(random) % limit : 0;
}

/* Huge pages take hundreds of times as long as others, so they come up more rarely. */
static struct workload *random_load(const struct source *source, __u64 *random)
{
	struct workload *load;

	do
		load = &source->workloads[below(random, source->nr_workloads)];
	while (load->region.folio_size == PMD && below(random, 32));
	return load;
}

__u64 random_paddr(const struct source *source, __u64 *random, const __u64 *paddrs,
		   unsigned long i)
{
	static const __u64 odd[] = {
		0, PAGE, 1UL << 45, (1UL << 46) - 1, 1UL << 46, 1UL << 52, 1UL << 63, ~0UL, INT_MAX,
	};
	struct workload *load = random_load(source, random);
	unsigned int range = below(random, source->nr_ranges);
	__u64 start = source->ranges[range].start, end = source->ranges[range].end;
	__u64 paddr = load->paddrs[below(random, load->region.size / PAGE)];

	switch (below(random, 16)) {
	case 0 ... 6:	/* a page of theirs, and any byte of it */
		return paddr + below(random, PAGE);
	case 7 ... 8:	/* a neighbour within a huge page */
		return paddr - paddr % PMD + below(random, PMD);
	case 9 ... 10:	/* named before */
		return i ? paddrs[below(random, i)] + below(random, 2) * PAGE : paddr;
	case 11 ... 13:	/* memory, devices, tables of the firmware */
		return start + below(random, end - start + PAGE);
	case 14:	/* memory that comes and goes */
		start = source->block < 0 ? 0 : source->block * block_bytes();
		return start + below(random, block_bytes());
	default:
		return below(random, 2) ? odd[below(random, ARRAY_SIZE(odd))] : next_random(random);
	}
}

__s32 random_node(const struct source *source, __u64 *random)
{
	static const __s32 odd[] = { -1, INT_MIN, INT_MAX, 63, 64, 1023, 1024, 1 << 20 };

	switch (below(random, 16)) {
	case 0:
		return odd[below(random, ARRAY_SIZE(odd))];
	case 1 ... 7:
		return source->machine.fast;
	default:
		return source->machine.slow;
	}
}

unsigned int random_flags(__u64 *random)
{
	static const unsigned int known[] = {
		0, MPOL_MF_MOVE, MPOL_MF_MOVE_ALL, MPOL_MF_MOVE | MPOL_MF_MOVE_ALL,
		MPOL_MF_MOVE_ALL | MOVE_PHY_PAGES_MLOCKED, MOVE_PHY_PAGES_MLOCKED,
	};

	if (!below(random, 64))
		return next_random(random);
	return known[below(random, ARRAY_SIZE(known))];
}

unsigned long random_count(__u64 *random)
{
	switch (below(random, 256)) {
	case 0:
		return MAX_ENTRIES - below(random, MAX_ENTRIES);
	case 1:
		return below(random, 2) ? MOVE_PHY_PAGES_MAX + 1 : next_random(random);
	case 2 ... 20:
		return below(random, 80);
	default:
		return below(random, 9);
	}
}

void *bad_pointer(__u64 *random, void *pointer, size_t bytes)
{
	switch (below(random, 4)) {
	case 0:
		return NULL;
	case 1:
		return (void *)(next_random(random) | 1UL << 63);
	case 2:
		return (char *)pointer + below(random, 8);
	default:
		return (char *)pointer + (bytes / 8 ? 8 + below(random, bytes / 8) * 8 : 8);
	}
}
