// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random calls, while processes work on the memory that is moved and check every byte of it.
 *
 *	fuzz [-n CALLS] [-s SEED] [-x]
 *
 * With -x some bytes of theirs are spoilt on purpose: the run must fail then.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../../kselftest.h"
#include "call.h"
#include "child.h"
#include "input.h"

#define CALLERS 2
#define MAX_ERRNO 4095

/* What one caller has done, for all to see. */
struct caller {
	__u64 calls;
	__u64 entries;
	__u64 odd;
	__u64 results[MAX_ERRNO + 1];	/* by errno; 0 for all that are no error */
	__u64 statuses[MAX_ERRNO + 1];
};

/* The arrays of a call, each before a page that is not there. */
struct arrays {
	__u64 *paddrs;
	__s32 *nodes;
	__s32 *status;
};

static const struct {
	const char *name;
	enum kind kind;
	unsigned int folios;
	bool churn, locked;
} kinds[] = {
	{ .name = "anonymous", .kind = ANON, .folios = 512 },
	{ .name = "churn", .kind = ANON, .folios = 128, .churn = true },
	{ .name = "locked", .kind = ANON, .folios = 64, .locked = true },
	{ .name = "huge pages", .kind = ANON_THP, .folios = 2 },
	{ .name = "64 KiB folios", .kind = ANON_MTHP, .folios = 8 },
	{ .name = "hugetlb", .kind = HUGETLB, .folios = 1 },
	{ .name = "shmem", .kind = SHMEM, .folios = 256 },
	{ .name = "shmem", .kind = SHMEM, .folios = 256 },
	{ .name = "huge shmem", .kind = SHMEM_THP, .folios = 1 },
	{ .name = "page cache", .kind = PAGE_CACHE, .folios = 256 },
	{ .name = "page cache", .kind = PAGE_CACHE, .folios = 256 },
};

struct shared {
	struct workload workloads[ARRAY_SIZE(kinds)];
	struct caller callers[CALLERS];
	atomic_bool stop;
	unsigned long toggles;
};

static struct shared *shared;
static struct source source;
static unsigned long nr_calls = 10000;
static bool spoil;

static void *before_nothing(size_t bytes)
{
	char *start = map_anon(bytes + PAGE);

	if (mprotect(start + bytes, PAGE, PROT_NONE))
		fatal("mprotect");
	return start + bytes;
}

static bool possible_status(int status)
{
	switch (-status) {
	case ENOENT:
	case EACCES:
	case EPERM:
	case EBUSY:
	case ENOMEM:
	case EHWPOISON:
	case ENODEV:
	case EINVAL:
		return true;
	default:
		return status == source.machine.fast || status == source.machine.slow;
	}
}

static void complain(struct caller *caller, const char *what, long result, unsigned long count,
		     unsigned int flags)
{
	if (caller->odd++ < 10)
		fprintf(stderr, "# %s: call %llu returned %ld for %lu entries, flags %#x\n", what,
			caller->calls, result, count, flags);
}

static void judge(struct caller *caller, long result, unsigned long count, const __s32 *nodes,
		  const __s32 *status, unsigned int flags)
{
	unsigned long amiss = 0, impossible = 0, busy = 0;

	for (unsigned long i = 0; i < count; i++) {
		amiss += status[i] < 0 || (nodes && status[i] != nodes[i]);
		impossible += !possible_status(status[i]);
		busy += status[i] == -EBUSY;
		caller->statuses[status[i] < 0 && status[i] >= -MAX_ERRNO ? -status[i] : 0]++;
	}
	caller->entries += count;
	if (impossible)
		complain(caller, "a status that cannot be", result, count, flags);
	if ((unsigned long)result != amiss)
		complain(caller, "a result that is not its statuses'", result, count, flags);
	/* While a block goes offline nothing moves, and calls that say so tell nothing new. */
	if (busy == count)
		sleep_ms(20);
}

static void one_call(struct caller *caller, __u64 *random, const struct arrays *ends)
{
	const unsigned int known = MPOL_MF_MOVE | MPOL_MF_MOVE_ALL | MOVE_PHY_PAGES_MLOCKED;
	unsigned long count = random_count(random);
	unsigned long length = count <= MAX_ENTRIES ? count : 8;
	__u64 *paddrs = ends->paddrs - length;
	__s32 *nodes = ends->nodes - length, *status = ends->status - length;
	unsigned int flags = random_flags(random);
	bool query = !below(random, 8), bad = !below(random, 32);
	long result;

	for (unsigned long i = 0; i < length; i++) {
		paddrs[i] = random_paddr(&source, random, paddrs, i);
		nodes[i] = random_node(&source, random);
		status[i] = 12345;
	}
	if (query)
		nodes = NULL;
	if (bad) {
		void *which[] = { paddrs, nodes, status };
		int i = below(random, 3);

		which[i] = bad_pointer(random, which[i], length * (i ? 4 : 8));
		result = move_phy_pages(count, which[0], which[1], which[2], flags);
	} else {
		result = move_phy_pages(count, paddrs, nodes, status, flags);
	}
	caller->calls++;
	caller->results[result < 0 ? -result : 0]++;

	if (flags & ~known || count > MOVE_PHY_PAGES_MAX || !count) {
		if (result != (flags & ~known ? -EINVAL : count ? -E2BIG : 0))
			complain(caller, "arguments not checked", result, count, flags);
	} else if (bad) {
		if (result < 0 && result != -EFAULT)
			complain(caller, "a bad pointer", result, count, flags);
	} else if (result < 0) {
		complain(caller, "an error out of nowhere", result, count, flags);
	} else {
		judge(caller, result, count, nodes, status, flags);
	}
}

static void call_away(struct caller *caller, __u64 seed, unsigned long calls)
{
	const struct arrays ends = {
		before_nothing(MAX_ENTRIES * sizeof(__u64)),
		before_nothing(MAX_ENTRIES * sizeof(__s32)),
		before_nothing(MAX_ENTRIES * sizeof(__s32)),
	};

	while (caller->calls < calls)
		one_call(caller, &seed, &ends);
	_exit(0);
}

/* A block of the slow node goes offline and comes back. */
static void toggle(void)
{
	while (!shared->stop) {
		double start = now_seconds();

		if (!block_set_online(source.block, false)) {
			shared->toggles++;
			sleep_ms(1000);
			block_set_online(source.block, true);
		}
		sleep_ms(3000 + 4000 * (now_seconds() - start));
	}
	_exit(0);
}

static void spoil_some(const struct workload *load)
{
	char path[64];
	int memory;

	snprintf(path, sizeof(path), "/proc/%d/mem", load->pid);
	memory = open(path, O_RDWR | O_CLOEXEC);
	for (size_t offset = 123; offset < load->region.size; offset += 3 * PAGE)
		if (pwrite(memory, "spoilt", 6, (off_t)(load->region.start + offset)) != 6)
			fatal("%s", path);
	close(memory);
}

static void print_histogram(const char *what, size_t offset)
{
	for (int error = 0; error <= MAX_ERRNO; error++) {
		__u64 sum = 0;

		for (int i = 0; i < CALLERS; i++)
			sum += ((__u64 *)((char *)&shared->callers[i] + offset))[error];
		if (sum)
			ksft_print_msg("%s %-12s %llu\n", what,
				       error ? strerrorname_np(error) : "done", sum);
	}
}

static void parse(int argc, char **argv, __u64 *seed)
{
	int option;

	while ((option = getopt(argc, argv, "n:s:x")) != -1) {
		switch (option) {
		case 'n':
			nr_calls = strtoul(optarg, NULL, 0);
			break;
		case 's':
			*seed = strtoull(optarg, NULL, 0);
			break;
		case 'x':
			spoil = true;
			break;
		default:
			fprintf(stderr, "usage: fuzz [-n CALLS] [-s SEED] [-x]\n");
			exit(KSFT_FAIL);
		}
	}
}

int main(int argc, char **argv)
{
	__u64 seed = time(NULL), calls = 0, odd = 0, entries = 0, checks = 0;
	const char *missing;
	unsigned long damaged;
	long moved;
	pid_t toggler, callers[CALLERS];

	parse(argc, argv, &seed);
	ksft_print_header();
	missing = machine_open(&source.machine);
	if (missing)
		ksft_exit_skip("%s\n", missing);
	ksft_set_plan(3);
	ksft_print_msg("seed %llu, %lu calls\n", seed, nr_calls);
	source_find_ranges(&source);
	source.block = removable_block(source.machine.slow);
	shared = map_shared(sizeof(*shared));
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		shared->workloads[i].name = kinds[i].name;
		shared->workloads[i].kind = kinds[i].kind;
		shared->workloads[i].folios = kinds[i].folios;
		shared->workloads[i].churn = kinds[i].churn;
		shared->workloads[i].locked = kinds[i].locked;
	}
	source.workloads = shared->workloads;
	source.nr_workloads = ARRAY_SIZE(kinds);
	workloads_start(shared->workloads, ARRAY_SIZE(kinds), seed);

	moved = vm_counter(COUNTER_SUCCESS);
	toggler = source.block < 0 ? 0 : fork_or_die();
	if (source.block >= 0 && !toggler)
		toggle();
	for (int i = 0; i < CALLERS; i++) {
		callers[i] = fork_or_die();
		if (!callers[i]) {
			stay_on_cpu(i % cpus_online());
			call_away(&shared->callers[i], (seed * 2 + i) | 1, nr_calls / CALLERS);
		}
	}
	if (spoil)
		spoil_some(&shared->workloads[0]);
	for (int i = 0; i < CALLERS; i++) {
		odd += join(callers[i]) != 0;
		odd += shared->callers[i].odd;
		calls += shared->callers[i].calls;
		entries += shared->callers[i].entries;
	}
	shared->stop = true;
	if (toggler)
		join(toggler);
	moved = vm_counter(COUNTER_SUCCESS) - moved;
	damaged = workloads_stop(shared->workloads, ARRAY_SIZE(kinds));
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		checks += shared->workloads[i].checks;

	ksft_print_msg("%llu calls, %llu entries, %ld pages moved\n", calls, entries, moved);
	ksft_print_msg("%llu pages checked, a memory block %lu times offline\n", checks,
		       shared->toggles);
	print_histogram("call", offsetof(struct caller, results));
	print_histogram("status", offsetof(struct caller, statuses));
	ksft_test_result(!odd && calls == nr_calls / CALLERS * CALLERS,
			 "%llu calls answered as they may be\n", calls);
	ksft_test_result(!damaged && moved > 0 && checks, "%ld pages moved, none damaged\n", moved);
	ksft_test_result(machine_settled(&source.machine), "no page left isolated\n");
	ksft_finished();
}
