// SPDX-License-Identifier: Apache-2.0
/*
 * Programs whose accesses are known, and that tell where their pages are:
 *
 *     tiers zipf|shifting|scan|even SEED PAGES CAPACITY INTERVAL_MS INTERVALS ACCESSES HOLD
 *     tiers bystander PAGES INTERVAL_MS INTERVALS
 *     tiers ballast FREE_MIB
 *
 * A program starts with all of its pages on the slow node, prints "ready", and goes once it has read a byte. In each
 * interval it reads the first half of a page ACCESSES times, drawn by its seeded law, in bursts that are spread over the
 * interval. With HOLD it is its own oracle: when an interval begins it moves the CAPACITY pages with the highest rates
 * to the fast node.
 * The line of an interval has `hits`, what its accesses that fast memory serves are expected to be, of the interval's
 * weights and the mean of where the pages were when it began and when it ended; `best` has the same if the highest
 * rates had all been there, and `room` if the pages there had been those with the highest rates, as many as they were.
 * Moves are seen from one question to the next: `up` and `down` to and from the fast node,
 * `back` those within 60 s of the page's last.
 *
 * The bystander reads the half of its pages that is on the slow node; the other half is on the fast node, unused. The
 * ballast takes fast memory, and locks it, until no more than FREE_MIB are free.
 */
#include "bench.h"
#include "laws.h"

#define BURSTS 16
#define MPOL_DEFAULT 0
#define MPOL_BIND 2
#define BACK_MS 60000

static char *memory;
static void *vaddrs[MAX_PAGES];
static size_t ranked[MAX_PAGES];
static int before[MAX_PAGES], seen[MAX_PAGES], targets[MAX_PAGES], statuses[MAX_PAGES];
static long moved_at[MAX_PAGES];
static volatile uint64_t sink;

static void bind(int node)
{
	unsigned long mask = 1UL << node;

	if (syscall(SYS_set_mempolicy, node < 0 ? MPOL_DEFAULT : MPOL_BIND, node < 0 ? NULL : &mask,
		    node < 0 ? 0 : 8 * sizeof(mask)))
		fail("set_mempolicy: %s", strerror(errno));
}

/* Half of it: enough work to be on a CPU when the clock ticks. */
static void read_page(size_t page)
{
	const uint64_t *words = (const uint64_t *)(memory + page * PAGE);
	uint64_t sum = 0;

	for (size_t word = 0; word < PAGE / 2 / sizeof(*words); word++)
		sum += ((const volatile uint64_t *)words)[word];
	sink = sum;
}

static void burst(int turn)
{
	size_t scanned = asked.law == SCAN ? asked.pages / 2 / BURSTS : 0;

	if (asked.law == BYSTANDER) {
		for (size_t page = asked.pages / 2; page < asked.pages && !turn; page++)
			read_page(page);
		return;
	}
	for (size_t access = scanned; access < asked.accesses / BURSTS; access++)
		read_page(drawn_page());
	for (; scanned; scanned--)
		read_page(scan_at++ % asked.pages);
}

static void look(int *nodes)
{
	if (virtual(0, asked.pages, vaddrs, NULL, nodes, 0) < 0)
		fail("move_pages: %s", strerror(errno));
}

static int by_rate(const void *left, const void *right)
{
	size_t a = *(const size_t *)left, b = *(const size_t *)right;

	if (rates[a] != rates[b])
		return rates[a] > rates[b] ? -1 : 1;
	if (before[a] != before[b])
		return before[a] == FAST ? -1 : 1;
	return a < b ? -1 : a > b;
}

static void rank(void)
{
	for (size_t page = 0; page < asked.pages; page++)
		ranked[page] = page;
	qsort(ranked, asked.pages, sizeof(*ranked), by_rate);
}

static void send(size_t first, size_t end, int node)
{
	static void *some[MAX_PAGES];
	size_t count = 0;

	for (size_t place = first; place < end; place++)
		if (before[ranked[place]] != node)
			some[count++] = vaddrs[ranked[place]];
	for (size_t place = 0; place < count; place++)
		targets[place] = node;
	if (count && virtual(0, count, some, targets, statuses, MPOL_MF_MOVE) < 0)
		fail("move_pages: %s", strerror(errno));
}

static double hits(const int *nodes)
{
	double sum = 0;

	for (size_t page = 0; page < asked.pages; page++)
		sum += nodes[page] == FAST ? weights[page] : 0;
	return sum;
}

static size_t fast_pages(const int *nodes)
{
	size_t count = 0;

	for (size_t page = 0; page < asked.pages; page++)
		count += nodes[page] == FAST;
	return count;
}

/* What so many pages could serve. */
static double best_of(size_t pages)
{
	double sum = 0;

	for (size_t place = 0; place < pages && place < asked.pages; place++)
		sum += weights[ranked[place]];
	return sum;
}

struct moves {
	size_t up, down, back;
};

static struct moves moves_seen(const int *old, const int *new, long now_ms)
{
	struct moves moves = { 0 };

	for (size_t page = 0; page < asked.pages; page++) {
		if (old[page] == new[page])
			continue;
		if (new[page] == FAST)
			moves.up++;
		else
			moves.down++;
		if (moved_at[page] && now_ms - moved_at[page] <= BACK_MS)
			moves.back++;
		moved_at[page] = now_ms;
	}
	return moves;
}

static long free_fast_kib(void)
{
	char text[4096], *found;

	read_text("/sys/devices/system/node/node0/meminfo", text, sizeof(text));
	found = strstr(text, "MemFree:");
	if (!found)
		fail("node 0 does not tell MemFree");
	return atol(found + strlen("MemFree:"));
}

static uint64_t cpu_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static void sleep_until(const struct timespec *start, long ms)
{
	struct timespec until = *start;

	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

static void interval(long number, const struct timespec *start)
{
	static int held[MAX_PAGES];
	long begins = number * asked.interval_ms;
	double at_begin, room;
	struct moves moves, own = { 0 };
	uint64_t cpu;

	set_rates(number);
	set_weights();
	rank();
	if (asked.hold) {
		memcpy(held, before, sizeof(held));
		send(asked.capacity, asked.pages, SLOW);
		send(0, asked.capacity, FAST);
		look(before);
		own = moves_seen(held, before, begins + 1);
	}
	at_begin = hits(before);
	room = best_of(fast_pages(before));
	cpu = cpu_ns();
	for (int turn = 0; turn < BURSTS; turn++) {
		burst(turn);
		sleep_until(start, begins + asked.interval_ms * (turn + 1) / BURSTS);
	}
	cpu = cpu_ns() - cpu;
	look(seen);
	moves = moves_seen(before, seen, begins + asked.interval_ms);
	printf("{\"interval\": %ld, \"hits\": %.6f, \"best\": %.6f, \"room\": %.6f, \"fast_pages\": %zu, \"up\": %zu, \"down\": %zu, "
	       "\"back\": %zu, \"cpu_ns\": %llu, \"free_fast_kib\": %ld}\n",
	       number, (at_begin + hits(seen)) / 2, best_of(asked.capacity),
	       (room + best_of(fast_pages(seen))) / 2, fast_pages(seen), own.up + moves.up, own.down + moves.down,
	       own.back + moves.back, (unsigned long long)cpu, free_fast_kib());
	fflush(stdout);
	memcpy(before, seen, sizeof(before));
}

static void play(void)
{
	struct timespec start;
	char byte;

	memory = checked_map(asked.pages * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (madvise(memory, asked.pages * PAGE, MADV_NOHUGEPAGE))
		fail("MADV_NOHUGEPAGE: %s", strerror(errno));
	for (size_t page = 0; page < asked.pages; page++)
		vaddrs[page] = memory + page * PAGE;
	bind(SLOW);
	fill(memory, asked.pages);
	bind(-1);
	if (asked.law == BYSTANDER) {
		look(before);
		for (size_t page = 0; page < asked.pages; page++)
			ranked[page] = page;
		send(0, asked.pages / 2, FAST);
	}
	shuffle();
	look(before);
	printf("ready\n");
	fflush(stdout);
	if (read(0, &byte, 1) != 1)
		fail("nobody said when to start");
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (long number = 0; number < asked.intervals; number++)
		interval(number, &start);
	check(memory, asked.pages);
}

static void ballast(long free_kib)
{
	enum { STEP = 64 };
	char byte;

	bind(FAST);
	while (free_fast_kib() > free_kib) {
		char *some = checked_map(STEP * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

		if (mlock(some, STEP * PAGE))
			fail("mlock: %s", strerror(errno));
	}
	printf("ready\n");
	fflush(stdout);
	while (read(0, &byte, 1) == 1)
		;
}

int main(int argc, char **argv)
{
	size_t law = 0;

	if (argc == 3 && !strcmp(argv[1], "ballast")) {
		ballast(atol(argv[2]) * 1024);
		return 0;
	}
	while (law < sizeof(laws) / sizeof(laws[0]) && argc > 1 && strcmp(argv[1], laws[law]))
		law++;
	asked.law = law;
	if (law == BYSTANDER && argc == 5) {
		asked.pages = atol(argv[2]);
		asked.interval_ms = atol(argv[3]);
		asked.intervals = atol(argv[4]);
	} else if (law < BYSTANDER && argc == 9) {
		state = atol(argv[2]);
		asked.pages = atol(argv[3]);
		asked.capacity = atol(argv[4]);
		asked.interval_ms = atol(argv[5]);
		asked.intervals = atol(argv[6]);
		asked.accesses = atol(argv[7]);
		asked.hold = atol(argv[8]);
	} else {
		fail("usage: tiers zipf|shifting|scan|even SEED PAGES CAPACITY INTERVAL_MS INTERVALS ACCESSES HOLD");
	}
	if (asked.pages < 2 || asked.pages > MAX_PAGES || asked.interval_ms < BURSTS || asked.intervals < 1)
		fail("PAGES are up to %lu, INTERVAL_MS at least %d", MAX_PAGES, BURSTS);
	play();
	return 0;
}
