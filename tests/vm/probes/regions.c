/*
 * Memory that is accessed as it is told to be: regions NODE:MIB:EVERY_MS ...
 *
 * Each region is filled on its NUMA node, then one byte of each of its pages is written every so often; 0: never. A
 * region whose interval ends with h is in huge pages. On standard output: a line for each region with its first and
 * last address, then "ready"; after that it goes on until it is killed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define HUGE (2UL << 20)
#define MOST 16
#define MPOL_DEFAULT 0
#define MPOL_BIND 2

struct region {
	volatile unsigned char *start;
	size_t bytes;
	uint64_t every_ms;
	uint64_t due_ms;
};

static void die(const char *what)
{
	fprintf(stderr, "regions: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void touch(const struct region *region)
{
	for (size_t at = 0; at < region->bytes; at += PAGE)
		region->start[at]++;
}

static void make(struct region *region, const char *text)
{
	unsigned long node, mib, every, mask;
	char huge = 0;

	if (sscanf(text, "%lu:%lu:%lu%c", &node, &mib, &every, &huge) < 3 || node > 7 || !mib) {
		fprintf(stderr, "regions: %s: write NODE:MIB:EVERY_MS\n", text);
		exit(2);
	}
	region->bytes = mib << 20;
	region->every_ms = every;
	/* What lies around keeps it from being joined with its neighbours, and has it aligned. */
	unsigned char *area = mmap(NULL, region->bytes + 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (area == MAP_FAILED)
		die("mmap");
	area = (unsigned char *)(((uintptr_t)area + HUGE) & ~(HUGE - 1));
	if (mprotect(area, region->bytes, PROT_READ | PROT_WRITE))
		die("mprotect");
	if (madvise(area, region->bytes, huge == 'h' ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		die("madvise");
	mask = 1UL << node;
	if (syscall(SYS_set_mempolicy, MPOL_BIND, &mask, 8 * sizeof(mask)))
		die("set_mempolicy");
	region->start = area;
	touch(region);
	if (syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0))
		die("set_mempolicy");
	printf("%lx %lx\n", (unsigned long)area, (unsigned long)area + region->bytes);
}

int main(int argc, char **argv)
{
	static struct region regions[MOST];
	int count = argc - 1;

	if (count < 1 || count > MOST) {
		fprintf(stderr, "usage: regions NODE:MIB:EVERY_MS[h] ...\n");
		return 2;
	}
	for (int i = 0; i < count; i++)
		make(&regions[i], argv[i + 1]);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		uint64_t now = now_ms(), next = now + 1000;

		for (int i = 0; i < count; i++) {
			if (!regions[i].every_ms)
				continue;
			if (now >= regions[i].due_ms) {
				touch(&regions[i]);
				regions[i].due_ms = now + regions[i].every_ms;
			}
			if (regions[i].due_ms < next)
				next = regions[i].due_ms;
		}
		now = now_ms();
		if (next > now)
			usleep((useconds_t)(next - now) * 1000);
	}
}
