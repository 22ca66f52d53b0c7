// SPDX-License-Identifier: Apache-2.0
/*
 * Programs whose accesses are known, and that tell where their pages are:
 *
 *     tiers LAW SEED PAGES CAPACITY INTERVAL_MS INTERVALS ACCESSES HOLD SAMPLED START
 *     tiers bystander PAGES INTERVAL_MS INTERVALS
 *     tiers ballast FREE_MIB
 *
 * A program starts with all of its pages on the slow node, prints "ready", and goes once it has read a byte. In each
 * interval it reads the first half of a page ACCESSES times, drawn by its seeded law (laws.h), in bursts that are spread
 * over the interval. With HOLD it is its own oracle: when an interval begins it moves the CAPACITY pages with the highest
 * rates to the fast node. It tells one of SAMPLED accesses to the agent's feed, unless that is 0. With a START of 0 or
 * more all memory is on that node from the start.
 *
 * The line of an interval has `hits`, what its accesses that fast memory serves are expected to be, of the interval's
 * weights and the mean of where the pages were when it began and when it ended; `best` has the same if the highest
 * rates had all been there, and `room` if the pages there had been those with the highest rates, as many as they were.
 * Moves are seen from one question to the next: `up` and `down` to and from the fast node, `back` those within 60 s of
 * the page's last. `cpu_ns` is what the work took of a CPU, `work_ns` of time.
 *
 * late: a file as large as CAPACITY lies in fast memory; after some intervals anonymous memory comes, wherever there is
 * room for it. forks: the accesses are those of children that share the pages; some are alive at any time, each writes
 * to a few pages, which makes copies that end with it. redis: pages are the values of a redis-server (redis.h). short:
 * pages and accesses are those of processes that live half an interval, so many at a time; the line of an interval has
 * those that ended in it.
 *
 * The bystander reads the half of its pages that is on the slow node once in an interval, between the bursts of the
 * others; the other half is on the fast node, unused. The ballast takes fast memory, and locks it, until no more than
 * FREE_MIB are free.
 */
#include "work.h"

#include <sys/resource.h>

/* Processes of short that live at a time. */
#define LIVES 8

/* What is told of an interval. */
struct line {
	double hits, best, room;
	size_t fast_pages;
	struct moves moves;
	uint64_t cpu_ns, work_ns;
};

static long free_fast_kib(void)
{
	char text[4096], *found;

	read_text("/sys/devices/system/node/node0/meminfo", text, sizeof(text));
	found = strstr(text, "MemFree:");
	if (!found)
		fail("node 0 does not tell MemFree");
	return atol(found + strlen("MemFree:"));
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

/* Of this process, of its server, and of its children that have ended. */
static uint64_t cpu_ns(void)
{
	uint64_t spent = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	struct rusage usage;

	/* A process's CPU clock, as clock_getcpuclockid(3) makes it. */
	if (owner)
		spent += clock_ns((~(clockid_t)owner << 3) | 2);
	if (asked.law == FORKS && !getrusage(RUSAGE_CHILDREN, &usage))
		spent += (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000ULL +
			 (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000ULL;
	return spent;
}

static struct line interval(long number, const struct timespec *start)
{
	static int held[MAX_PAGES];
	long begins = number * asked.interval_ms;
	struct line line = { 0 };
	struct moves moves;
	uint64_t cpu;

	if (asked.law == LATE && number == LATE_INTERVALS)
		populate_late();
	set_rates(number);
	set_weights();
	rank();
	if (asked.hold) {
		memcpy(held, before, sizeof(held));
		bring(asked.capacity, asked.pages, SLOW);
		bring(0, asked.capacity, FAST);
		look(before);
		line.moves = moves_seen(held, before, begins + 1);
	}
	line.hits = hits(before) / 2;
	line.best = best_of(asked.capacity);
	line.room = best_of(fast_pages(before)) / 2;
	cpu = cpu_ns();
	for (int turn = 0; turn < BURSTS; turn++) {
		uint64_t began, telling;

		/* Between the bursts of the others: what it waits for is what moves pages. */
		if (asked.law == BYSTANDER)
			sleep_until(start, begins + asked.interval_ms * (2 * turn + 1) / (2 * BURSTS));
		began = clock_ns(CLOCK_MONOTONIC);
		if (asked.law == FORKS)
			forked_burst(turn, begins, start);
		else
			burst(turn);
		line.work_ns += clock_ns(CLOCK_MONOTONIC) - began;
		telling = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
		tell();
		/* A device would do that beside it. */
		cpu += clock_ns(CLOCK_PROCESS_CPUTIME_ID) - telling;
		sleep_until(start, begins + asked.interval_ms * (turn + 1) / BURSTS);
	}
	line.cpu_ns = cpu_ns() - cpu;
	look(seen);
	moves = moves_seen(before, seen, begins + asked.interval_ms);
	line.hits += hits(seen) / 2;
	line.room += best_of(fast_pages(seen)) / 2;
	line.fast_pages = fast_pages(seen);
	line.moves.up += moves.up;
	line.moves.down += moves.down;
	line.moves.back += moves.back;
	memcpy(before, seen, sizeof(before));
	return line;
}

static void live(struct line *line)
{
	struct timespec start;

	asked.law = ZIPF;
	asked.pages /= LIVES;
	asked.capacity /= LIVES;
	asked.accesses /= BURSTS;
	asked.interval_ms = asked.interval_ms * LIVES / BURSTS;
	clock_gettime(CLOCK_MONOTONIC, &start);
	open_feed();
	populate();
	shuffle();
	look(before);
	*line = interval(0, &start);
	check(memory, asked.pages);
	_exit(0);
}

static pid_t lives[LIVES];

/* An interval of processes that are replaced one after the other. */
static struct line short_lives(long number, const struct timespec *start)
{
	static struct line *lines;
	struct line sum = { 0 };
	size_t ended = 0;

	if (!lines)
		lines = checked_map(LIVES * sizeof(*lines), MAP_SHARED | MAP_ANONYMOUS, -1);
	for (int turn = 0; turn < BURSTS; turn++) {
		struct line *line = lines + turn % LIVES;
		pid_t *child = lives + turn % LIVES;
		bool was_one = *child;

		state++;
		if (replaced(child))
			live(line);
		if (was_one) {
			ended++;
			sum.hits += line->hits;
			sum.best += line->best;
			sum.room += line->room;
			sum.fast_pages += line->fast_pages;
			sum.moves.up += line->moves.up;
			sum.moves.down += line->moves.down;
			sum.moves.back += line->moves.back;
			sum.cpu_ns += line->cpu_ns;
			sum.work_ns += line->work_ns;
		}
		sleep_until(start, number * asked.interval_ms + asked.interval_ms * (turn + 1) / BURSTS);
	}
	sum.hits /= ended;
	sum.best /= ended;
	sum.room /= ended;
	sum.fast_pages = sum.fast_pages * LIVES / ended;
	return sum;
}

static void print(long number, const struct line *line)
{
	printf("{\"interval\": %ld, \"hits\": %.6f, \"best\": %.6f, \"room\": %.6f, \"fast_pages\": %zu, \"up\": %zu, "
	       "\"down\": %zu, \"back\": %zu, \"cpu_ns\": %llu, \"work_ns\": %llu, \"free_fast_kib\": %ld}\n",
	       number, line->hits, line->best, line->room, line->fast_pages, line->moves.up, line->moves.down,
	       line->moves.back, (unsigned long long)line->cpu_ns, (unsigned long long)line->work_ns, free_fast_kib());
	fflush(stdout);
}

static void play(void)
{
	struct timespec start;
	char byte;

	if (asked.law != SHORT) {
		populate();
		if (asked.law == BYSTANDER) {
			look(before);
			for (size_t page = 0; page < asked.pages; page++)
				ranked[page] = page;
			bring(0, asked.pages / 2, FAST);
		}
		shuffle();
		look(before);
	}
	printf("ready\n");
	fflush(stdout);
	if (read(0, &byte, 1) != 1)
		fail("nobody said when to start");
	if (asked.law != SHORT)
		open_feed();
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (long number = 0; number < asked.intervals; number++) {
		struct line line = asked.law == SHORT ? short_lives(number, &start) : interval(number, &start);

		print(number, &line);
	}
	wait_for(workers, WORKERS);
	wait_for(lives, LIVES);
	if (asked.law != SHORT && !owner)
		check(memory, asked.pages);
	stop_redis();
}

static void ballast(long free_kib)
{
	enum { STEP = 64 };
	char byte;

	bind_memory(FAST);
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
	asked.start = -1;
	if (law == BYSTANDER && argc == 5) {
		asked.pages = atol(argv[2]);
		asked.interval_ms = atol(argv[3]);
		asked.intervals = atol(argv[4]);
	} else if (law < BYSTANDER && argc == 11) {
		state = atol(argv[2]);
		asked.pages = atol(argv[3]);
		asked.capacity = atol(argv[4]);
		asked.interval_ms = atol(argv[5]);
		asked.intervals = atol(argv[6]);
		asked.accesses = atol(argv[7]);
		asked.hold = atol(argv[8]);
		asked.sampled = atol(argv[9]);
		asked.start = atol(argv[10]);
	} else {
		fail("usage: tiers LAW SEED PAGES CAPACITY INTERVAL_MS INTERVALS ACCESSES HOLD SAMPLED START");
	}
	if (asked.pages < 2 || asked.pages > MAX_PAGES || asked.interval_ms < BURSTS || asked.intervals < 1)
		fail("PAGES are up to %lu, INTERVAL_MS at least %d", MAX_PAGES, BURSTS);
	play();
	return 0;
}
