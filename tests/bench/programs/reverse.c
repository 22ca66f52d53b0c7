// SPDX-License-Identifier: Apache-2.0
/*
 * What it costs to move pages of which only the physical addresses are known, among processes that map a lot:
 *
 *     reverse ROUNDS PRIVATE_MIB PROCESSES...
 *
 * For each number of processes that many live, each maps MAPPED_MIB: PRIVATE_MIB of private anonymous memory, and
 * one shared region, the same in all, for the rest. (All private, 200 of them would need 13 GB; a pagemap entry
 * costs about the same either way, which `entry` reports.) WANTED pages are spread evenly over the private memory of
 * all processes. Arms, each a total in instructions (nanoseconds):
 *
 *     physical          one move_phy_pages(2) for all
 *     reverse           the pages looked for in /proc/PID/pagemap of all processes, of those regions alone that
 *                       /proc/PID/maps lists, until all are found; then a move_pages(2) for each process that has some
 *     search            the first part of it
 *     physical_again    as the first
 *
 * and the sample `entry`: instructions of the search for each pagemap entry, times 1000.
 */
#include "bench.h"

#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define MAPPED_MIB 64
#define WANTED 512
#define MAX_PROCESSES 256
#define MIB (1UL << 20)
#define SLOTS (4 * WANTED)
#define CHUNK 16384

struct process {
	pid_t pid;
	char *private_memory;
};

struct found {
	int pid;
	void *vaddr;
};

static struct process processes[MAX_PROCESSES];
static uint64_t wanted[WANTED], entries[CHUNK];
static int to[2][WANTED], statuses[WANTED];
static struct found found[WANTED];
static void *vaddrs[WANTED];
static uint64_t entries_read;

/* Which frames are wanted: a bit a frame for the many that are not, and a hash table for the few that are. */
static uint8_t *bits;
static uint64_t frames, keys[SLOTS];
static int places[SLOTS];

static size_t slot_of(uint64_t pfn)
{
	return (pfn * 0x9e3779b97f4a7c15ULL) >> 53 & (SLOTS - 1);
}

static void want(void)
{
	memset(bits, 0, frames / 8 + 1);
	memset(keys, 0xff, sizeof(keys));
	for (int page = 0; page < WANTED; page++) {
		uint64_t pfn = wanted[page] / PAGE;
		size_t slot = slot_of(pfn);

		while (keys[slot] != UINT64_MAX)
			slot = (slot + 1) & (SLOTS - 1);
		keys[slot] = pfn;
		places[slot] = page;
		bits[pfn / 8] |= 1 << pfn % 8;
	}
}

static int place_of(uint64_t pfn)
{
	size_t slot = slot_of(pfn);

	while (keys[slot] != pfn)
		slot = (slot + 1) & (SLOTS - 1);
	return places[slot];
}

/* --- the search */

static int search_range(int pid, int pagemap, uint64_t start, uint64_t end, int missing)
{
	for (uint64_t page = start / PAGE; page < end / PAGE && missing; page += CHUNK) {
		uint64_t count = end / PAGE - page < CHUNK ? end / PAGE - page : CHUNK;
		ssize_t got = pread(pagemap, entries, count * 8, page * 8);

		if (got < 0)
			return missing;
		entries_read += got / 8;
		for (ssize_t entry = 0; entry < got / 8; entry++) {
			uint64_t pfn = entries[entry] & ((1ULL << 55) - 1);
			int place;

			if (!(entries[entry] >> 63) || pfn >= frames || !(bits[pfn / 8] >> pfn % 8 & 1))
				continue;
			place = place_of(pfn);
			if (!found[place].pid)
				missing--;
			found[place] = (struct found){ pid, (void *)((page + entry) * PAGE) };
		}
	}
	return missing;
}

static int search_process(int pid, int missing)
{
	char path[64], line[4096];
	FILE *maps;
	int pagemap;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	pagemap = open(path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "r");
	while (pagemap >= 0 && maps && missing && fgets(line, sizeof(line), maps)) {
		char *rest;
		uint64_t start = strtoull(line, &rest, 16), end = strtoull(rest + 1, &rest, 16);

		/* vsyscall has an address that no pagemap has. */
		if (start < 1ULL << 56)
			missing = search_range(pid, pagemap, start, end, missing);
	}
	if (maps)
		fclose(maps);
	if (pagemap >= 0)
		close(pagemap);
	return missing;
}

static void search(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int missing = WANTED;

	memset(found, 0, sizeof(found));
	want();
	while (missing && (entry = readdir(proc)))
		if (isdigit(entry->d_name[0]))
			missing = search_process(atoi(entry->d_name), missing);
	closedir(proc);
	if (missing)
		fail("%d of %d pages are mapped by nobody", missing, WANTED);
}

/* --- the arms */

static int by_pid(const void *left, const void *right)
{
	return ((const struct found *)left)->pid - ((const struct found *)right)->pid;
}

static void move_found(int node)
{
	qsort(found, WANTED, sizeof(*found), by_pid);
	for (int page = 0; page < WANTED; page++)
		vaddrs[page] = found[page].vaddr;
	for (int first = 0, last; first < WANTED; first = last) {
		for (last = first; last < WANTED && found[last].pid == found[first].pid; last++)
			;
		if (virtual(found[first].pid, last - first, vaddrs + first, to[node] + first, statuses + first, MPOL_MF_MOVE))
			fail("move_pages: %s", strerror(errno));
	}
}

/* Where the wanted pages are: the same virtual pages always, of each process as many as of the next. */
static void locate(int count, size_t private_mib)
{
	size_t each_pages = private_mib * MIB / PAGE;

	for (int first = 0; first < count; first++) {
		int of_this = WANTED / count + (first < WANTED % count);
		int before = first * (WANTED / count) + (first < WANTED % count ? first : WANTED % count);
		int pagemap = open_pagemap(processes[first].pid);

		for (int page = 0; page < of_this; page++) {
			const char *memory = processes[first].private_memory + each_pages * page / of_this * PAGE;

			translate_of(pagemap, memory, 1, &wanted[before + page]);
		}
		close(pagemap);
	}
}

static uint64_t physical_arm(int node)
{
	uint64_t start = now_ns();

	if (physical(WANTED, wanted, to[node], statuses, MPOL_MF_MOVE))
		fail("move_phy_pages: not all moved");
	return now_ns() - start;
}

static void measure(int count, size_t private_mib, int rounds)
{
	enum { PHYSICAL, REVERSE, AGAIN, ARMS };
	static const char *const names[] = { "physical", "reverse", "physical_again" };
	char name[32];

	snprintf(name, sizeof(name), "%d", count);
	for (int round = -1; round < rounds; round++) {
		uint64_t times[ARMS] = { 0 }, search_time = 0;

		entries_read = 0;
		for (int turn = 0; turn < ARMS; turn++) {
			/* A search takes long: the order turns round from round to round, and not within one. */
			int arm = round % 2 ? ARMS - 1 - turn : turn;
			/* The reverse map does not change by the way of the move: to the slow node is timed, back is not. */
			uint64_t start;

			locate(count, private_mib);
			if (arm != REVERSE) {
				times[arm] += physical_arm(SLOW);
			} else {
				start = now_ns();
				search();
				search_time += now_ns() - start;
				move_found(SLOW);
				times[arm] += now_ns() - start;
			}
			expect("there", statuses, WANTED, SLOW);
			locate(count, private_mib);
			physical_arm(FAST);
			expect("back", statuses, WANTED, FAST);
		}
		if (round < 0)
			continue;
		for (int arm = 0; arm < ARMS; arm++)
			sample(names[arm], name, round, times[arm]);
		sample("search", name, round, search_time);
		sample("entry", name, round, search_time * 1000 / entries_read);
	}
}

static void start_process(struct process *process, size_t private_mib, int shared)
{
	int ready[2];
	char byte;

	if (pipe(ready))
		fail("pipe: %s", strerror(errno));
	/* Mapped by the parent, so that it knows where; written by the child, so that it has pages of its own. */
	process->private_memory = checked_map(private_mib * MIB, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	if (madvise(process->private_memory, private_mib * MIB, MADV_NOHUGEPAGE))
		fail("MADV_NOHUGEPAGE: %s", strerror(errno));
	process->pid = fork();
	if (process->pid < 0)
		fail("fork: %s", strerror(errno));
	if (!process->pid) {
		size_t shared_bytes = (MAPPED_MIB - private_mib) * MIB;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fill(process->private_memory, private_mib * MIB / PAGE);
		if (shared_bytes)
			checked_map(shared_bytes, MAP_SHARED | MAP_POPULATE, shared);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (read(ready[0], &byte, 1) != 1)
		fail("a process did not start");
	close(ready[0]);
	close(ready[1]);
	/* The parent maps none of it, or it would be searched once more than there are processes. */
	munmap(process->private_memory, private_mib * MIB);
}

int main(int argc, char **argv)
{
	int rounds = argc > 3 ? atoi(argv[1]) : 0, running = 0, shared;
	size_t private_mib = argc > 3 ? atol(argv[2]) : 0;

	if (rounds < 1 || private_mib < 1 || private_mib > MAPPED_MIB)
		fail("usage: reverse ROUNDS PRIVATE_MIB PROCESSES...");
	quiet();
	for (int page = 0; page < WANTED; page++) {
		to[FAST][page] = FAST;
		to[SLOW][page] = SLOW;
	}
	frames = 1ULL << 20;
	bits = checked_map(frames / 8 + PAGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1);
	shared = memfd_create("shared", 0);
	if (shared < 0 || ftruncate(shared, (MAPPED_MIB - private_mib) * MIB))
		fail("memfd: %s", strerror(errno));
	for (int size = 3; size < argc; size++) {
		int count = atoi(argv[size]);

		if (count < running || count > MAX_PROCESSES)
			fail("%s processes: a growing list up to %d was expected", argv[size], MAX_PROCESSES);
		for (; running < count; running++)
			start_process(&processes[running], private_mib, shared);
		measure(count, private_mib, rounds);
	}
	return 0;
}
