// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "call.h"
#include "child.h"
#include "workload.h"

#define PRESENT 0x8000000000000000UL
#define FRAME ((1UL << 55) - 1)

struct worker {
	struct workload *load;
	__u64 random;
	__u64 seeds[WORKLOAD_PAGES];
	unsigned int pages;
	int pagemap;
};

static char *page_of(const struct worker *worker, unsigned int page)
{
	return worker->load->region.start + page * PAGE;
}

static bool owns(const struct worker *worker, unsigned int page)
{
	return page % worker->load->step == worker->load->owned;
}

static void write_page(struct worker *worker, unsigned int page)
{
	worker->seeds[page] = next_random(&worker->random);
	fill_page(page_of(worker, page), worker->seeds[page]);
}

static void check_page(struct worker *worker, unsigned int page)
{
	worker->load->checks++;
	if (!page_intact(page_of(worker, page), worker->seeds[page])) {
		fprintf(stderr, "# %s: page %u is damaged\n", worker->load->name, page);
		worker->load->damaged++;
		/* Once is enough. */
		write_page(worker, page);
	}
}

static void publish(struct worker *worker)
{
	__u64 entries[WORKLOAD_PAGES];
	off_t at = (uintptr_t)worker->load->region.start / PAGE * sizeof(*entries);
	ssize_t got = pread(worker->pagemap, entries, worker->pages * sizeof(*entries), at);

	for (ssize_t i = 0; i < got / (ssize_t)sizeof(*entries); i++)
		worker->load->paddrs[i] = entries[i] & PRESENT ? (entries[i] & FRAME) * PAGE : 0;
}

/* Another page under the same address, and a child that sees the old ones for a while. */
static void churn(struct worker *worker)
{
	const unsigned int first = next_random(&worker->random) % worker->pages / 16 * 16;
	char *start = page_of(worker, first);
	bool intact = true;
	pid_t child;

	child = fork_or_die();
	if (!child) {
		for (unsigned int page = 0; page < worker->pages; page++)
			if (owns(worker, page))
				intact &= page_intact(page_of(worker, page), worker->seeds[page]);
		fill_page(start, 0);
		_exit(!(intact && page_intact(start, 0)));
	}
	if (next_random(&worker->random) % 2) {
		if (munmap(start, 16 * PAGE) ||
		    mmap(start, 16 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
			fatal("mapping anew");
	} else if (madvise(start, 16 * PAGE, MADV_DONTNEED)) {
		fatal("madvise");
	}
	for (unsigned int page = first; page < first + 16; page++)
		write_page(worker, page);
	if (join(child)) {
		fprintf(stderr, "# %s: a child found damage\n", worker->load->name);
		worker->load->damaged++;
	}
}

static void work(struct workload *load, __u64 seed)
{
	static struct worker worker;

	worker.load = load;
	worker.random = seed;
	worker.pages = load->region.size / PAGE;
	worker.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	for (unsigned int page = 0; page < worker.pages; page++) {
		if (owns(&worker, page))
			write_page(&worker, page);
		else
			peek(page_of(&worker, page));
	}
	publish(&worker);
	load->ready = true;
	for (unsigned int round = 0; !load->stop; round++) {
		unsigned int page = next_random(&worker.random) % worker.pages;

		if (round % 32 == 0)
			publish(&worker);
		if (load->churn && round % 64 == 0)
			churn(&worker);
		if (owns(&worker, page)) {
			check_page(&worker, page);
			write_page(&worker, page);
		}
		/* Leave the CPUs to who moves pages. */
		sleep_ms(1);
	}
	for (unsigned int page = 0; page < worker.pages; page++)
		if (owns(&worker, page))
			check_page(&worker, page);
	_exit(0);
}

static bool is_shared(const struct workload *load)
{
	return load->kind == SHMEM || load->kind == SHMEM_THP || load->kind == PAGE_CACHE;
}

static void make(struct workload *load, int node)
{
	const char *missing = region_make(&load->region, load->kind, node, load->folios);

	if (missing)
		fatal("no %s to work on, the machine %s", load->name, missing);
}

static void start(struct workload *load, int cpu, int node, __u64 seed)
{
	pid_t pid = fork_or_die();

	if (pid) {
		load->pid = pid;
		return;
	}
	stay_on_cpu(cpu);
	/* What is made before a fork is copied afterwards, page by page. */
	if (!is_shared(load))
		make(load, node);
	if (load->locked && mlock(load->region.start, load->region.size))
		fatal("mlock");
	work(load, seed);
}

void workloads_start(struct workload *workloads, int count, __u64 seed)
{
	struct machine machine;

	if (machine_open(&machine))
		fatal("two nodes with memory");
	for (int i = 0; i < count; i++) {
		struct workload *load = &workloads[i], *other = load - 1;

		load->step = 1;
		if (i && !strcmp(load->name, other->name)) {
			/* The same memory, of which each writes every other page. */
			load->region = other->region;
			load->step = 2;
			other->step = 2;
			load->owned = 1;
		} else if (is_shared(load)) {
			make(load, machine.fast);
		}
	}
	/* One after the other, for some change how huge pages are made while they start. */
	for (int i = 0; i < count; i++) {
		start(&workloads[i], i % cpus_online(), machine.fast, (seed ^ (i + 1)) | 1);
		while (!workloads[i].ready) {
			if (waitpid(workloads[i].pid, NULL, WNOHANG))
				fatal("%s ended early", workloads[i].name);
			sleep_ms(1);
		}
	}
	/* The pages are theirs now, not ours too. */
	for (int i = 0; i < count; i++)
		if (is_shared(&workloads[i]) && !workloads[i].owned)
			munmap(workloads[i].region.mapping, workloads[i].region.mapping_size);
}

unsigned long workloads_stop(struct workload *workloads, int count)
{
	unsigned long damaged = 0;

	for (int i = 0; i < count; i++)
		workloads[i].stop = true;
	for (int i = 0; i < count; i++) {
		if (join(workloads[i].pid)) {
			fprintf(stderr, "# %s: ended early\n", workloads[i].name);
			damaged++;
		}
		damaged += workloads[i].damaged;
	}
	for (int i = 0; i < count; i++) {
		if (workloads[i].owned)
			continue;
		/* What it mapped went with it; what it set is still set. */
		workloads[i].region.mapping = NULL;
		if (!is_shared(&workloads[i]))
			workloads[i].region.fd = -1;
		region_drop(&workloads[i].region);
	}
	return damaged;
}
