// SPDX-License-Identifier: Apache-2.0
/*
 * What the measuring programs share: a clock, memory, its physical addresses, the two system calls, and the lines
 * that they print, one a sample:
 *
 *     ARM CASE ROUND VALUE
 *
 * Time is CLOCK_MONOTONIC_RAW's: in a node that counts instructions a nanosecond is an instruction. A program that
 * cannot measure what it was asked says why on standard error and ends with status 1: half a figure is none.
 */
#ifndef BENCH_H
#define BENCH_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define HUGE_PAGE (2UL << 20)
#define HUGE_PAGES (HUGE_PAGE / PAGE)
/* include/uapi/linux/mempolicy.h */
#define MPOL_MF_MOVE (1 << 1)
#define MPOL_MF_MOVE_ALL (1 << 2)
#define FAST 0
#define SLOW 1

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

static inline void sample(const char *arm, const char *name, int round, uint64_t value)
{
	printf("%s %s %d %llu\n", arm, name, round, (unsigned long long)value);
	fflush(stdout);
}

static inline uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC_RAW, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

/* --- files */

static inline void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail("%s: cannot write %s: %s", path, text, strerror(errno));
	close(fd);
}

static inline void read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);

	if (got < 0)
		fail("%s: cannot read: %s", path, strerror(errno));
	text[got] = 0;
	close(fd);
}

static inline long read_number(const char *path)
{
	char text[64];

	read_text(path, text, sizeof(text));
	return atol(text);
}

/* Nothing but the program moves pages or makes huge ones. */
static inline void quiet(void)
{
	write_text("/proc/sys/kernel/numa_balancing", "0");
	write_text("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	write_text("/sys/kernel/mm/transparent_hugepage/khugepaged/pages_to_scan", "1");
	write_text("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs", "10000000");
}

/* --- memory */

static inline void *checked_map(size_t bytes, int flags, int fd)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (memory == MAP_FAILED)
		fail("mmap of %zu bytes: %s", bytes, strerror(errno));
	return memory;
}

/* A page's content tells which page it is, at both its ends. */
static inline void fill(char *memory, size_t pages)
{
	for (size_t page = 0; page < pages; page++) {
		uint64_t mark = (page + 1) * 0x9e3779b97f4a7c15ULL;

		memcpy(memory + page * PAGE, &mark, sizeof(mark));
		memcpy(memory + page * PAGE + PAGE - sizeof(mark), &mark, sizeof(mark));
	}
}

static inline void check(const char *memory, size_t pages)
{
	for (size_t page = 0; page < pages; page++) {
		uint64_t mark = (page + 1) * 0x9e3779b97f4a7c15ULL;

		if (memcmp(memory + page * PAGE, &mark, sizeof(mark)) ||
		    memcmp(memory + page * PAGE + PAGE - sizeof(mark), &mark, sizeof(mark)))
			fail("page %zu does not read back as it was written", page);
	}
}

/* Private anonymous base pages, on the node of the CPU. */
static inline char *small_pages(size_t pages)
{
	char *memory = checked_map(pages * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	if (madvise(memory, pages * PAGE, MADV_NOHUGEPAGE))
		fail("MADV_NOHUGEPAGE: %s", strerror(errno));
	fill(memory, pages);
	return memory;
}

/* Private anonymous huge pages. That they are huge, translate_huge() checks. */
static inline char *huge_pages(size_t count)
{
	char *memory = checked_map((count + 1) * HUGE_PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	memory = (char *)(((uintptr_t)memory + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	if (madvise(memory, count * HUGE_PAGE, MADV_HUGEPAGE))
		fail("MADV_HUGEPAGE: %s", strerror(errno));
	fill(memory, count * HUGE_PAGES);
	return memory;
}

/* The physical address of each page, read from a process's pagemap. */
static inline void translate_of(int pagemap, const char *memory, size_t pages, uint64_t *paddrs)
{
	size_t bytes = pages * sizeof(*paddrs);

	if (pread(pagemap, paddrs, bytes, (uintptr_t)memory / PAGE * sizeof(*paddrs)) != (ssize_t)bytes)
		fail("pagemap: %s", strerror(errno));
	for (size_t page = 0; page < pages; page++) {
		if (!(paddrs[page] >> 63))
			fail("page %zu is not there", page);
		paddrs[page] = (paddrs[page] & ((1ULL << 55) - 1)) * PAGE;
	}
}

static inline int open_pagemap(int pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail("%s: %s", path, strerror(errno));
	return fd;
}

/* The same of this process. */
static inline void translate(const char *memory, size_t pages, uint64_t *paddrs)
{
	static int pagemap = -1;

	if (pagemap < 0)
		pagemap = open_pagemap(getpid());
	translate_of(pagemap, memory, pages, paddrs);
}

/* The physical address of each huge page's head. */
static inline void translate_huge(const char *memory, size_t count, uint64_t *paddrs)
{
	uint64_t *each = checked_map(count * HUGE_PAGE / 512, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	translate(memory, count * HUGE_PAGES, each);
	for (size_t huge = 0; huge < count; huge++) {
		uint64_t head = each[huge * HUGE_PAGES];

		if (head % HUGE_PAGE)
			fail("huge page %zu is none", huge);
		for (size_t page = 0; page < HUGE_PAGES; page++)
			if (each[huge * HUGE_PAGES + page] != head + page * PAGE)
				fail("huge page %zu is none", huge);
		paddrs[huge] = head;
	}
	munmap(each, count * HUGE_PAGE / 512);
}

/* --- the calls */

static inline long physical(size_t count, const uint64_t *paddrs, const int *nodes, int *statuses, int flags)
{
	static long number;

	if (!number)
		number = read_number("/sys/kernel/mm/move_phy_pages/nr");
	return syscall(number, count, paddrs, nodes, statuses, flags);
}

static inline long virtual(int pid, size_t count, void *const *pages, const int *nodes, int *statuses, int flags)
{
	return syscall(SYS_move_pages, pid, count, pages, nodes, statuses, flags);
}

static inline void expect(const char *what, const int *statuses, size_t count, int wanted)
{
	for (size_t entry = 0; entry < count; entry++)
		if (statuses[entry] != wanted)
			fail("%s: status %d at entry %zu, where %d was expected", what, statuses[entry], entry, wanted);
}

#endif
