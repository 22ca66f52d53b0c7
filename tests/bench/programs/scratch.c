// SPDX-License-Identifier: Apache-2.0
/*
 * Which memory the kernel takes for one call, as its own tracepoints tell (events/kmem): prints the trace of
 *
 *     scratch
 *
 * in which a mark `begin CALL CASE ENTRIES` or `end` stands around each call. Cases: `query`; `move`, of pages that are
 * on their node already, so that none is allocated there. (Of those that are, a call that allocates them in bulk tells
 * the tracepoints nothing.) Calls for more pages than the region has name them several times. Each call has been made
 * once before, so that the allocator's own lists are filled.
 */
#include "bench.h"

#define TRACING "/sys/kernel/tracing/"
#define PAGES 16384UL
#define MOST (1UL << 20)

static uint64_t *paddrs;
static void **vaddrs;
static int *nodes, *statuses;
static char *memory;
static int marker;

/* Written through a file that is open already: to open one takes memory itself. */
static void mark(const char *text)
{
	if (write(marker, text, strlen(text)) < 0)
		fail("trace_marker: %s", strerror(errno));
}

static void name_pages(size_t entries)
{
	size_t pages = entries < PAGES ? entries : PAGES;

	translate(memory, pages, paddrs);
	for (size_t entry = 0; entry < entries; entry++) {
		vaddrs[entry] = memory + entry % PAGES * PAGE;
		paddrs[entry] = paddrs[entry % PAGES];
	}
}

static void call(bool physically, bool asking, size_t entries)
{
	const char *name = physically ? "move_phy_pages" : "move_pages";
	const int *to = asking ? NULL : nodes;
	int flags = asking ? 0 : MPOL_MF_MOVE;
	char begin[128];

	name_pages(entries);
	snprintf(begin, sizeof(begin), "begin %s %s %zu", name, asking ? "query" : "move", entries);
	for (int turn = 0; turn < 2; turn++) {
		long result;

		for (size_t entry = 0; entry < entries; entry++)
			statuses[entry] = -EINPROGRESS;
		if (turn) {
			write_text(TRACING "tracing_on", "1");
			mark(begin);
		}
		result = physically ? physical(entries, paddrs, to, statuses, flags)
				    : virtual(0, entries, vaddrs, to, statuses, flags);
		if (turn) {
			mark("end");
			write_text(TRACING "tracing_on", "0");
		}
		if (result)
			fail("%s: %ld, %s", begin, result, strerror(errno));
		expect(begin, statuses, entries, FAST);
	}
}

int main(void)
{
	static const char *const events[] = {
		"kmalloc", "kfree", "kmem_cache_alloc", "kmem_cache_free", "mm_page_alloc", "mm_page_free",
	};
	static const size_t sizes[] = { 1, 16, 512, 16384, MOST };
	char text[128], line[512];
	FILE *trace;

	quiet();
	paddrs = checked_map(MOST * sizeof(*paddrs), MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1);
	vaddrs = checked_map(MOST * sizeof(*vaddrs), MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1);
	nodes = checked_map(MOST * sizeof(*nodes), MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1);
	statuses = checked_map(MOST * sizeof(*statuses), MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1);
	memory = small_pages(PAGES);
	memset(nodes, FAST, MOST * sizeof(*nodes));

	write_text(TRACING "tracing_on", "0");
	marker = open(TRACING "trace_marker", O_WRONLY);
	write_text(TRACING "buffer_size_kb", "16384");
	for (size_t event = 0; event < sizeof(events) / sizeof(events[0]); event++) {
		snprintf(text, sizeof(text), TRACING "events/kmem/%s/enable", events[event]);
		write_text(text, "1");
	}
	snprintf(text, sizeof(text), "%d", getpid());
	write_text(TRACING "set_event_pid", text);

	for (int physically = 0; physically < 2; physically++)
		for (size_t size = 0; size < sizeof(sizes) / sizeof(sizes[0]); size++) {
			call(physically, true, sizes[size]);
			call(physically, false, sizes[size]);
		}
	check(memory, PAGES);

	trace = fopen(TRACING "trace", "r");
	if (!trace)
		fail(TRACING "trace: %s", strerror(errno));
	while (fgets(line, sizeof(line), trace))
		fputs(line, stdout);
	return 0;
}
